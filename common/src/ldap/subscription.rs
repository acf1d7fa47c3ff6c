//! A search that goes on: the server tells what there is, and then what changes
//! (RFC 4533, `refreshAndPersist`).
//!
//! A subscription says nothing as long as nothing changes, for days if need be. So
//! silence alone says nothing about the server: after some of it the root DSE is asked for on
//! the same connection, and a server that doesn't answer that in time is
//! taken for gone. What comes meanwhile counts as an answer.
//!
//! ldap3's memory: it keeps the number of each search for ever, so one number for each
//! time that the root DSE is asked for (8 MB in a year of silence). What the subscription
//! tells goes past it, and how much may wait is bounded (`bypass.rs`).

use std::time::Duration;

use ldap3::controls::{MakeCritical, RawControl, RefreshMode, SyncRequest};
use tokio::time::sleep;

use super::bulk::Bulk;
use super::bypass::Message;
use super::connect::Connection;
use super::content_sync::{Ids, InfoKind, State};
use super::elements::Elements;
use super::filter::Filter;
use super::message::{self, Kind};
use super::search::{self, Entry, Search};
use super::{LdapError, error};
use crate::config::Scope;
use crate::deadline::Deadline;

/// When a silent server is asked whether it is there, and how long it has to answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// The silence.
    pub(crate) silence: Duration,
    /// The time for the answer.
    pub(crate) answer: Duration,
}

/// A subscription. Given up on the server when dropped.
pub(crate) struct Subscription<'a> {
    bulk: Bulk<'a>,
    connection: Connection,
    patience: Patience,
}

/// One thing that a server says.
#[derive(Debug)]
pub(crate) struct Said {
    /// What it is about.
    pub(crate) what: What,
    /// From where a later subscription may go on.
    pub(crate) cookie: Option<Vec<u8>>,
}

/// What a server says something about.
#[derive(Debug)]
pub(crate) enum What {
    /// The entry of this id is this now.
    Entry(u128, Entry),
    /// These are there, unchanged.
    Present(Ids),
    /// These are gone.
    Gone(Ids),
    /// A phase of the refresh ended.
    PhaseEnds {
        /// Whether everything that is there has been told, so that the rest is gone.
        present: bool,
        /// Whether the refresh ended with it.
        done: bool,
    },
    /// Some of what was asked for is on another server.
    Reference,
    /// Nothing, but for the cookie.
    Nothing,
}

/// Why a subscription ended.
#[derive(Debug)]
pub(crate) enum Ended {
    /// The server ended it with this result code and text.
    Result(u32, String),
    /// The server treats it as any search.
    Stateless,
    /// The connection failed.
    Failed(LdapError),
}

impl From<LdapError> for Ended {
    fn from(error: LdapError) -> Self {
        Self::Failed(error)
    }
}

impl<'a> Subscription<'a> {
    /// Starts one, on a connection that is used for nothing else. The search's limit
    /// doesn't count.
    ///
    /// # Errors
    /// [`LdapError`]: the connection failed. What the server has against it,
    /// [`Subscription::next`] tells.
    pub(crate) async fn start(
        connection: &Connection,
        search: Search<'a>,
        cookie: Option<Vec<u8>>,
        patience: Patience,
    ) -> Result<Self, LdapError> {
        let request =
            SyncRequest { mode: RefreshMode::RefreshAndPersist, cookie, reload_hint: false };
        let control = RawControl::from(request.critical());
        let bulk = Bulk::start(connection, search, control).await?;
        Ok(Self { bulk, connection: connection.clone(), patience })
    }

    /// What the server says next. Cancel safe.
    ///
    /// # Errors
    /// How it ended.
    pub(crate) async fn next(&mut self) -> Result<Said, Ended> {
        loop {
            let Patience { silence, answer } = self.patience;
            let mut asker = self.connection.clone();
            let message = tokio::select! {
                // First what the server said, so that its last words are heard.
                biased;
                message = self.bulk.next() => message?,
                () = self.connection.retired() => {
                    let why = "the connection was taken out of use".into();
                    return Err(self.connection.explain(LdapError::Connect(why)).into());
                }
                alive = is_alive(&mut asker, silence, answer) => match alive {
                    Ok(()) => continue,
                    Err(error) => return Err(error.into()),
                }
            };
            let Some(message) = message else {
                // The end is here.
                let result = self.bulk.result().await;
                let (code, text) = result.map_or((error::OTHER, String::new()), |r| (r.rc, r.text));
                return Err(Ended::Result(code, text));
            };
            return match message.kind {
                Kind::SearchEntry => read_entry(message),
                Kind::Intermediate => read_info(&message),
                _ => Ok(Said { what: What::Reference, cookie: None }),
            };
        }
    }
}

/// Asks after this silence for something that every server answers, whatever it says.
async fn is_alive(
    connection: &mut Connection,
    silence: Duration,
    answer: Duration,
) -> Result<(), LdapError> {
    sleep(silence).await;
    let filter = &Filter::present("objectClass");
    let search = Search { base: "", scope: Scope::Base, filter, attributes: &["1.1"], limit: 1 };
    match search::run(connection, search, Deadline::after(answer)).await {
        Ok(_) | Err(LdapError::Result(..)) => Ok(()),
        Err(error) => Err(error),
    }
}

fn read_info(message: &Message) -> Result<Said, Ended> {
    let (content, _) = message::open(&message.bytes).map_err(LdapError::Protocol)?;
    let info = message::sync_info(&mut Elements(content)).map_err(LdapError::Protocol)?;
    // Any server may say things that others don't know (RFC 4511 section 4.13).
    let Some(info) = info else { return Ok(Said { what: What::Nothing, cookie: None }) };
    let what = match info.kind {
        InfoKind::NewCookie => What::Nothing,
        InfoKind::RefreshDelete { done } => What::PhaseEnds { present: false, done },
        InfoKind::RefreshPresent { done } => What::PhaseEnds { present: true, done },
        InfoKind::IdSet { gone: true, ids } => What::Gone(ids),
        InfoKind::IdSet { gone: false, ids } => What::Present(ids),
    };
    Ok(Said { what, cookie: info.cookie.map(<[u8]>::to_vec) })
}

fn read_entry(message: Message) -> Result<Said, Ended> {
    let (_, controls) = message::open(&message.bytes).map_err(LdapError::Protocol)?;
    let state = message::sync_state(controls).map_err(LdapError::Protocol)?;
    let state = state.ok_or(Ended::Stateless)?;
    let cookie = state.cookie.map(<[u8]>::to_vec);
    let one = Ids { whole: vec![state.id], cut: false };
    let what = match state.state {
        State::Present => What::Present(one),
        State::Delete => What::Gone(one),
        State::Add | State::Modify => What::Entry(state.id, Entry::in_message(message.bytes)?),
    };
    Ok(Said { what, cookie })
}

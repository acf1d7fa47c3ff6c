//! A search that goes on: the server tells what there is, and then what changes
//! (RFC 4533, `refreshAndPersist`).
//!
//! A subscription says nothing as long as nothing changes, for days if need be. So
//! silence alone says nothing about the server: after some of it the root DSE is asked for on
//! the same connection, and a server that doesn't answer that in time is
//! taken for gone. What comes meanwhile counts as an answer.
//!
//! ldap3's memory: it keeps the number of each search for ever, so one number for each
//! time that the root DSE is asked for (8 MB in a year of silence), and nothing for a
//! message of the subscription that was taken. How many may wait is bounded in
//! `flow.rs`.

use std::time::Duration;

use lber::structure::{PL, StructureTag};
use ldap3::ResultEntry;
use ldap3::controls::{Control, MakeCritical, RawControl, RefreshMode, SyncRequest};
use tokio::time::sleep;

use super::LdapError;
use super::connect::Connection;
use super::content_sync::{self, Ids, InfoKind, State};
use super::filter::Filter;
use super::search::{self, Entry, Running, Search};
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
    running: Running<'a>,
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
        let connection = connection.clone();
        let mut ldap = connection.ldap.clone();
        let ldap = ldap.with_controls(RawControl::from(request.critical()));
        let (scope, filter) = (search.scope.into(), search.filter.as_str());
        let stream = ldap.streaming_search(search.base, scope, filter, search.attributes).await?;
        Ok(Self { running: Running::new(stream), connection, patience })
    }

    /// What the server says next. Cancel safe.
    ///
    /// # Errors
    /// How it ended.
    pub(crate) async fn next(&mut self) -> Result<Said, Ended> {
        loop {
            let Patience { silence, answer } = self.patience;
            let mut asker = self.connection.clone();
            let item = tokio::select! {
                // First what the server said, so that its last words are heard.
                biased;
                item = self.running.next() => item?,
                () = self.connection.retired() => {
                    let why = "the connection was taken out of use".into();
                    return Err(LdapError::Connect(why).into());
                }
                alive = is_alive(&mut asker, silence, answer) => match alive {
                    Ok(()) => continue,
                    Err(error) => return Err(error.into()),
                }
            };
            return self.read(item).await;
        }
    }

    async fn read(&mut self, item: Option<ResultEntry>) -> Result<Said, Ended> {
        self.connection.flow.take();
        let Some(item) = item else {
            // Never waits: the end is here.
            let result = self.running.finish().await;
            return Err(Ended::Result(result.rc, result.text));
        };
        if item.is_ref() {
            return Ok(Said { what: What::Reference, cookie: None });
        }
        if item.is_intermediate() { read_info(item.0) } else { read_entry(item) }
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

fn read_info(message: StructureTag) -> Result<Said, Ended> {
    const NONE: LdapError = LdapError::Protocol("a message in between that is none");
    let parts = message.expect_constructed().ok_or(NONE)?;
    let part = |id| {
        parts.iter().find_map(|part| match &part.payload {
            PL::P(bytes) if part.id == id => Some(bytes.as_slice()),
            _ => None,
        })
    };
    // Any server may say things that others don't know (RFC 4511 section 4.13).
    if part(0) != Some(content_sync::INFO.as_bytes()) {
        return Ok(Said { what: What::Nothing, cookie: None });
    }
    let info = content_sync::read_info(part(1).ok_or(NONE)?).map_err(LdapError::Protocol)?;
    let what = match info.kind {
        InfoKind::NewCookie => What::Nothing,
        InfoKind::RefreshDelete { done } => What::PhaseEnds { present: false, done },
        InfoKind::RefreshPresent { done } => What::PhaseEnds { present: true, done },
        InfoKind::IdSet { gone: true, ids } => What::Gone(ids),
        InfoKind::IdSet { gone: false, ids } => What::Present(ids),
    };
    Ok(Said { what, cookie: info.cookie.map(<[u8]>::to_vec) })
}

fn read_entry(item: ResultEntry) -> Result<Said, Ended> {
    let (entry, controls) = (item.0, item.1);
    let is_state = |control: &&Control| control.1.ctype == content_sync::STATE;
    let value = controls.iter().find(is_state).and_then(|control| control.1.val.as_deref());
    let state = content_sync::read_state(value.ok_or(Ended::Stateless)?);
    let state = state.map_err(LdapError::Protocol)?;
    let one = Ids { whole: vec![state.id], cut: false };
    let what = match state.state {
        State::Present => What::Present(one),
        State::Delete => What::Gone(one),
        State::Add | State::Modify => What::Entry(state.id, Entry::new(entry)?),
    };
    Ok(Said { what, cookie: state.cookie.map(<[u8]>::to_vec) })
}

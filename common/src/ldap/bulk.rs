//! A search that finds much: all of a map, page by page (RFC 2696), or a subscription.
//!
//! What it finds goes past ldap3 (`bypass.rs`), which sees the request and the result.

use ldap3::controls::RawControl;
use ldap3::{LdapResult, ResultEntry};

use super::LdapError;
use super::bypass::{Message, Reader};
use super::connect::Connection;
use super::search::{Running, Search};

/// One, on a connection that does nothing else of this kind. Given up on the server when dropped.
pub(super) struct Bulk<'a> {
    connection: Connection,
    search: Search<'a>,
    running: Running<'a>,
    reader: Reader,
    /// The numbers of the last request and of the one before it.
    ids: [i32; 2],
    /// Whether something may wait here that came for the one before.
    is_behind: bool,
    end: End,
}

/// How far the last request is.
enum End {
    /// There is more to come.
    Open,
    /// The result has come, and before it all that it is about.
    Result(LdapResult),
    /// It was taken.
    Taken,
    Failed(LdapError),
}

impl<'a> Bulk<'a> {
    /// Asks. The control says which kind it is; the search's limit doesn't count.
    ///
    /// # Errors
    /// [`LdapError`]: the connection failed.
    pub(super) async fn start(
        connection: &Connection,
        search: Search<'a>,
        control: RawControl,
    ) -> Result<Self, LdapError> {
        let reader = connection.bypass.reader();
        let mut connection = connection.clone();
        let running = ask(&mut connection, search, control).await?;
        let ids = [running.id(); 2];
        Ok(Self { connection, search, running, reader, ids, is_behind: false, end: End::Open })
    }

    /// Asks on, with another control. What came for the last request, whose result was taken,
    /// and waits here yet, is given first.
    ///
    /// # Errors
    /// As [`Bulk::start`].
    pub(super) async fn ask_on(&mut self, control: RawControl) -> Result<(), LdapError> {
        self.running = ask(&mut self.connection, self.search, control).await?;
        self.ids = [self.ids[1], self.running.id()];
        self.is_behind = true;
        self.end = End::Open;
        Ok(())
    }

    /// What comes next, `None` at the end. Cancel safe.
    ///
    /// # Errors
    /// [`LdapError`]: the connection failed, and all that came before that has been given.
    pub(super) async fn next(&mut self) -> Result<Option<Message>, LdapError> {
        loop {
            let message = self.reader.take(self.ids);
            self.is_behind &= message.as_ref().is_some_and(|message| message.id != self.ids[1]);
            if message.is_some() {
                return Ok(message);
            }
            match &self.end {
                End::Open => {}
                End::Result(_) | End::Taken => return Ok(None),
                End::Failed(error) => return Err(error.clone()),
            }
            tokio::select! {
                biased;
                () = self.reader.came() => {}
                end = self.running.next() => self.note(end).await,
            }
        }
    }

    /// The result of the last request, once: as soon as it has come and all that came for the one
    /// before was taken, even if what came for this one waits.
    pub(super) async fn result(&mut self) -> Option<LdapResult> {
        if self.is_behind {
            return None;
        }
        if matches!(self.end, End::Open) {
            tokio::select! {
                biased;
                end = self.running.next() => self.note(end).await,
                () = std::future::ready(()) => {}
            }
        }
        match std::mem::replace(&mut self.end, End::Taken) {
            End::Result(result) => Some(result),
            other => {
                self.end = other;
                None
            }
        }
    }

    /// Takes note of what ldap3 has seen: nothing but the end.
    async fn note(&mut self, end: Result<Option<ResultEntry>, LdapError>) {
        self.end = match end {
            // Doesn't wait: it has come.
            Ok(None) => End::Result(self.running.finish().await),
            Ok(Some(_)) => End::Failed(LdapError::Protocol("an entry that went another way")),
            Err(error) => End::Failed(self.connection.explain(error)),
        };
    }
}

async fn ask<'a>(
    connection: &mut Connection,
    search: Search<'a>,
    control: RawControl,
) -> Result<Running<'a>, LdapError> {
    let (scope, filter) = (search.scope.into(), search.filter.as_str());
    let ldap = connection.ldap.with_controls(control);
    let stream = ldap.streaming_search(search.base, scope, filter, search.attributes).await;
    stream.map(Running::new).map_err(|error| connection.explain(error))
}

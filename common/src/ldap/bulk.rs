//! A search that finds much: all of a map, page by page (RFC 2696), or a subscription.
//!
//! What it finds goes past ldap3 (`bypass.rs`), which sees the request and the result.

use ldap3::LdapResult;
use ldap3::controls::RawControl;

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
        Ok(Self { connection, search, running, reader })
    }

    /// Asks again, with another control. What came for the last request doesn't count any more.
    ///
    /// # Errors
    /// As [`Bulk::start`].
    pub(super) async fn start_over(&mut self, control: RawControl) -> Result<(), LdapError> {
        self.running = ask(&mut self.connection, self.search, control).await?;
        Ok(())
    }

    /// What comes next, `None` at the end. Cancel safe.
    ///
    /// # Errors
    /// [`LdapError`]: the connection failed, and all that came before that has been given.
    pub(super) async fn next(&mut self) -> Result<Option<Message>, LdapError> {
        loop {
            if let Some(message) = self.reader.take(self.running.id()) {
                return Ok(Some(message));
            }
            tokio::select! {
                biased;
                () = self.reader.came() => {}
                end = self.running.next() => match end.map_err(|e| self.connection.explain(e))? {
                    // Whatever came before the result is there by now.
                    None => return Ok(self.reader.take(self.running.id())),
                    Some(_) => return Err(LdapError::Protocol("an entry that went another way")),
                },
            }
        }
    }

    /// The result.
    pub(super) async fn finish(&mut self) -> LdapResult {
        self.running.finish().await
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

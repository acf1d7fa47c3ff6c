//! A search that finds much: all of a map, page by page (RFC 2696), or a subscription.
//!
//! What it finds goes past ldap3 (`bypass.rs`), which sees the request and the result.

use ldap3::controls::RawControl;
use ldap3::{Ldap, LdapResult};

use super::LdapError;
use super::bypass::{Message, Reader};
use super::connect::Connection;
use super::search::{Running, Search};

/// One, on a connection that does nothing else of this kind. Given up on the server when dropped.
pub(super) struct Bulk<'a> {
    ldap: Ldap,
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
        let mut ldap = connection.ldap.clone();
        let running = ask(&mut ldap, search, control).await?;
        Ok(Self { ldap, search, running, reader })
    }

    /// Asks again, with another control. What came for the last request doesn't count any more.
    ///
    /// # Errors
    /// As [`Bulk::start`].
    pub(super) async fn start_over(&mut self, control: RawControl) -> Result<(), LdapError> {
        self.running = ask(&mut self.ldap, self.search, control).await?;
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
                end = self.running.next() => match end? {
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
    ldap: &mut Ldap,
    search: Search<'a>,
    control: RawControl,
) -> Result<Running<'a>, LdapError> {
    let (scope, filter) = (search.scope.into(), search.filter.as_str());
    let ldap = ldap.with_controls(control);
    let stream = ldap.streaming_search(search.base, scope, filter, search.attributes).await?;
    Ok(Running::new(stream))
}

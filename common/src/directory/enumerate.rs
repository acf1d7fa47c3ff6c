//! Reads a whole map, page by page, in constant memory.

use std::time::Duration;

use tokio::sync::mpsc::Sender;
use tokio::time::timeout_at;

use super::{Directory, accept};
use crate::account::Group;
use crate::config::Scope;
use crate::deadline::Deadline;
use crate::ldap::LdapError;
use crate::ldap::search::{Entry, Pages, Search};
use crate::protocol::{Batch, Map, Response};

/// About how many bytes of accounts are handed out at a time.
const BATCH_BYTES: usize = 128 << 10;
/// About what an account takes besides its members.
const ACCOUNT_BYTES: usize = 256;

/// How long a batch waits to be fetched before its enumeration ends.
pub const ASKER_PATIENCE: Duration = Duration::from_secs(30);

impl Directory {
    /// Sends the entries of a map as batches ([`Response::Users`] and so on,
    /// with `next` left empty) until the end or until the receiver is gone.
    ///
    /// `patience` is how long one page may take.
    ///
    /// # Errors
    /// [`LdapError`]; then the map was not read to its end.
    pub async fn enumerate(
        &self,
        map: Map,
        patience: Duration,
        to: &Sender<Result<Response, LdapError>>,
    ) -> Result<(), LdapError> {
        let deadline = Deadline::after(patience);
        let domain = &self.base(deadline).await?.domain;
        let (filter, attributes) = match map {
            Map::Users => (self.schema.users(), self.schema.user_attributes()),
            Map::Groups => (self.schema.groups(), self.schema.group_attributes()),
            Map::Shadows => (self.schema.shadows(None), self.schema.shadow_attributes()),
        };
        let (base, scope) = self.place_of(map, deadline).await?;
        let mut place = self.pool.own_place(deadline).await?;
        let search = Search { base, scope, filter: &filter, attributes: &attributes, limit: 0 };
        let start = Pages::start(&mut place.connection, search, self.config.page_size);
        let mut pages = within(patience, start).await?;

        match map {
            Map::Users => {
                let read = |entry: &_| accept(entry, self.schema.user(entry, domain));
                send_all(&mut pages, patience, to, read, |_| ACCOUNT_BYTES, Response::Users).await
            }
            Map::Groups => {
                let read = |entry: &_| accept(entry, self.schema.group(entry));
                let size = |group: &Group| ACCOUNT_BYTES + group.members.as_run().len();
                send_all(&mut pages, patience, to, read, size, Response::Groups).await
            }
            Map::Shadows => {
                let read = |entry: &_| accept(entry, self.schema.shadow(entry));
                send_all(&mut pages, patience, to, read, |_| ACCOUNT_BYTES, Response::Shadows).await
            }
        }
    }

    async fn place_of(&self, map: Map, deadline: Deadline) -> Result<(&str, Scope), LdapError> {
        let (base, scope) = match map {
            Map::Users | Map::Shadows => {
                (self.config.users.base.as_deref(), self.config.users.scope)
            }
            Map::Groups => (self.config.groups.base.as_deref(), self.config.groups.scope),
        };
        Ok((self.map_base(base, deadline).await?, scope))
    }
}

/// Sends batches as they become full. Waiting for the receiver is what keeps
/// the next page from being fetched early.
async fn send_all<T>(
    pages: &mut Pages<'_>,
    patience: Duration,
    to: &Sender<Result<Response, LdapError>>,
    read: impl Fn(&Entry) -> Option<T>,
    size: impl Fn(&T) -> usize,
    response: impl Fn(Batch<T>) -> Response,
) -> Result<(), LdapError> {
    let (mut entries, mut bytes) = (Vec::new(), 0);
    loop {
        let entry = within(patience, pages.next()).await?;
        let last = entry.is_none();
        if let Some(item) = entry.as_ref().and_then(&read) {
            bytes += size(&item);
            entries.push(item);
        }
        if bytes >= BATCH_BYTES || (last && !entries.is_empty()) {
            let batch = Batch { entries: std::mem::take(&mut entries), next: None };
            bytes = 0;
            if to.send_timeout(Ok(response(batch)), ASKER_PATIENCE).await.is_err() {
                return Ok(()); // Nobody wants the rest.
            }
        }
        if last {
            return Ok(());
        }
    }
}

async fn within<T>(
    patience: Duration,
    work: impl Future<Output = Result<T, LdapError>>,
) -> Result<T, LdapError> {
    let deadline = Deadline::after(patience);
    timeout_at(deadline.instant().into(), work).await.unwrap_or(Err(LdapError::TimedOut))
}

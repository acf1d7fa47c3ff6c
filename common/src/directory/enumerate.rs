//! Reads a whole map, page by page, in constant memory.

use std::time::{Duration, Instant};

use tokio::sync::mpsc::Sender;

use super::walk::{Extent, Walk, Walker};
use super::{Directory, accept};
use crate::account::Group;
use crate::deadline::Deadline;
use crate::ldap::LdapError;
use crate::ldap::search::Entry;
use crate::protocol::{Batch, Cursor, Map, Response};

/// About how many bytes of accounts are handed out at a time.
const BATCH_BYTES: usize = 128 << 10;
/// About what an account takes besides its members.
const ACCOUNT_BYTES: usize = 256;

/// How long a batch waits to be fetched before its enumeration ends.
pub const ASKER_PATIENCE: Duration = Duration::from_secs(600);

/// After this long a batch is sent even if it is empty.
const SIGN_OF_LIFE: Duration = Duration::from_secs(1);

/// Stands where the cursor of a batch will be; the end has none.
const PLACEHOLDER: Cursor = Cursor { session: 0, batch: 0 };

impl Directory {
    /// Sends the entries of a map as batches ([`Response::Users`] and so on,
    /// with a placeholder for `next`) until the end or until the receiver is gone.
    ///
    /// `patience` is how long one page may take.
    ///
    /// # Errors
    /// [`LdapError`]; then the map was not read to its end, or nobody wants the rest.
    pub async fn enumerate(
        &self,
        map: Map,
        patience: Duration,
        to: &Sender<Result<Response, LdapError>>,
    ) -> Result<(), LdapError> {
        let deadline = Deadline::after(patience);
        let domain = &self.users_domain(deadline).await?;
        let (filter, attributes) = match map {
            Map::Users => (self.schema.users(), self.schema.user_attributes()),
            Map::Groups => (self.schema.groups(), self.schema.group_attributes()),
            Map::Shadows => (self.schema.shadows(None), self.schema.shadow_attributes()),
        };
        let walk = self.walk(map, &filter, &attributes, patience, Walker::Asker, Extent::All);
        let mut walk = walk.await?;
        match map {
            Map::Users => {
                let read = |entry: &_| accept(entry, self.schema.user(entry, domain));
                send_all(&mut walk, to, read, |_| ACCOUNT_BYTES, Response::Users).await
            }
            Map::Groups => {
                let read = |entry: &_| accept(entry, self.schema.group(entry));
                let size = |group: &Group| ACCOUNT_BYTES + group.members.as_run().len();
                send_all(&mut walk, to, read, size, Response::Groups).await
            }
            Map::Shadows => {
                let read = |entry: &_| accept(entry, self.schema.shadow(entry));
                send_all(&mut walk, to, read, |_| ACCOUNT_BYTES, Response::Shadows).await
            }
        }
    }
}

/// Sends batches as they become full, and what there is, if only that there is
/// nothing yet, before the asker loses patience. Waiting for the receiver is what
/// keeps the next page from being fetched early.
async fn send_all<T>(
    walk: &mut Walk<'_>,
    to: &Sender<Result<Response, LdapError>>,
    read: impl Fn(&Entry) -> Option<T>,
    size: impl Fn(&T) -> usize,
    response: impl Fn(Batch<T>) -> Response,
) -> Result<(), LdapError> {
    let (mut entries, mut bytes, mut sent) = (Vec::new(), 0, Instant::now());
    loop {
        let entry = walk.next().await?;
        let last = entry.is_none();
        if let Some(item) = entry.as_ref().and_then(&read) {
            bytes += size(&item);
            entries.push(item);
        }
        if bytes >= BATCH_BYTES || sent.elapsed() >= SIGN_OF_LIFE || (last && !entries.is_empty()) {
            let batch = Batch { entries: std::mem::take(&mut entries), next: Some(PLACEHOLDER) };
            let batch = to.send_timeout(Ok(response(batch)), ASKER_PATIENCE);
            batch.await.map_err(|_| LdapError::TimedOut)?;
            (bytes, sent) = (0, Instant::now());
            walk.start_over();
        }
        if last {
            return Ok(());
        }
    }
}

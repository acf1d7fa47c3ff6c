//! Connections on which users' passwords are checked.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

use super::servers::Servers;
use super::{Pool, acquire, lock};
use crate::deadline::Deadline;
use crate::ldap::LdapError;
use crate::ldap::connect::Connection;

/// How many times as many passwords may be checked at a time as connections are kept
/// for that: a server may take seconds for one (an expensive hash), and two hundred
/// people come to work at the same time.
pub(super) const RUSH: usize = 15;
/// How long a login waits for a kept connection before it gets one of its own: much
/// longer than a bind usually takes, so that a burst doesn't become as many handshakes.
const ORDER: Duration = Duration::from_millis(250);

/// A connection for a user's bind, held alone.
#[derive(Debug)]
pub struct BindPlace {
    /// The connection.
    pub connection: Connection,
    /// Whether it was kept from an earlier login, and so may have been closed meanwhile.
    pub kept: bool,
    servers: Arc<Servers>,
    most_kept: usize,
    permit: Option<OwnedSemaphorePermit>,
}

impl BindPlace {
    /// Keeps the connection for the next login. Without this call it is closed
    /// when dropped: what became of a request that was given up isn't known.
    pub fn keep(self) {
        if !self.servers.is_preferred(self.connection.server) {
            return;
        }
        let mut home = lock(self.servers.idle_binds());
        if self.connection.is_alive() && home.len() < self.most_kept {
            home.push(self.connection);
        }
    }

    /// Lets another login have this one's place, while the connection is held on to.
    pub fn set_aside(&mut self) {
        self.permit = None;
    }
}

impl Pool {
    /// A connection for a user's bind.
    ///
    /// # Errors
    /// [`LdapError`]; [`LdapError::Busy`] if all are taken until the deadline.
    pub async fn bind_place(&self, deadline: Deadline) -> Result<BindPlace, LdapError> {
        let permit = self.bind_permit(deadline).await?;
        self.bind_place_with(permit, true, deadline).await
    }

    /// A new connection for a user's bind, where a kept one turned out to be closed.
    ///
    /// # Errors
    /// [`LdapError`]
    pub async fn replace(
        &self,
        place: BindPlace,
        deadline: Deadline,
    ) -> Result<BindPlace, LdapError> {
        let permit = match place.permit {
            Some(permit) => permit,
            None => self.bind_permit(deadline).await?,
        };
        self.bind_place_with(permit, false, deadline).await
    }

    /// The right to check a password: one of the few for which connections are kept, or
    /// in a rush one of many.
    async fn bind_permit(&self, deadline: Deadline) -> Result<OwnedSemaphorePermit, LdapError> {
        let few = acquire(&self.binds, deadline);
        tokio::pin!(few);
        if let Ok(permit) = timeout(ORDER, &mut few).await {
            return permit;
        }
        tokio::select! {
            permit = few => permit,
            permit = acquire(&self.rush, deadline) => permit,
        }
    }

    async fn bind_place_with(
        &self,
        permit: OwnedSemaphorePermit,
        may_be_kept: bool,
        deadline: Deadline,
    ) -> Result<BindPlace, LdapError> {
        let kept = {
            let mut idle = lock(self.servers.idle_binds());
            idle.retain(Connection::is_alive);
            if may_be_kept { idle.pop() } else { None }
        };
        let (connection, kept) = match kept {
            Some(connection) => (connection, true),
            None => (Box::pin(self.servers.connect_any(false, deadline)).await?, false),
        };
        Ok(BindPlace {
            connection,
            kept,
            servers: Arc::clone(&self.servers),
            most_kept: self.max,
            permit: Some(permit),
        })
    }
}

//! Which connection a request gets.
//!
//! A directory has a list of servers and keeps connections to them:
//!
//! - *shared* ones, bound as the reader. LDAP interleaves requests on one
//!   connection, so a few serve everybody. Logins have a set of their own, so
//!   that no burst of lookups stands before them.
//! - one for each enumeration under way, closed at its end: OpenLDAP knows one
//!   paged search a connection, and lookups must not wait behind it. The replica
//!   has places of its own for its readings.
//! - *bind* ones, on which users' passwords are checked, one at a time on each.
//!   They are kept between logins, so that a login costs no handshake. Nothing
//!   is ever searched on them: they carry the identity of whoever came last.
//!
//! **Failover.** A server that failed is tried last for a while. A connection
//! that turns out to be closed is replaced within the same request.
//!
//! **Outage.** When every server failed, requests fail at once, and one task
//! tries the servers again, at first soon and then less often. Its success ends
//! the outage; so does that of a request whose turn came first.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout_at;

use super::LdapError;
use super::connect::Connection;
use crate::config::{DirectoryConfig, Timeouts};
use crate::deadline::Deadline;

mod health;
mod servers;
mod shared;

pub use shared::Place;

use servers::{FAIR_TRIAL, Servers};
use shared::{CROWDED, Shared};

/// How many connections the replica has: one for users, one for groups.
const READINGS: usize = 2;

/// The connections of one directory.
#[derive(Debug)]
pub struct Pool {
    servers: Arc<Servers>,
    lookups: Shared,
    logins: Shared,
    enumerations: Arc<Semaphore>,
    readings: Arc<Semaphore>,
    binds: Arc<Semaphore>,
    idle_binds: Arc<Mutex<Vec<Connection>>>,
    max: usize,
}

/// A connection for a user's bind, held alone.
#[derive(Debug)]
pub struct BindPlace {
    /// The connection.
    pub connection: Connection,
    /// Whether it was kept from an earlier login, and so may have been closed meanwhile.
    pub kept: bool,
    home: Arc<Mutex<Vec<Connection>>>,
    most_kept: usize,
    permit: Option<OwnedSemaphorePermit>,
}

impl BindPlace {
    /// Keeps the connection for the next login. Without this call it is closed
    /// when dropped: what became of a request that was given up isn't known.
    pub fn keep(self) {
        let mut home = lock(&self.home);
        if self.connection.is_alive() && home.len() < self.most_kept {
            home.push(self.connection);
        }
    }

    /// Lets another login have this one's place, while the connection is held on to.
    pub fn set_aside(&mut self) {
        self.permit = None;
    }
}

/// A connection that is bound as the reader and held alone; closed when dropped.
#[derive(Debug)]
pub struct OwnPlace {
    /// The connection.
    pub connection: Connection,
    _permit: OwnedSemaphorePermit,
}

/// What a shared connection is wanted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Somebody looks something up.
    Lookup,
    /// Somebody logs in, and never waits for lookups.
    Login,
}

impl Pool {
    /// A pool without a connection yet; at most `max` of each kind.
    ///
    /// # Errors
    /// [`LdapError::Configuration`] when a certificate's file can't be used.
    pub fn new(
        config: &DirectoryConfig,
        timeouts: &Timeouts,
        max: usize,
    ) -> Result<Self, LdapError> {
        Ok(Self {
            servers: Arc::new(Servers::new(config, timeouts)?),
            lookups: Shared::new(max),
            logins: Shared::new(max),
            enumerations: Arc::new(Semaphore::new(max)),
            readings: Arc::new(Semaphore::new(READINGS)),
            binds: Arc::new(Semaphore::new(max)),
            idle_binds: Arc::default(),
            max,
        })
    }

    /// Whether passwords may be sent to every server of this directory.
    pub fn may_send_passwords(&self) -> bool {
        self.servers.may_send_passwords()
    }

    /// Why requests fail at once, if there is an outage.
    pub fn outage(&self) -> Option<LdapError> {
        self.servers.outage().map(LdapError::Down)
    }

    /// Whether there is another server to ask when one says nothing.
    pub fn has_alternatives(&self) -> bool {
        self.servers.count() > 1
    }

    /// Takes note that a server, connected before, said nothing to a request
    /// that gave it this long. The connection isn't used any more, the server is tried
    /// last for a while, and a probe, started at once, finds out whether there is
    /// an outage. One slow search on a healthy server costs no more than that.
    pub fn fell_silent(&self, connection: &Connection, waited: Duration) {
        if waited < FAIR_TRIAL {
            return;
        }
        connection.retire();
        lock(&self.idle_binds).retain(|idle| idle.server != connection.server);
        self.servers.suspect(connection.server);
    }

    /// A place on a connection that is bound as the reader.
    ///
    /// # Errors
    /// [`LdapError`]; [`LdapError::Down`] at once during an outage.
    pub async fn place(&self, purpose: Purpose, deadline: Deadline) -> Result<Place, LdapError> {
        let shared = match purpose {
            Purpose::Lookup => &self.lookups,
            Purpose::Login => &self.logins,
        };
        let permit = acquire(shared.places(), deadline).await?;
        if let Some(lane) = shared.free_lane(CROWDED) {
            return Ok(lane.place(permit));
        }
        let connecting = timeout_at(deadline.instant().into(), shared.connecting());
        let Ok(_connecting) = connecting.await else {
            return Err(LdapError::TimedOut);
        };
        // Somebody may have connected while this request waited.
        if let Some(lane) = shared.free_lane(CROWDED) {
            return Ok(lane.place(permit));
        }
        if shared.count() >= self.max
            && let Some(lane) = shared.free_lane(usize::MAX)
        {
            return Ok(lane.place(permit));
        }
        let connection = Box::pin(self.servers.connect_any(true, deadline)).await?;
        Ok(shared.add(connection).place(permit))
    }

    /// A connection for one enumeration.
    ///
    /// # Errors
    /// [`LdapError`]; [`LdapError::Busy`] if all are taken until the deadline.
    pub async fn own_place(&self, deadline: Deadline) -> Result<OwnPlace, LdapError> {
        self.own_place_with(&self.enumerations, deadline).await
    }

    /// A connection to read a map for the replica, which waits for nobody's enumeration.
    ///
    /// # Errors
    /// As [`Pool::own_place`].
    pub async fn reading_place(&self, deadline: Deadline) -> Result<OwnPlace, LdapError> {
        self.own_place_with(&self.readings, deadline).await
    }

    async fn own_place_with(
        &self,
        places: &Arc<Semaphore>,
        deadline: Deadline,
    ) -> Result<OwnPlace, LdapError> {
        let permit = acquire(places, deadline).await?;
        let connection = Box::pin(self.servers.connect_any(true, deadline)).await?;
        Ok(OwnPlace { connection, _permit: permit })
    }

    /// A connection for a user's bind.
    ///
    /// # Errors
    /// [`LdapError`]; [`LdapError::Busy`] if all are taken until the deadline.
    pub async fn bind_place(&self, deadline: Deadline) -> Result<BindPlace, LdapError> {
        let permit = acquire(&self.binds, deadline).await?;
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
            None => acquire(&self.binds, deadline).await?,
        };
        self.bind_place_with(permit, false, deadline).await
    }

    async fn bind_place_with(
        &self,
        permit: OwnedSemaphorePermit,
        may_be_kept: bool,
        deadline: Deadline,
    ) -> Result<BindPlace, LdapError> {
        let kept = {
            let mut idle = lock(&self.idle_binds);
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
            home: Arc::clone(&self.idle_binds),
            most_kept: self.max,
            permit: Some(permit),
        })
    }
}

async fn acquire(
    semaphore: &Arc<Semaphore>,
    deadline: Deadline,
) -> Result<OwnedSemaphorePermit, LdapError> {
    let permit = Arc::clone(semaphore).acquire_owned();
    match timeout_at(deadline.instant().into(), permit).await {
        Ok(Ok(permit)) => Ok(permit),
        _ => Err(LdapError::Busy),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

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
//! **Failover.** The servers are tried in their order, each with a head start before
//! the next (`servers.rs`). One that failed is tried last until a probe finds it
//! well; then new requests go to it, and connections to less preferred ones end when
//! nobody uses them any more; readings for the replica only when it has been well for a
//! minute, since it may be behind. A connection that turns out to be closed is replaced
//! within the same request.
//!
//! **Silence.** A request that gets no answer for a moment has its connection asked
//! something simple ([`Pool::attend`]). If that is answered the request is merely
//! slow. If not, nobody else is given this connection, the request is tried on
//! another one beside the first, and the server is probed.
//!
//! **Outage.** When every server failed, requests fail at once, and the servers
//! are probed (`health.rs` says when). The first answer ends the outage.
//!
//! | file | idea |
//! |---|---|
//! | `servers.rs` | connects to the first server that can be had |
//! | `health.rs` | which servers answer, and when to look again |
//! | `discovery.rs` | servers that the DNS names |
//! | `srv.rs` | in which order |
//! | `shared.rs` | connections that many requests share |
//! | `binds.rs` | connections on which passwords are checked |
//! | `silence.rs` | whether a request is slow, or nobody answers it |
//! | `check.rs` | whether anybody answers on a connection |

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout_at;

use super::LdapError;
use super::connect::Connection;
use crate::config::{DirectoryConfig, Timeouts};
use crate::deadline::Deadline;
use crate::protocol::ServerStatus;

mod binds;
mod check;
mod discovery;
mod health;
mod servers;
mod shared;
mod silence;
mod srv;

pub use binds::BindPlace;
pub use shared::Place;
pub use silence::Attended;

use binds::RUSH;
use servers::{FAIR_TRIAL, Servers};
use shared::{CROWD_PATIENCE, CROWDED, Shared};

/// How many connections the replica has: one for users, one for groups, and as many to hear
/// of changes.
const READINGS: usize = 4;

/// The connections of one directory.
#[derive(Debug)]
pub struct Pool {
    servers: Arc<Servers>,
    lookups: Shared,
    logins: Shared,
    enumerations: Arc<Semaphore>,
    readings: Arc<Semaphore>,
    binds: Arc<Semaphore>,
    /// For binds while all of those are taken.
    rush: Arc<Semaphore>,
    max: usize,
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
            rush: Arc::new(Semaphore::new(max.saturating_mul(RUSH))),
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

    /// Whether there is an outage in which no server says a word: none could be reached,
    /// or none answered in time. One that refuses, or that can't prove who it is, has answered.
    pub fn is_silent(&self) -> bool {
        self.servers.is_silent()
    }

    /// The same, as far as that has been found out since a time: a word that a server has said
    /// since then to whoever looked after it counts. `None`: it is still to be found out.
    pub fn is_silent_since(&self, since: Instant) -> Option<bool> {
        self.servers.is_silent_since(since)
    }

    /// Has somebody find out at once whether the servers answer.
    pub fn look(&self) {
        self.servers.look();
    }

    /// Whether there is another server to ask when one says nothing.
    pub fn has_alternatives(&self) -> bool {
        self.servers.count() > 1
    }

    /// What is known of the servers, in the order in which they are preferred.
    pub fn status(&self) -> Vec<ServerStatus> {
        self.servers.status()
    }

    /// The network is another one: what failed is looked at, and what is connected is
    /// checked, without anybody waiting for it. In the context of a runtime.
    pub fn network_changed(&self) {
        self.servers.network_changed();
        for connection in [&self.lookups, &self.logins].into_iter().flat_map(Shared::connections) {
            let servers = Arc::clone(&self.servers);
            tokio::spawn(async move {
                if !check::answers(&connection, Deadline::after(FAIR_TRIAL)).await {
                    connection.retire();
                    servers.suspect(connection.server);
                }
            });
        }
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
            return Ok(shared.place(lane, permit));
        }
        Box::pin(self.place_in_a_crowd(shared, permit, deadline)).await
    }

    /// A place where none is free: on a connection on which one becomes free, or on another one.
    async fn place_in_a_crowd(
        &self,
        shared: &Shared,
        permit: OwnedSemaphorePermit,
        deadline: Deadline,
    ) -> Result<Place, LdapError> {
        self.servers.check_outage()?;
        if let Some(lane) = shared.lane_soon(deadline.at_most(CROWD_PATIENCE)).await {
            return Ok(shared.place(lane, permit));
        }
        let connecting = timeout_at(deadline.instant().into(), shared.connecting());
        let connecting = tokio::select! {
            biased;
            Some(lane) = shared.lane_soon(deadline) => return Ok(shared.place(lane, permit)),
            connecting = connecting => connecting,
        };
        let Ok(_connecting) = connecting else {
            return Err(LdapError::TimedOut);
        };
        // Somebody may have connected while this request waited.
        if let Some(lane) = shared.free_lane(CROWDED) {
            return Ok(shared.place(lane, permit));
        }
        if shared.count() >= self.max
            && let Some(lane) = shared.free_lane(usize::MAX)
        {
            return Ok(shared.place(lane, permit));
        }
        let connection = self.servers.connect_any(true, deadline).await?;
        Ok(shared.place(shared.add(connection), permit))
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
        let place = self.own_place_with(&self.readings, deadline).await?;
        self.servers.is_for_reading(&place.connection);
        Ok(place)
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

#[cfg(test)]
mod tests;

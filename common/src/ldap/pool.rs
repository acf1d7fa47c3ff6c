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
//! | `check.rs` | whether anybody answers on a connection |

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{timeout, timeout_at};

use super::LdapError;
use super::connect::Connection;
use crate::config::{DirectoryConfig, Timeouts};
use crate::deadline::Deadline;
use crate::protocol::ServerStatus;

mod check;
mod discovery;
mod health;
mod servers;
mod shared;
mod srv;

pub use shared::Place;

use servers::{FAIR_TRIAL, Servers};
use shared::{CROWDED, Shared};

/// How many connections the replica has: one for users, one for groups, and as many to hear
/// of changes.
const READINGS: usize = 4;
/// How long a request may stay without an answer before its connection is asked
/// something; four times what is usual, if that is more, but no longer than
/// [`FAIR_TRIAL`]. And how long that question may, where another server can be asked.
const SILENCE: Duration = Duration::from_millis(250);

/// How many times as many passwords may be checked at a time as connections are kept
/// for that: a server may take seconds for one (an expensive hash), and two hundred
/// people come to work at the same time.
const RUSH: usize = 15;
/// How long a login waits for a kept connection before it gets one of its own: much
/// longer than a bind usually takes, so that a burst doesn't become as many handshakes.
const ORDER: Duration = Duration::from_millis(250);

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

/// How waiting for an answer has ended.
#[derive(Debug)]
pub enum Attended<T> {
    /// With the answer.
    Done(T),
    /// Nobody answers on the connection; the request may still be waited for.
    Silent,
}

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

    /// Takes note that a server, connected before, said nothing to a request
    /// that gave it this long. The connection isn't used any more, the server is tried
    /// last for a while, and a probe, started at once, finds out whether there is
    /// an outage. One slow search on a healthy server costs no more than that.
    pub fn fell_silent(&self, connection: &Connection, waited: Duration) {
        if waited < FAIR_TRIAL {
            return;
        }
        self.give_up(connection);
    }

    fn give_up(&self, connection: &Connection) {
        connection.retire();
        self.servers.suspect(connection.server);
    }

    /// Waits for a request on a shared connection: for this long, or until it shows that
    /// nobody answers there. Then the connection is given up for others, the server is
    /// probed, and the request may go on while it is tried elsewhere.
    pub async fn attend<F: Future + Unpin>(
        &self,
        connection: &Connection,
        mut request: F,
        patience: Duration,
    ) -> Attended<F::Output> {
        let begun = Instant::now();
        let silence = (self.servers.latency(connection.server) * 4).clamp(SILENCE, FAIR_TRIAL);
        // With nowhere else to go, a loaded server isn't asked twice so soon.
        let hurry = if self.has_alternatives() { silence } else { FAIR_TRIAL };
        let mut pause = silence;
        loop {
            let left = patience.saturating_sub(begun.elapsed());
            if let Ok(done) = timeout(pause.min(left), &mut request).await {
                self.servers.took(connection.server, begun.elapsed());
                return Attended::Done(done);
            }
            let left = patience.saturating_sub(begun.elapsed());
            if left.is_zero() {
                self.fell_silent(connection, patience);
                return Attended::Silent;
            }
            let answers = Box::pin(check::answers(connection, Deadline::after(hurry.min(left))));
            tokio::select! {
                biased;
                done = &mut request => return Attended::Done(done),
                // An asker in a hurry has found out nothing.
                answers = answers => if !answers && left >= hurry {
                    self.give_up(connection);
                    return Attended::Silent;
                }
            }
            pause = FAIR_TRIAL;
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
            return Ok(lane.place(permit));
        }
        self.servers.check_outage()?;
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

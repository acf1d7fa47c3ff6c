//! Which connection a request gets.
//!
//! A directory has a list of servers and keeps connections to them:
//!
//! - *shared* ones, bound as the reader. LDAP interleaves requests on one
//!   connection, so a few serve everybody. Logins have a set of their own, so
//!   that no burst of lookups stands before them.
//! - one for each enumeration under way, closed at its end: OpenLDAP knows one
//!   paged search a connection, and lookups must not wait behind it.
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

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout_at;

use super::LdapError;
use super::connect::{Connection, Connector, Remote};
use crate::config::{DirectoryConfig, Identity, Server, Timeouts};
use crate::deadline::Deadline;

mod health;
use health::Health;

/// From this many requests under way on each shared connection on, another is opened.
const CROWDED: usize = 32;
/// How long an outage lasts before the servers are tried again.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// A server that had less time than this to answer is not said to have failed:
/// an asker with a short deadline must not start an outage for everybody.
const FAIR_TRIAL: Duration = Duration::from_secs(1);
/// ldap3 remembers each search's id for ever; a connection is replaced after so many.
const MAX_OPERATIONS: usize = 1 << 20;

/// The connections of one directory.
#[derive(Debug)]
pub struct Pool {
    inner: Arc<Inner>,
    lookups: Shared,
    logins: Shared,
    enumerations: Arc<Semaphore>,
    binds: Arc<Semaphore>,
    idle_binds: Arc<Mutex<Vec<Connection>>>,
}

#[derive(Debug)]
struct Inner {
    connector: Connector,
    servers: Vec<Server>,
    reader: Option<Identity>,
    health: Mutex<Health>,
    connect_limit: Duration,
    max: usize,
    /// All connections, to retire them when an outage begins.
    made: Mutex<Vec<Remote>>,
}

/// A set of connections that are bound as the reader.
#[derive(Debug)]
struct Shared {
    connections: Mutex<Vec<Arc<Lane>>>,
    /// For the requests that may be under way: servers close a connection with
    /// too many (`conn_max_pending`, slapd.conf(5)).
    places: Arc<Semaphore>,
    /// Held while connecting, so that a hundred requests at a start make one connection.
    connecting: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct Lane {
    connection: Connection,
    under_way: AtomicUsize,
    started: AtomicUsize,
}

/// A place on a shared connection; given back when dropped.
#[derive(Debug)]
pub struct Place {
    /// The connection.
    pub connection: Connection,
    lane: Arc<Lane>,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.lane.under_way.fetch_sub(1, Ordering::Relaxed);
    }
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

/// No server could be had.
struct Failure {
    error: LdapError,
    /// Whether every server had time enough to answer.
    fair: bool,
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
        let connector = Connector::new(&config.tls, timeouts.idle);
        if config.servers.iter().any(|server| connector.uses_tls(server)) {
            connector.check()?;
        }
        let inner = Inner {
            connector,
            servers: config.servers.clone(),
            reader: config.reader.clone(),
            health: Mutex::new(Health::new(config.servers.len())),
            connect_limit: timeouts.connect,
            max,
            made: Mutex::default(),
        };
        Ok(Self {
            inner: Arc::new(inner),
            lookups: Shared::new(max),
            logins: Shared::new(max),
            enumerations: Arc::new(Semaphore::new(max)),
            binds: Arc::new(Semaphore::new(max)),
            idle_binds: Arc::default(),
        })
    }

    /// Whether passwords may be sent to every server of this directory.
    pub fn may_send_passwords(&self) -> bool {
        self.inner.servers.iter().all(|server| self.inner.connector.may_send_passwords(server))
    }

    /// Why requests fail at once, if there is an outage.
    pub fn outage(&self) -> Option<LdapError> {
        lock(&self.inner.health).outage().map(LdapError::Down)
    }

    /// Whether there is another server to ask when one says nothing.
    pub fn has_alternatives(&self) -> bool {
        self.inner.servers.len() > 1
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
        let begin = {
            let mut health = lock(&self.inner.health);
            health.failed(connection.server);
            health.begin_probe()
        };
        if begin {
            tokio::spawn(Inner::probe(Arc::downgrade(&self.inner), Duration::ZERO));
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
        let permit = acquire(&shared.places, deadline).await?;
        if let Some(lane) = shared.free_lane(CROWDED) {
            return Ok(lane.place(permit));
        }
        let Ok(_connecting) = timeout_at(deadline.instant().into(), shared.connecting.lock()).await
        else {
            return Err(LdapError::TimedOut);
        };
        // Somebody may have connected while this request waited.
        if let Some(lane) = shared.free_lane(CROWDED) {
            return Ok(lane.place(permit));
        }
        if shared.count() >= self.inner.max
            && let Some(lane) = shared.free_lane(usize::MAX)
        {
            return Ok(lane.place(permit));
        }
        let connection = Box::pin(self.inner.connect_any(true, deadline)).await?;
        Ok(shared.add(connection).place(permit))
    }

    /// A connection for one enumeration.
    ///
    /// # Errors
    /// [`LdapError`]; [`LdapError::Busy`] if all are taken until the deadline.
    pub async fn own_place(&self, deadline: Deadline) -> Result<OwnPlace, LdapError> {
        let permit = acquire(&self.enumerations, deadline).await?;
        let connection = Box::pin(self.inner.connect_any(true, deadline)).await?;
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
            None => (Box::pin(self.inner.connect_any(false, deadline)).await?, false),
        };
        Ok(BindPlace {
            connection,
            kept,
            home: Arc::clone(&self.idle_binds),
            most_kept: self.inner.max,
            permit: Some(permit),
        })
    }
}

impl Shared {
    fn new(max: usize) -> Self {
        Self {
            connections: Mutex::default(),
            places: Arc::new(Semaphore::new(max.saturating_mul(CROWDED))),
            connecting: tokio::sync::Mutex::default(),
        }
    }

    /// The live connection with the fewest requests, if they are fewer than `limit`.
    fn free_lane(&self, limit: usize) -> Option<Arc<Lane>> {
        let mut connections = lock(&self.connections);
        connections.retain(|lane| lane.connection.is_alive());
        let under_way = |lane: &&Arc<Lane>| lane.under_way.load(Ordering::Relaxed);
        connections.iter().min_by_key(under_way).filter(|lane| under_way(lane) < limit).cloned()
    }

    fn count(&self) -> usize {
        lock(&self.connections).len()
    }

    fn add(&self, connection: Connection) -> Arc<Lane> {
        let lane =
            Lane { connection, under_way: AtomicUsize::new(0), started: AtomicUsize::new(0) };
        let lane = Arc::new(lane);
        lock(&self.connections).push(Arc::clone(&lane));
        lane
    }
}

impl Lane {
    fn place(self: Arc<Self>, permit: OwnedSemaphorePermit) -> Place {
        self.under_way.fetch_add(1, Ordering::Relaxed);
        if self.started.fetch_add(1, Ordering::Relaxed) >= MAX_OPERATIONS {
            self.connection.retire();
        }
        Place { connection: self.connection.clone(), lane: self, _permit: permit }
    }
}

impl Inner {
    /// Connects to the first server that can be had, and binds as the reader if asked to.
    async fn connect_any(
        self: &Arc<Self>,
        as_reader: bool,
        deadline: Deadline,
    ) -> Result<Connection, LdapError> {
        if let Some(why) = lock(&self.health).outage() {
            return Err(LdapError::Down(why));
        }
        let result = self.try_servers(as_reader, deadline).await;
        if let Err(failure) = &result
            && failure.fair
        {
            self.begin_outage(&failure.error);
        }
        result.map_err(|failure| failure.error)
    }

    /// From now on requests fail at once, until the probe finds a server.
    fn begin_outage(self: &Arc<Self>, error: &LdapError) {
        let (begins, probe) = {
            let mut health = lock(&self.health);
            let begins = health.all_failed(error);
            (begins, health.outage().is_some() && health.begin_probe())
        };
        if begins {
            self.outage_began(error);
        }
        if probe {
            tokio::spawn(Self::probe(Arc::downgrade(self), FIRST_PAUSE));
        }
    }

    /// What was connected before is silent or closed: nobody should wait for it.
    fn outage_began(&self, error: &LdapError) {
        tracing::warn!(%error, "no server of the directory answers");
        lock(&self.made).drain(..).for_each(|connection| connection.retire());
    }

    async fn try_servers(
        &self,
        as_reader: bool,
        deadline: Deadline,
    ) -> Result<Connection, Failure> {
        let order = lock(&self.health).order();
        let mut last = Failure { error: LdapError::TimedOut, fair: true };
        for (position, &index) in order.iter().enumerate() {
            let Some(left) = deadline.remaining() else {
                last.fair = false;
                break;
            };
            // A server that says nothing must leave time for those after it.
            let servers_left = u32::try_from(order.len() - position).unwrap_or(1);
            let share = (left / servers_left).min(self.connect_limit);
            let server = &self.servers[index];
            match self.connect_one(index, as_reader, Deadline::after(share)).await {
                Ok(connection) => {
                    if lock(&self.health).answered(index) {
                        tracing::info!(%server, "the directory answers again");
                    }
                    return Ok(connection);
                }
                Err(error) => {
                    tracing::debug!(%server, %error, "a server failed");
                    if error == LdapError::TimedOut
                        && share < FAIR_TRIAL.min(self.connect_limit) / 2
                    {
                        last.fair = false;
                        continue;
                    }
                    lock(&self.health).failed(index);
                    // What another server made impossible says more than "too late".
                    if last.error == LdapError::TimedOut {
                        last.error = error;
                    }
                }
            }
        }
        Err(last)
    }

    async fn connect_one(
        &self,
        index: usize,
        as_reader: bool,
        deadline: Deadline,
    ) -> Result<Connection, LdapError> {
        let server = &self.servers[index];
        let mut connection = self.connector.connect(server, deadline).await?;
        connection.server = index;
        {
            let mut made = lock(&self.made);
            made.retain(Remote::is_alive);
            made.push(connection.remote());
        }
        if as_reader {
            timeout_at(deadline.instant().into(), self.bind_reader(&mut connection, server))
                .await
                .unwrap_or(Err(LdapError::TimedOut))?;
        }
        Ok(connection)
    }

    /// Binds as the reader; over `ldapi://` as this process (SASL EXTERNAL,
    /// RFC 4422 appendix A) unless a reader is configured; else stays anonymous.
    async fn bind_reader(
        &self,
        connection: &mut Connection,
        server: &Server,
    ) -> Result<(), LdapError> {
        match (&self.reader, server) {
            (Some(Identity { dn, password }), _) => {
                if !connection.private {
                    return Err(LdapError::Configuration(
                        "the reader's password may not go over a clear connection".into(),
                    ));
                }
                let result = connection.ldap.simple_bind(dn, password.expose()).await?;
                match result.rc {
                    0 => Ok(()),
                    _ => Err(LdapError::ReaderRefused(format!("{} ({})", result.text, result.rc))),
                }
            }
            (None, Server::Unix(_)) => {
                let result = connection.ldap.sasl_external_bind().await?;
                match result.rc {
                    // authMethodNotSupported, inappropriateAuthentication,
                    // invalidCredentials: not for this process, so it stays anonymous.
                    0 | 7 | 48 | 49 => Ok(()),
                    code => Err(LdapError::Result(code, result.text)),
                }
            }
            (None, Server::Tcp { .. }) => Ok(()),
        }
    }

    /// Tries the servers until one answers, at first after this pause. Ends with
    /// the pool. There is one at a time.
    async fn probe(this: Weak<Self>, mut pause: Duration) {
        loop {
            tokio::time::sleep(pause).await;
            let Some(inner) = this.upgrade() else { return };
            // Time for every server to have its full share.
            let servers = u32::try_from(inner.servers.len()).unwrap_or(u32::MAX);
            let deadline = Deadline::after(inner.connect_limit.saturating_mul(servers));
            let result = inner.try_servers(true, deadline).await;
            let mut health = lock(&inner.health);
            if let Err(failure) = result
                && health.all_failed(&failure.error)
            {
                inner.outage_began(&failure.error);
            }
            match health.next_probe() {
                Some(next) => pause = next,
                None => return,
            }
        }
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

/// Now, on the clock of this file.
fn now() -> Instant {
    Instant::now()
}

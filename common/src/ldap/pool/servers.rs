//! The servers of a directory: which one is connected to, and what happens when
//! none can be.
//!
//! **A race with head starts.** The servers are tried in their order, and one that
//! doesn't answer within a moment isn't waited for: the next one is tried beside
//! it, and whoever answers first is taken. So a server whose packets vanish costs a
//! request a quarter of a second and not its time. The one that was overtaken is
//! doubted, so that the next request begins with another.
//!
//! **Judges.** An asker may be in a hurry; its patience says nothing about a server. So one
//! attempt at a time of each server has its full time, whoever began it and whether
//! that one still waits or not. Its end is the verdict, and whoever is told that nobody
//! answered is told after it.
//!
//! | file | idea |
//! |---|---|
//! | `race.rs` | connects to the first that can be had |
//! | `verdict.rs` | what an attempt says about a server |
//! | `probe.rs` | looks after those that failed |
//! | `open.rs` | one connection, up to the reader's bind |
//! | `made.rs` | the connections that there are, and when they end |

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::{Notify, watch};

use super::discovery::{self, Listed};
use super::health::Health;
use super::lock;
use crate::config::{DirectoryConfig, Identity, Server, Source, Timeouts};
use crate::ldap::LdapError;
use crate::ldap::connect::{Connection, Connector};
use crate::protocol::ServerStatus;
use crate::random;

mod made;
mod open;
mod probe;
mod race;
mod verdict;

use made::Made;

/// A server that had less time than this to answer is not said to have failed:
/// an asker with a short deadline must not start an outage for everybody.
pub(super) const FAIR_TRIAL: Duration = Duration::from_secs(1);

/// The servers of a directory.
#[derive(Debug)]
pub(super) struct Servers {
    connector: Connector,
    sources: Vec<Source>,
    /// A certificate is no proof of a name that somebody else chose (`discovery.rs`).
    wants_own_targets: bool,
    reader: Option<Identity>,
    health: Mutex<Health>,
    connect_limit: Duration,
    /// All connections, to retire them.
    made: Mutex<Vec<Made>>,
    /// Those on which users have bound, and nobody does at the moment.
    idle_binds: Mutex<Vec<Connection>>,
    /// What a probe connected, for the first who wants one.
    spare: Mutex<Option<Connection>>,
    /// Whether somebody waits to have readings go to a preferred server.
    moving: AtomicBool,
    /// Has the probes look at once.
    wake: Arc<Notify>,
    /// An attempt that judges has come to its end.
    judged: Notify,
    /// Has the DNS asked at once.
    ask: Arc<Notify>,
    /// Whether somebody asks the DNS.
    asking: AtomicBool,
    /// Whether the DNS has said something, or failed to.
    listed: watch::Sender<bool>,
}

impl Servers {
    pub(super) fn new(config: &DirectoryConfig, timeouts: &Timeouts) -> Result<Self, LdapError> {
        let connector = Connector::new(&config.tls, timeouts.idle);
        if config.servers.iter().any(|source| connector.uses_tls(&example(source))) {
            connector.check()?;
        }
        let sources = config.servers.clone();
        let asks = sources.iter().any(|source| matches!(source, Source::Domain(_)));
        let mut health = Health::default();
        let Listed { servers, why } = discovery::fixed(&sources);
        health.list(servers, why, Instant::now());
        Ok(Self {
            connector,
            sources,
            wants_own_targets: config.tls.starttls && config.tls.ca_file.is_none(),
            reader: config.reader.clone(),
            health: Mutex::new(health),
            connect_limit: timeouts.connect,
            made: Mutex::default(),
            idle_binds: Mutex::default(),
            spare: Mutex::default(),
            moving: AtomicBool::new(false),
            wake: Arc::default(),
            judged: Notify::new(),
            ask: Arc::default(),
            asking: AtomicBool::new(false),
            listed: watch::Sender::new(!asks),
        })
    }

    pub(super) fn sources(&self) -> &[Source] {
        &self.sources
    }

    pub(super) fn asked_for(&self) -> Arc<Notify> {
        Arc::clone(&self.ask)
    }

    pub(super) fn wants_own_targets(&self) -> bool {
        self.wants_own_targets
    }

    pub(super) fn idle_binds(&self) -> &Mutex<Vec<Connection>> {
        &self.idle_binds
    }

    pub(super) fn count(&self) -> usize {
        lock(&self.health).count()
    }

    pub(super) fn may_send_passwords(&self) -> bool {
        self.sources.iter().all(|source| self.connector.may_send_passwords(&example(source)))
    }

    /// Why requests fail at once, if there is an outage.
    pub(super) fn outage(&self) -> Option<String> {
        lock(&self.health).outage()
    }

    /// Whether there is an outage in which no server says a word.
    pub(super) fn is_silent(&self) -> bool {
        lock(&self.health).is_silent()
    }

    /// The same, as far as that has been found out since a time.
    pub(super) fn is_silent_since(&self, since: Instant) -> Option<bool> {
        lock(&self.health).is_silent_since(since)
    }

    /// Has somebody look at once whether the servers answer.
    pub(super) fn look(self: &Arc<Self>) {
        if lock(&self.health).doubt_all(Instant::now()) {
            self.look_after_the_failed();
        }
    }

    pub(super) fn status(&self) -> Vec<ServerStatus> {
        let known = lock(&self.health).status(Instant::now(), SystemTime::now());
        if !known.is_empty() {
            return known;
        }
        // Not asked for yet, or not found.
        let why = self.outage();
        let state = match why {
            Some(_) => crate::protocol::ServerState::Failed,
            None => crate::protocol::ServerState::Untried,
        };
        let sources = self.sources.iter().map(|source| ServerStatus {
            address: source.to_string(),
            state,
            since: 0,
            latency: 0,
            why: why.clone(),
        });
        sources.collect()
    }

    /// Whether a connection to this server is as good as one to any other.
    pub(super) fn is_preferred(&self, id: usize) -> bool {
        lock(&self.health).is_preferred(id)
    }

    /// How long a request to this server usually takes.
    pub(super) fn latency(&self, id: usize) -> Duration {
        lock(&self.health).latency(id).unwrap_or_default()
    }

    /// Takes note of how long a request took.
    pub(super) fn took(&self, id: usize, time: Duration) {
        lock(&self.health).took(id, time);
    }

    /// Takes another list into use.
    pub(super) fn list(self: &Arc<Self>, listed: Listed) {
        let (gone, turn) = lock(&self.health).list(listed.servers, listed.why, Instant::now());
        self.retire(|made| gone.contains(&made.server));
        lock(&self.idle_binds).retain(|idle| !gone.contains(&idle.server));
        self.follow(turn, None);
        self.retire_the_less_preferred();
        self.look_after_the_failed();
        self.listed.send_replace(true);
    }

    /// Takes note of a server that was connected and fell silent, and has somebody
    /// look at once whether it has failed.
    pub(super) fn suspect(self: &Arc<Self>, id: usize) {
        lock(&self.idle_binds).retain(|idle| idle.server != id);
        if lock(&self.health).doubt(id, Instant::now()) {
            self.look_after_the_failed();
        }
    }

    /// The network is another one: what failed is looked at, and the DNS is asked.
    pub(super) fn network_changed(self: &Arc<Self>) {
        lock(&self.health).network_changed(Instant::now());
        self.check_idle_binds(|_| true);
        drop(lock(&self.spare).take());
        self.ask.notify_one();
        self.look_after_the_failed();
    }

    /// Fails at once if there is an outage, and has somebody look whether it ends.
    pub(super) fn check_outage(self: &Arc<Self>) -> Result<(), LdapError> {
        let (why, earlier) = {
            let mut health = lock(&self.health);
            let Some(why) = health.outage() else { return Ok(()) };
            (why, health.somebody_waits(Instant::now()))
        };
        if earlier {
            self.wake.notify_one();
        }
        self.look_after_the_failed();
        Err(LdapError::Down(why))
    }
}

impl Drop for Servers {
    /// Whoever looks after them ends.
    fn drop(&mut self) {
        self.ask.notify_one();
        self.wake.notify_one();
    }
}

/// An address of the kind that a source gives.
fn example(source: &Source) -> Server {
    match source {
        Source::Server(server) => server.clone(),
        Source::Domain(name) => Server::Tcp { host: name.clone(), port: 389, implicit_tls: false },
    }
}

/// Waits until [`discovery::keep`] has given its list.
#[cfg(test)]
pub(super) async fn wait_for_the_first_list(servers: &Servers) {
    let mut listed = servers.listed.subscribe();
    listed.changed().await.unwrap();
}

/// A number from 0 to 1.
fn chance() -> f64 {
    let number = random::token().unwrap_or(u64::MAX) % 1000;
    f64::from(u32::try_from(number).unwrap_or_default()) / 1000.0
}

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
//! that one still waits or not. Its end is the verdict.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::{Notify, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep_until, timeout, timeout_at};

use super::discovery::{self, Listed};
use super::health::{Candidate, Health, Turn};
use super::{check, lock};
use crate::config::{DirectoryConfig, Identity, Server, Source, Timeouts};
use crate::deadline::Deadline;
use crate::ldap::LdapError;
use crate::ldap::connect::{Connection, Connector, Remote};
use crate::protocol::ServerStatus;
use crate::random;

/// A server that had less time than this to answer is not said to have failed:
/// an asker with a short deadline must not start an outage for everybody.
pub(super) const FAIR_TRIAL: Duration = Duration::from_secs(1);
/// How long a server has before the next one is tried as well; one that usually
/// needs longer has thrice its time, up to [`FAIR_TRIAL`].
const HEAD_START: Duration = Duration::from_millis(250);
/// For how long a preferred server has to be well before readings go back to it; and up to
/// half as much again, so that the hosts of a site don't come all at once.
const SETTLED: Duration = Duration::from_secs(60);

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
    /// Has the DNS asked at once.
    ask: Arc<Notify>,
    /// Whether somebody asks the DNS.
    asking: AtomicBool,
    /// Whether the DNS has said something, or failed to.
    listed: watch::Sender<bool>,
}

#[derive(Debug)]
struct Made {
    remote: Remote,
    server: usize,
    /// Whether it is bound as the reader, and not a user's.
    reader: bool,
    /// Whether a map is read on it: to begin that anew costs more than a handshake.
    reading: bool,
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

    /// Connects to the first server that can be had, and binds as the reader if asked to.
    pub(super) async fn connect_any(
        self: &Arc<Self>,
        as_reader: bool,
        deadline: Deadline,
    ) -> Result<Connection, LdapError> {
        self.wait_for_a_list(deadline).await;
        self.check_outage()?;
        if as_reader && let Some(connection) = self.take_spare() {
            return Ok(connection);
        }
        self.race(as_reader, deadline).await
    }

    /// Has the DNS asked, where that is needed, and waits for what it says: as long as
    /// there is time when no server is known, else a moment.
    async fn wait_for_a_list(self: &Arc<Self>, deadline: Deadline) {
        if *self.listed.borrow() {
            return;
        }
        if !self.asking.swap(true, Ordering::AcqRel) {
            discovery::begin(self);
        }
        let until = if self.count() == 0 { deadline } else { deadline.at_most(HEAD_START) };
        let mut listed = self.listed.subscribe();
        let _ = timeout_at(until.instant().into(), listed.wait_for(|listed| *listed)).await;
    }

    fn take_spare(&self) -> Option<Connection> {
        let spare = lock(&self.spare).take()?;
        (spare.is_alive() && self.is_preferred(spare.server)).then_some(spare)
    }

    async fn race(
        self: &Arc<Self>,
        as_reader: bool,
        deadline: Deadline,
    ) -> Result<Connection, LdapError> {
        let mut order = lock(&self.health).order().into_iter().peekable();
        let mut under_way: Vec<usize> = Vec::new();
        let mut attempts = JoinSet::new();
        let mut failure = LdapError::TimedOut;
        loop {
            if let Some(next) = order.next() {
                let (id, head_start) = (next.id, head_start(&next));
                under_way.push(id);
                let attempt = Arc::clone(self).attempt(next, as_reader, deadline);
                attempts.spawn(async move { (id, attempt.await) });
                // With little time left, every server has its turn all the same.
                let left = deadline.remaining().unwrap_or_default();
                let share = left / u32::try_from(order.len() + 1).unwrap_or(u32::MAX);
                let patience = if order.peek().is_some() { head_start.min(share) } else { left };
                match timeout(patience, self.first(&mut attempts, &mut under_way)).await {
                    Ok(Some(Ok(connection))) => return Ok(connection),
                    Ok(Some(Err(error))) => note(&mut failure, error),
                    Ok(None) | Err(_) => {}
                }
            } else {
                let first = self.first(&mut attempts, &mut under_way);
                match timeout_at(deadline.instant().into(), first).await {
                    Ok(Some(Ok(connection))) => return Ok(connection),
                    Ok(Some(Err(error))) => note(&mut failure, error),
                    Ok(None) => return Err(failure),
                    Err(_) => return Err(LdapError::TimedOut),
                }
            }
        }
    }

    /// What the next attempt to end has come to. Who was overtaken is doubted.
    async fn first(
        self: &Arc<Self>,
        attempts: &mut JoinSet<(usize, Result<Connection, LdapError>)>,
        under_way: &mut Vec<usize>,
    ) -> Option<Result<Connection, LdapError>> {
        let Ok((id, result)) = attempts.join_next().await? else {
            return Some(Err(LdapError::Busy)); // the runtime ends
        };
        let position = under_way.iter().position(|&other| other == id)?;
        if result.is_ok() {
            under_way[..position].iter().for_each(|&slower| self.suspect(slower));
        }
        under_way.remove(position);
        Some(result)
    }

    /// Connects to a server. The first attempt judges it, and goes on after its
    /// asker has left.
    async fn attempt(
        self: Arc<Self>,
        to: Candidate,
        as_reader: bool,
        deadline: Deadline,
    ) -> Result<Connection, LdapError> {
        if let Some(judge) = Judge::begin(&self, to.id) {
            let judging = tokio::spawn(judge.run(to.server, as_reader, false));
            return judging.await.unwrap_or(Err(LdapError::Busy)); // the runtime ends
        }
        let begun = Instant::now();
        let until = deadline.at_most(self.connect_limit);
        let result = self.connect_one(to.id, &to.server, as_reader, until).await;
        match &result {
            Err(LdapError::TimedOut) if begun.elapsed() < self.connect_limit => {}
            Err(error) => self.judge_by(to, error, begun, None, None),
            Ok(_) => self.note(to.id, &to.server, None, begun),
        }
        result
    }

    /// Takes note of an attempt that failed: that alone doesn't make a server failed that
    /// answers on a connection made earlier.
    fn judge_by(
        self: &Arc<Self>,
        to: Candidate,
        error: &LdapError,
        begun: Instant,
        asked: Option<JoinHandle<bool>>,
        judge: Option<Judge>,
    ) {
        if !matches!(error, LdapError::ReaderRefused(_)) {
            self.check_idle_binds(|idle| idle.server == to.id);
        }
        let Some(asked) = asked.or_else(|| self.ask_the_living(to.id)) else {
            return self.note(to.id, &to.server, Some(error), begun);
        };
        let (this, error) = (Arc::clone(self), error.clone());
        tokio::spawn(async move {
            if asked.await.unwrap_or(false) {
                this.note_beside_a_living(&to, &error, begun);
            } else {
                this.note(to.id, &to.server, Some(&error), begun);
            }
            drop(judge);
        });
    }

    /// Asks on all connections to a server that are bound as the reader, and retires those
    /// on which nobody answers. Whether somebody does on one; `None` if there is none.
    /// A reading finds out by itself: it may have its answers wait.
    fn ask_the_living(&self, id: usize) -> Option<JoinHandle<bool>> {
        let living: Vec<_> = lock(&self.made)
            .iter()
            .filter(|made| made.reader && made.server == id)
            .filter_map(|made| Some((made.remote.connection()?, made.reading)))
            .collect();
        if living.is_empty() {
            return None;
        }
        let deadline = Deadline::after(FAIR_TRIAL.min(self.connect_limit));
        let mut asked = JoinSet::new();
        for (connection, reading) in living {
            asked.spawn(async move {
                let answers = check::answers(&connection, deadline).await;
                if !answers && !reading {
                    connection.retire();
                }
                answers
            });
        }
        Some(tokio::spawn(async move {
            while let Some(answers) = asked.join_next().await {
                if answers.unwrap_or(false) {
                    asked.detach_all();
                    return true;
                }
            }
            false
        }))
    }

    /// Has the connections that are kept for logins asked. Nobody gets one of them until
    /// it has answered: a new one costs a login less than a silent one.
    fn check_idle_binds(self: &Arc<Self>, which: impl Fn(&Connection) -> bool) {
        let idle: Vec<_> = lock(&self.idle_binds).extract_if(.., |idle| which(idle)).collect();
        let most = idle.len();
        for connection in idle {
            let this = Arc::clone(self);
            tokio::spawn(async move {
                if check::answers(&connection, Deadline::after(FAIR_TRIAL)).await
                    && this.is_preferred(connection.server)
                {
                    let mut home = lock(&this.idle_binds);
                    if home.len() < most {
                        home.push(connection);
                    }
                }
            });
        }
    }

    fn note_beside_a_living(self: &Arc<Self>, to: &Candidate, error: &LdapError, begun: Instant) {
        let server = &to.server;
        tracing::debug!(%server, %error, "a server answers, but can't be connected to anew");
        let now = Instant::now();
        let turn = lock(&self.health).failed_beside_a_living(to.id, error, begun, now, chance());
        self.follow(turn, Some(server));
        self.look_after_the_failed();
    }

    /// Takes note of what an attempt has come to.
    fn note(
        self: &Arc<Self>,
        id: usize,
        server: &Server,
        error: Option<&LdapError>,
        begun: Instant,
    ) {
        let now = Instant::now();
        let turn = {
            let mut health = lock(&self.health);
            match error {
                None => health.answered(id, now.duration_since(begun), now),
                Some(error) => health.failed(id, error, begun, now, chance()),
            }
        };
        let changed = turn.changed;
        if changed && let Some(error) = error {
            tracing::warn!(%server, %error, "a server fails");
            // None of them answers. What users are bound on shows by itself whether it does.
            self.retire(|made| made.reader && made.server == id);
        }
        self.follow(turn, Some(server));
        if error.is_some() {
            self.look_after_the_failed();
        } else if changed {
            self.retire_the_less_preferred();
        }
    }

    /// Does what follows from something that was learned.
    fn follow(self: &Arc<Self>, turn: Turn, server: Option<&Server>) {
        if let Some(error) = turn.began {
            tracing::warn!(error, "no server of the directory answers");
            // They may have moved.
            self.ask.notify_one();
        }
        if turn.ended {
            let server = server.map(ToString::to_string);
            tracing::info!(server, "the directory answers again");
        } else if turn.changed
            && let Some(server) = server
        {
            tracing::debug!(%server, "a server's state has changed");
        }
    }

    /// A preferred server is well: who is connected to another one finishes there,
    /// and goes to it next.
    fn retire_the_less_preferred(self: &Arc<Self>) {
        self.retire(|made| made.reader && !made.reading && !self.is_preferred(made.server));
        lock(&self.idle_binds).retain(|idle| self.is_preferred(idle.server));
        let mut spare = lock(&self.spare);
        *spare = spare.take().filter(|spare| self.is_preferred(spare.server));
        drop(spare);
        if !self.moving.swap(true, Ordering::AcqRel) {
            let pause = SETTLED.mul_f64(1.0 + chance() / 2.0);
            match self.move_readings(pause) {
                Some(due) => drop(tokio::spawn(Self::moving(Arc::downgrade(self), pause, due))),
                None => self.moving.store(false, Ordering::Release),
            }
        }
    }

    /// Retires the readings to whose server another one is preferred that has been well for
    /// that long. When to do that again, if there are others.
    pub(super) fn move_readings(&self, pause: Duration) -> Option<Instant> {
        let (now, mut next) = (Instant::now(), None::<Instant>);
        self.retire(|made| {
            let due = made.reading.then(|| lock(&self.health).better_since(made.server)).flatten();
            let Some(due) = due.map(|since| since + pause) else { return false };
            if due > now && made.remote.is_alive() {
                next = Some(next.map_or(due, |next| next.min(due)));
            }
            due <= now
        });
        next
    }

    async fn moving(this: Weak<Self>, pause: Duration, mut due: Instant) {
        loop {
            sleep_until(due.into()).await;
            let Some(servers) = this.upgrade() else { return };
            match servers.move_readings(pause) {
                Some(next) => due = next,
                None => return servers.moving.store(false, Ordering::Release),
            }
        }
    }

    /// Takes note of what a connection is used for: reading a map.
    pub(super) fn is_for_reading(&self, connection: &Connection) {
        let mut made = lock(&self.made);
        if let Some(made) = made.iter_mut().find(|made| made.remote.is(connection)) {
            made.reading = true;
        }
    }

    fn retire(&self, mut which: impl FnMut(&Made) -> bool) {
        lock(&self.made).retain(|made| {
            let retired = which(made);
            if retired {
                made.remote.retire();
            }
            !retired && made.remote.is_alive()
        });
    }

    async fn connect_one(
        &self,
        id: usize,
        server: &Server,
        as_reader: bool,
        deadline: Deadline,
    ) -> Result<Connection, LdapError> {
        let mut connection = self.connector.connect(server, deadline).await?;
        connection.server = id;
        if as_reader {
            timeout_at(deadline.instant().into(), self.bind_reader(&mut connection, server))
                .await
                .unwrap_or(Err(LdapError::TimedOut))?;
        }
        // Not earlier: nothing may be asked beside a bind (RFC 4511 section 4.2.1).
        let mut made = lock(&self.made);
        made.retain(|made| made.remote.is_alive());
        let remote = connection.remote();
        made.push(Made { remote, server: id, reader: as_reader, reading: false });
        drop(made);
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

    /// Has what failed, or is doubted, probed until it answers.
    fn look_after_the_failed(self: &Arc<Self>) {
        if lock(&self.health).begin_probing() {
            tokio::spawn(Self::probe(Arc::downgrade(self), Arc::clone(&self.wake)));
        } else {
            self.wake.notify_one();
        }
    }

    /// Probes what is due, until all is well. Ends with the pool. There is one at a time.
    async fn probe(this: Weak<Self>, wake: Arc<Notify>) {
        loop {
            let Some(servers) = this.upgrade() else { return };
            let Some((due, next)) = lock(&servers.health).due(Instant::now()) else { return };
            for Candidate { id, server, .. } in due {
                let Some(judge) = Judge::begin(&servers, id) else { continue };
                let servers = Arc::clone(&servers);
                tokio::spawn(async move {
                    if let Ok(connection) = judge.run(server, true, true).await {
                        *lock(&servers.spare) = Some(connection);
                    }
                });
            }
            drop(servers);
            tokio::select! {
                () = sleep_until(next.into()) => {}
                () = wake.notified() => {}
            }
        }
    }
}

/// An attempt whose end is the verdict over a server.
struct Judge {
    servers: Arc<Servers>,
    id: usize,
}

impl Judge {
    fn begin(servers: &Arc<Servers>, id: usize) -> Option<Self> {
        let judges = lock(&servers.health).judge(id, Instant::now());
        judges.then(|| Self { servers: Arc::clone(servers), id })
    }

    /// Connects, and has the server answer a question if it is nobody's request that
    /// comes next anyhow.
    async fn run(
        self,
        server: Server,
        as_reader: bool,
        ask: bool,
    ) -> Result<Connection, LdapError> {
        let begun = Instant::now();
        let (servers, limit) = (Arc::clone(&self.servers), self.servers.connect_limit);
        let deadline = Deadline::after(limit);
        let mut attempt = Box::pin(async {
            let connection = servers.connect_one(self.id, &server, as_reader, deadline).await?;
            if ask && !check::answers(&connection, deadline).await {
                return Err(LdapError::TimedOut);
            }
            Ok(connection)
        });
        // The others are asked so early that they don't put the verdict off.
        let mut asked = None;
        let early = timeout(limit.saturating_sub(FAIR_TRIAL), &mut attempt).await;
        let result = if let Ok(result) = early {
            result
        } else {
            asked = servers.ask_the_living(self.id);
            attempt.as_mut().await
        };
        drop(attempt);
        match &result {
            Ok(_) => servers.note(self.id, &server, None, begun),
            Err(error) => {
                let to = Candidate { id: self.id, server, connecting: None };
                servers.judge_by(to, error, begun, asked, Some(self));
            }
        }
        result
    }
}

impl Drop for Servers {
    /// Whoever looks after them ends.
    fn drop(&mut self) {
        self.ask.notify_one();
        self.wake.notify_one();
    }
}

impl Drop for Judge {
    fn drop(&mut self) {
        lock(&self.servers.health).judged(self.id);
        self.servers.wake.notify_one();
    }
}

/// What another server made impossible says more than "too late".
fn note(failure: &mut LdapError, error: LdapError) {
    if *failure == LdapError::TimedOut {
        *failure = error;
    }
}

fn head_start(candidate: &Candidate) -> Duration {
    let usual = candidate.connecting.unwrap_or_default() * 3;
    HEAD_START.max(usual).min(FAIR_TRIAL)
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

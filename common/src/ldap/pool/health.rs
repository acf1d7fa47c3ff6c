//! Which servers answered, in which order to try them, and when to look at the
//! others again. Decides only; connects nothing, and is told what time it is.
//!
//! A server *answers*, has *failed*, or wasn't needed yet. Besides it may be
//! *doubted*: something kept silent, or another server was quicker. A doubted one is
//! tried after the others until somebody has found out; only an attempt that had its
//! full time says that a server has failed. When all have failed there is an
//! *outage*: requests fail at once, and only probes connect.
//!
//! **When a failed server is probed.** In the first minute every [`QUICK`] at the
//! latest; then the pauses double up to [`SLOW`]. Each has some chance in it, so
//! that the hosts of a site don't come all at once. A request during an outage waits for
//! nothing, but makes the host impatient for another minute: the next probe is
//! due [`QUICK`] after the last one, and more follow at that pace. So
//!
//! - a server that comes back is in use within a second as long as the outage is
//!   young, or somebody asked for something within the last minute;
//! - a host on which nobody asks for anything sends four packets a minute. The
//!   first request after such a rest may still fail, at once; the probe that it
//!   starts lets the next one succeed.
//!
//! A server that refuses costs one packet a probe. One that says nothing is
//! probed by one attempt at a time, which sends a packet every half second itself.

use std::time::{Duration, Instant, SystemTime};

use crate::config::Server;
use crate::ldap::LdapError;
use crate::protocol::{ServerState, ServerStatus};

/// The longest pause between two probes while somebody waits for the server.
const QUICK: Duration = Duration::from_millis(500);
/// For how long after a failure, or a request in vain, somebody is taken to wait.
const WAITS: Duration = Duration::from_secs(60);
/// For how long changes of the network make nobody impatient again: on a host of containers
/// they never end.
const CHURN: Duration = Duration::from_secs(600);
/// The longest pause at all.
const SLOW: Duration = Duration::from_secs(15);
/// The shortest one, after a probe that took long.
const LEAST: Duration = Duration::from_millis(50);
/// Attempts that may judge a server at a time: one, and another one when the network changed.
const JUDGES: usize = 2;

/// What is known of a directory's servers.
#[derive(Debug, Default)]
pub(super) struct Health {
    /// In the order of preference.
    servers: Vec<Known>,
    next_id: usize,
    /// Why there is none.
    none: Option<String>,
    /// Whether there was an outage when it was last looked at.
    outage: bool,
    /// Until when somebody waits for an outage's end.
    impatient_until: Option<Instant>,
    /// When a change of the network made the host impatient.
    stirred: Option<Instant>,
    /// Whether somebody looks after what failed.
    probing: bool,
}

#[derive(Debug)]
struct Known {
    id: usize,
    server: Server,
    tier: usize,
    state: ServerState,
    since: Option<Instant>,
    doubted: bool,
    /// Since when it has been neither failed nor doubted.
    well_since: Option<Instant>,
    why: Option<String>,
    /// It failed by saying nothing.
    silent: bool,
    latency: Option<Duration>,
    /// What connecting takes.
    connecting: Option<Duration>,
    answered: Option<Instant>,
    /// Attempts under way that will judge it.
    judges: usize,
    /// The network changed: another one may begin beside them.
    anew: bool,
    probed: Instant,
    next_probe: Instant,
    /// How many pauses were longer than the quick ones.
    slow: u32,
}

/// What has changed by something that was learned of a server.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Turn {
    /// An outage began, for this reason.
    pub(super) began: Option<String>,
    /// An outage ended.
    pub(super) ended: bool,
    /// The server's state is another one.
    pub(super) changed: bool,
}

/// A server to try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) id: usize,
    pub(super) server: Server,
    /// What connecting to it takes, if that is known.
    pub(super) connecting: Option<Duration>,
}

impl Known {
    fn failed(&self) -> bool {
        self.state == ServerState::Failed
    }

    fn needs_a_probe(&self) -> bool {
        self.failed() || self.doubted
    }

    /// Says why it failed, and when it is probed next.
    fn put_off(
        &mut self,
        error: &LdapError,
        soon: bool,
        begun: Instant,
        now: Instant,
        chance: f64,
    ) {
        self.why = Some(error.to_string());
        let pause = if soon {
            self.slow = 0;
            QUICK
        } else {
            self.slow = (self.slow + 1).min(8);
            (QUICK * 2_u32.pow(self.slow)).min(SLOW)
        };
        let pause = pause.mul_f64(0.7 + 0.3 * chance.clamp(0.0, 1.0));
        self.next_probe = (self.probed.max(begun) + pause).max(now + LEAST);
    }

    fn enter(&mut self, state: ServerState, now: Instant) -> bool {
        let changed = self.state != state;
        if changed {
            (self.state, self.since) = (state, Some(now));
        }
        changed
    }
}

impl Health {
    /// Takes another list into use: tiers (a lower one is preferred) and addresses, in
    /// order; `none` says why there isn't any. Gives those back that aren't on it.
    pub(super) fn list(
        &mut self,
        servers: Vec<(usize, Server)>,
        none: Option<String>,
        now: Instant,
    ) -> (Vec<usize>, Turn) {
        let mut old = std::mem::take(&mut self.servers);
        for (tier, server) in servers {
            if self.servers.iter().any(|known| known.server == server) {
                continue;
            }
            let known = match old.iter().position(|known| known.server == server) {
                Some(index) => Known { tier, ..old.swap_remove(index) },
                None => self.unknown(tier, server, now),
            };
            self.servers.push(known);
        }
        self.none = none.filter(|_| self.servers.is_empty());
        // A preferred one that nobody has needed yet has to show that it answers.
        let best = self.best();
        let preferred = |known: &&mut Known| {
            known.state == ServerState::Untried && best.is_some_and(|best| known.tier < best)
        };
        for known in self.servers.iter_mut().filter(preferred) {
            known.doubted = true;
            known.well_since = None;
            known.next_probe = now;
        }
        (old.iter().map(|known| known.id).collect(), self.turn(false))
    }

    fn unknown(&mut self, tier: usize, server: Server, now: Instant) -> Known {
        self.next_id += 1;
        Known {
            id: self.next_id,
            server,
            tier,
            state: ServerState::Untried,
            since: None,
            doubted: false,
            well_since: None,
            why: None,
            silent: false,
            latency: None,
            connecting: None,
            answered: None,
            judges: 0,
            anew: false,
            probed: now,
            next_probe: now,
            slow: 0,
        }
    }

    pub(super) fn count(&self) -> usize {
        self.servers.len()
    }

    fn get(&mut self, id: usize) -> Option<&mut Known> {
        self.servers.iter_mut().find(|known| known.id == id)
    }

    /// The servers in the order to try them.
    pub(super) fn order(&self) -> Vec<Candidate> {
        let mut order: Vec<&Known> = self.servers.iter().collect();
        order.sort_by_key(|known| (known.failed(), known.doubted));
        let candidate = |known: &Known| Candidate {
            id: known.id,
            server: known.server.clone(),
            connecting: known.connecting,
        };
        order.into_iter().map(candidate).collect()
    }

    /// The tier of the most preferred server that is well.
    fn best(&self) -> Option<usize> {
        let well = |known: &&Known| known.state == ServerState::Answers && !known.doubted;
        self.servers.iter().filter(well).map(|known| known.tier).min()
    }

    /// Whether a connection to this server is as good as one to any other.
    pub(super) fn is_preferred(&self, id: usize) -> bool {
        let best = self.best();
        let known = self.servers.iter().find(|known| known.id == id);
        known.is_some_and(|known| best.is_none_or(|best| known.tier <= best))
    }

    /// Since when a server has been well that is preferred to this one, if one is.
    pub(super) fn better_since(&self, id: usize) -> Option<Instant> {
        let tier = self.servers.iter().find(|known| known.id == id)?.tier;
        let better = self.servers.iter().filter(|known| known.tier < tier);
        better.filter_map(|known| known.well_since).min()
    }

    /// Takes note of a server that was connected to.
    pub(super) fn answered(&mut self, id: usize, took: Duration, now: Instant) -> Turn {
        let Some(known) = self.get(id) else { return Turn::default() };
        let changed = known.enter(ServerState::Answers, now) || known.doubted;
        known.doubted = false;
        known.well_since.get_or_insert(now);
        known.why = None;
        known.answered = Some(now);
        known.slow = 0;
        smooth(&mut known.connecting, took);
        known.latency.get_or_insert(took);
        self.turn(changed)
    }

    /// Takes note of how long it took a server to answer a request.
    pub(super) fn took(&mut self, id: usize, time: Duration) {
        if let Some(known) = self.get(id) {
            smooth(&mut known.latency, time);
        }
    }

    /// How long a request to it usually takes.
    pub(super) fn latency(&self, id: usize) -> Option<Duration> {
        self.servers.iter().find(|known| known.id == id)?.latency
    }

    /// Takes note of an attempt, begun then, that failed. `chance` is from 0 to 1.
    pub(super) fn failed(
        &mut self,
        id: usize,
        error: &LdapError,
        begun: Instant,
        now: Instant,
        chance: f64,
    ) -> Turn {
        if matches!(error, LdapError::Configuration(_)) {
            return Turn::default();
        }
        let impatient = self.impatient_until.is_some_and(|until| now < until);
        let Some(known) = self.get(id) else { return Turn::default() };
        // Somebody had an answer meanwhile: it is an older story.
        if known.answered.is_some_and(|answered| answered > begun) {
            return Turn::default();
        }
        let changed = known.enter(ServerState::Failed, now);
        known.doubted = false;
        known.well_since = None;
        known.silent = error.is_silence();
        let young = known.since.is_some_and(|since| now.duration_since(since) < WAITS);
        known.put_off(error, impatient || young, begun, now, chance);
        self.turn(changed)
    }

    /// Takes note of an attempt that failed while the server answers on a connection made
    /// earlier: it is full, or slow to connect to, or refuses the reader by now. It stays
    /// doubted. Otherwise as [`Health::failed`].
    pub(super) fn failed_beside_a_living(
        &mut self,
        id: usize,
        error: &LdapError,
        begun: Instant,
        now: Instant,
        chance: f64,
    ) -> Turn {
        let impatient = self.impatient_until.is_some_and(|until| now < until);
        let Some(known) = self.get(id) else { return Turn::default() };
        if known.answered.is_some_and(|answered| answered > begun) {
            return Turn::default();
        }
        let changed = known.enter(ServerState::Answers, now);
        known.doubted = true;
        known.well_since = None;
        known.put_off(error, impatient, begun, now, chance);
        self.turn(changed)
    }

    /// Takes note of a server that keeps silent, or was slower than another one; it is
    /// to be looked at now. Whether that is news.
    pub(super) fn doubt(&mut self, id: usize, now: Instant) -> bool {
        let Some(known) = self.get(id) else { return false };
        if known.needs_a_probe() {
            return false;
        }
        known.doubted = true;
        known.well_since = None;
        known.next_probe = now;
        true
    }

    /// Takes note of a request that failed by the outage. Whether a probe is due earlier by that.
    pub(super) fn somebody_waits(&mut self, now: Instant) -> bool {
        self.impatient_until = Some(now + WAITS);
        let mut earlier = false;
        for known in self.servers.iter_mut().filter(|known| known.failed()) {
            let due = known.probed + QUICK;
            if known.slow > 0 && known.next_probe > due {
                known.next_probe = due;
                earlier = true;
            }
        }
        earlier
    }

    /// The network is another one: what failed is to be looked at now.
    pub(super) fn network_changed(&mut self, now: Instant) {
        if self.stirred.is_none_or(|stirred| now.duration_since(stirred) >= CHURN) {
            self.stirred = Some(now);
            self.impatient_until = Some(now + WAITS);
        }
        for known in self.servers.iter_mut().filter(|known| known.needs_a_probe()) {
            known.next_probe = now;
            known.anew = true;
        }
    }

    /// Whether an attempt that begins now is the one to judge this server by, and so
    /// has its full time; then [`Health::judged`] must follow.
    pub(super) fn judge(&mut self, id: usize, now: Instant) -> bool {
        let Some(known) = self.get(id) else { return false };
        let begins = known.judges == 0 || (known.anew && known.judges < JUDGES);
        if begins {
            known.anew = false;
            known.judges += 1;
            known.probed = now;
        }
        begins
    }

    /// An attempt that judges has come to its end.
    pub(super) fn judged(&mut self, id: usize) {
        if let Some(known) = self.get(id) {
            known.judges = known.judges.saturating_sub(1);
        }
    }

    /// Whether somebody has to begin to look after the failed; it is then taken for begun.
    pub(super) fn begin_probing(&mut self) -> bool {
        let needed = self.servers.iter().any(Known::needs_a_probe);
        needed && !std::mem::replace(&mut self.probing, true)
    }

    /// The servers to probe now, and when to look again. `None`: all is well, and the looking
    /// after has ended.
    pub(super) fn due(&mut self, now: Instant) -> Option<(Vec<Candidate>, Instant)> {
        if !self.servers.iter().any(Known::needs_a_probe) {
            self.probing = false;
            return None;
        }
        let mut due = Vec::new();
        let mut next = now + SLOW;
        for known in self.servers.iter().filter(|known| known.needs_a_probe()) {
            if known.judges > 0 && !(known.anew && known.judges < JUDGES) {
                continue; // whose end is told
            }
            if known.next_probe <= now {
                due.push(Candidate {
                    id: known.id,
                    server: known.server.clone(),
                    connecting: known.connecting,
                });
            } else {
                next = next.min(known.next_probe);
            }
        }
        Some((due, next))
    }

    /// Why requests should not even try, if they shouldn't.
    pub(super) fn outage(&self) -> Option<String> {
        if self.servers.is_empty() {
            return self.none.clone();
        }
        if !self.servers.iter().all(Known::failed) {
            return None;
        }
        // What made a server impossible says more than that another one was too late.
        let late = LdapError::TimedOut.to_string();
        let reasons = || self.servers.iter().filter_map(|known| known.why.as_ref());
        reasons().find(|why| **why != late).or_else(|| reasons().next()).cloned()
    }

    /// Whether there is an outage in which no server says a word.
    pub(super) fn is_silent(&self) -> bool {
        let failed = self.servers.iter().all(|known| known.failed() && known.silent);
        failed && self.outage().is_some()
    }

    /// Has all servers looked at that aren't looked at anyhow. Whether there are any.
    pub(super) fn doubt_all(&mut self, now: Instant) -> bool {
        let mut news = false;
        for id in self.servers.iter().map(|known| known.id).collect::<Vec<_>>() {
            news |= self.doubt(id, now);
        }
        news
    }

    fn turn(&mut self, changed: bool) -> Turn {
        let outage = self.outage();
        let before = std::mem::replace(&mut self.outage, outage.is_some());
        let ended = before && outage.is_none();
        if ended {
            self.impatient_until = None;
        }
        Turn { ended, began: outage.filter(|_| !before), changed }
    }

    /// How things stand; the two times are the same.
    pub(super) fn status(&self, now: Instant, wall: SystemTime) -> Vec<ServerStatus> {
        let seconds = |at: Instant| {
            let at = wall.checked_sub(now.duration_since(at))?;
            Some(at.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs())
        };
        let status = |known: &Known| ServerStatus {
            address: known.server.to_string(),
            state: known.state,
            since: known.since.and_then(seconds).unwrap_or_default(),
            latency: known
                .latency
                .map_or(0, |time| u32::try_from(time.as_micros()).unwrap_or(u32::MAX)),
            why: known.why.clone(),
        };
        self.servers.iter().map(status).collect()
    }
}

/// A new measurement counts for a quarter.
fn smooth(value: &mut Option<Duration>, new: Duration) {
    *value = Some(value.map_or(new, |old| (old * 3 + new) / 4));
}

#[cfg(test)]
mod tests;

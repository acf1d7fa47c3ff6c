//! Which servers answered, in which order to try them, and when to look at the
//! others again. Decides only; connects nothing, and is told what time it is.
//!
//! A server *answers*, has *failed*, or wasn't needed yet. Besides it may be
//! *doubted*: something kept silent, or another server was quicker. A doubted one is
//! tried after the others until somebody has found out; only an attempt that had its
//! full time says that a server has failed. When all have failed there is an
//! *outage*: requests fail at once, and only probes connect.
//!
//! **When a failed server is probed.** In the first minute every `QUICK` at the
//! latest; then the pauses double up to `SLOW`. Each has some chance in it, so
//! that the hosts of a site don't come all at once. A request during an outage waits for
//! nothing, but makes the host impatient for another minute: the next probe is
//! due `QUICK` after the last one, and more follow at that pace. So
//!
//! - a server that comes back is in use within a second as long as the outage is
//!   young, or somebody asked for something within the last minute;
//! - a host on which nobody asks for anything sends four packets a minute. The
//!   first request after such a rest may still fail, at once; the probe that it
//!   starts lets the next one succeed.
//!
//! A server that refuses costs one packet a probe. One that says nothing is
//! probed by one attempt at a time, which sends a packet every half second itself.
//!
//! | file | idea |
//! |---|---|
//! | `known.rs` | what is known of one server |
//! | `verdicts.rs` | what is learned of it |
//! | `probes.rs` | when to look at it, and by how many at a time |

use std::time::{Duration, Instant, SystemTime};

use crate::config::Server;
use crate::ldap::LdapError;
use crate::protocol::{ServerState, ServerStatus};

mod known;
mod probes;
mod verdicts;

use known::Known;

/// For how long after a failure, or a request in vain, somebody is taken to wait.
const WAITS: Duration = Duration::from_secs(60);

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
            let known = if let Some(index) = old.iter().position(|known| known.server == server) {
                Known { tier, ..old.swap_remove(index) }
            } else {
                self.next_id += 1;
                Known::new(self.next_id, tier, server, now)
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
        order.into_iter().map(Known::candidate).collect()
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

    /// How long a request to it usually takes.
    pub(super) fn latency(&self, id: usize) -> Option<Duration> {
        self.servers.iter().find(|known| known.id == id)?.latency
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

    /// Whether no server says a word, as far as that has been found out since a time. `None`: it
    /// is still to be found out.
    pub(super) fn is_silent_since(&self, since: Instant) -> Option<bool> {
        let heard = |known: &Known| known.heard.is_some_and(|heard| heard >= since);
        if self.is_silent() {
            return Some(true);
        }
        (self.outage().is_some() || self.servers.iter().any(heard)).then_some(false)
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

#[cfg(test)]
mod tests;

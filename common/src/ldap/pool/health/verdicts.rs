//! What is learned of a server: that it answered, that it failed, or that it may have.

use std::time::{Duration, Instant};

use super::known::Known;
use super::{Health, Turn, WAITS};
use crate::ldap::LdapError;
use crate::protocol::ServerState;

impl Health {
    /// Takes note of a server that was connected to.
    pub(in crate::ldap::pool) fn answered(
        &mut self,
        id: usize,
        took: Duration,
        now: Instant,
    ) -> Turn {
        let Some(known) = self.get(id) else { return Turn::default() };
        let changed = known.enter(ServerState::Answers, now) || known.doubted;
        known.doubted = false;
        known.well_since.get_or_insert(now);
        known.why = None;
        known.answered = Some(now);
        known.heard = Some(now);
        known.slow = 0;
        smooth(&mut known.connecting, took);
        known.latency.get_or_insert(took);
        self.turn(changed)
    }

    /// Takes note of how long it took a server to answer a request.
    pub(in crate::ldap::pool) fn took(&mut self, id: usize, time: Duration) {
        if let Some(known) = self.get(id) {
            smooth(&mut known.latency, time);
        }
    }

    /// Takes note of an attempt, begun then, that failed. `chance` is from 0 to 1.
    pub(in crate::ldap::pool) fn failed(
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
        let Some((known, impatient)) = self.not_heard_since(id, begun, now) else {
            return Turn::default();
        };
        let changed = known.enter(ServerState::Failed, now);
        known.doubted = false;
        known.well_since = None;
        known.silent = error.is_silence();
        if !known.silent {
            known.heard = Some(now);
        }
        let young = known.since.is_some_and(|since| now.duration_since(since) < WAITS);
        known.put_off(error, impatient || young, begun, now, chance);
        self.turn(changed)
    }

    /// Takes note of an attempt that failed while the server answers on a connection made
    /// earlier: it is full, or slow to connect to, or refuses the reader by now. It stays
    /// doubted. Otherwise as [`Health::failed`].
    pub(in crate::ldap::pool) fn failed_beside_a_living(
        &mut self,
        id: usize,
        error: &LdapError,
        begun: Instant,
        now: Instant,
        chance: f64,
    ) -> Turn {
        let Some((known, impatient)) = self.not_heard_since(id, begun, now) else {
            return Turn::default();
        };
        let changed = known.enter(ServerState::Answers, now);
        known.heard = Some(now);
        known.doubted = true;
        known.well_since = None;
        known.put_off(error, impatient, begun, now, chance);
        self.turn(changed)
    }

    /// The server, unless somebody had an answer meanwhile: then what began before is an older
    /// story. And whether somebody waits.
    fn not_heard_since(
        &mut self,
        id: usize,
        begun: Instant,
        now: Instant,
    ) -> Option<(&mut Known, bool)> {
        let impatient = self.impatient_until.is_some_and(|until| now < until);
        let known = self.get(id)?;
        known.answered.is_none_or(|answered| answered <= begun).then_some((known, impatient))
    }

    /// Takes note of a server that keeps silent, or was slower than another one; it is
    /// to be looked at now. Whether that is news.
    pub(in crate::ldap::pool) fn doubt(&mut self, id: usize, now: Instant) -> bool {
        let Some(known) = self.get(id) else { return false };
        if known.needs_a_probe() {
            return false;
        }
        known.doubted = true;
        known.well_since = None;
        known.next_probe = now;
        true
    }

    /// Has all servers looked at that aren't looked at anyhow. Whether there are any.
    pub(in crate::ldap::pool) fn doubt_all(&mut self, now: Instant) -> bool {
        let mut news = false;
        for id in self.servers.iter().map(|known| known.id).collect::<Vec<_>>() {
            news |= self.doubt(id, now);
        }
        news
    }
}

/// A new measurement counts for a quarter.
fn smooth(value: &mut Option<Duration>, new: Duration) {
    *value = Some(value.map_or(new, |old| (old * 3 + new) / 4));
}

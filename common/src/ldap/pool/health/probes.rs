//! When servers are looked at, and by how many at a time.

use std::time::{Duration, Instant};

use super::known::{Known, QUICK, SLOW};
use super::{Candidate, Health, WAITS};

/// For how long changes of the network make nobody impatient again: on a host of containers
/// they never end.
const CHURN: Duration = Duration::from_secs(600);
/// Attempts that may judge a server at a time: one, and another one when the network changed.
const JUDGES: usize = 2;

impl Health {
    /// Takes note of a request that failed by the outage. Whether a probe is due earlier by that.
    pub(in crate::ldap::pool) fn somebody_waits(&mut self, now: Instant) -> bool {
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
    pub(in crate::ldap::pool) fn network_changed(&mut self, now: Instant) {
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
    pub(in crate::ldap::pool) fn judge(&mut self, id: usize, now: Instant) -> bool {
        let Some(known) = self.get(id) else { return false };
        let begins = known.judges == 0 || (known.anew && known.judges < JUDGES);
        if begins {
            known.anew = false;
            known.judges += 1;
            known.probed = now;
        }
        begins
    }

    /// Whether an attempt is under way that judges this server.
    pub(in crate::ldap::pool) fn is_being_judged(&self, id: usize) -> bool {
        self.servers.iter().any(|known| known.id == id && known.judges > 0)
    }

    /// An attempt that judges has come to its end.
    pub(in crate::ldap::pool) fn judged(&mut self, id: usize) {
        if let Some(known) = self.get(id) {
            known.judges = known.judges.saturating_sub(1);
        }
    }

    /// Whether somebody has to begin to look after the failed; it is then taken for begun.
    pub(in crate::ldap::pool) fn begin_probing(&mut self) -> bool {
        let needed = self.servers.iter().any(Known::needs_a_probe);
        needed && !std::mem::replace(&mut self.probing, true)
    }

    /// The servers to probe now, and when to look again. `None`: all is well, and the looking
    /// after has ended.
    pub(in crate::ldap::pool) fn due(&mut self, now: Instant) -> Option<(Vec<Candidate>, Instant)> {
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
                due.push(known.candidate());
            } else {
                next = next.min(known.next_probe);
            }
        }
        Some((due, next))
    }
}

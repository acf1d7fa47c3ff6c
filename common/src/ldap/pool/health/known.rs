//! What is known of one server.

use std::time::{Duration, Instant};

use super::Candidate;
use crate::config::Server;
use crate::ldap::LdapError;
use crate::protocol::ServerState;

/// The longest pause between two probes while somebody waits for the server.
pub(super) const QUICK: Duration = Duration::from_millis(500);
/// The longest pause at all.
pub(super) const SLOW: Duration = Duration::from_secs(15);
/// The shortest one, after a probe that took long.
const LEAST: Duration = Duration::from_millis(50);

/// A server, and what was learned of it.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) id: usize,
    pub(super) server: Server,
    pub(super) tier: usize,
    pub(super) state: ServerState,
    pub(super) since: Option<Instant>,
    pub(super) doubted: bool,
    /// Since when it has been neither failed nor doubted.
    pub(super) well_since: Option<Instant>,
    pub(super) why: Option<String>,
    /// It failed by saying nothing.
    pub(super) silent: bool,
    pub(super) latency: Option<Duration>,
    /// What connecting takes.
    pub(super) connecting: Option<Duration>,
    pub(super) answered: Option<Instant>,
    /// When it last said anything, be it on a connection made earlier, or a refusal.
    pub(super) heard: Option<Instant>,
    /// Attempts under way that will judge it.
    pub(super) judges: usize,
    /// The network changed: another one may begin beside them.
    pub(super) anew: bool,
    pub(super) probed: Instant,
    pub(super) next_probe: Instant,
    /// How many pauses were longer than the quick ones.
    pub(super) slow: u32,
}

impl Known {
    /// One of which nothing is known yet.
    pub(super) fn new(id: usize, tier: usize, server: Server, now: Instant) -> Self {
        Self {
            id,
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
            heard: None,
            judges: 0,
            anew: false,
            probed: now,
            next_probe: now,
            slow: 0,
        }
    }

    pub(super) fn failed(&self) -> bool {
        self.state == ServerState::Failed
    }

    /// Whether somebody has to look at it.
    pub(super) fn needs_a_probe(&self) -> bool {
        self.failed() || self.doubted
    }

    /// Says why it failed, and when it is probed next.
    pub(super) fn put_off(
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

    /// Takes note of how it is from now on; whether that is another state.
    pub(super) fn enter(&mut self, state: ServerState, now: Instant) -> bool {
        let changed = self.state != state;
        if changed {
            (self.state, self.since) = (state, Some(now));
        }
        changed
    }

    /// What whoever tries it must know.
    pub(super) fn candidate(&self) -> Candidate {
        Candidate { id: self.id, server: self.server.clone(), connecting: self.connecting }
    }
}

//! Which servers answered, and when to ask the others again. Decides only; connects nothing.

use std::time::{Duration, Instant};

use super::now;
use crate::ldap::LdapError;

/// How long a failed server is tried after all others.
const SECOND_CHOICE: Duration = Duration::from_secs(30);
/// The pauses between two attempts during an outage, in seconds; the last one repeats.
const PAUSES: [u64; 7] = [0, 1, 1, 2, 4, 8, 15];

/// What is known of a directory's servers.
#[derive(Debug)]
pub(super) struct Health {
    failed_at: Vec<Option<Instant>>,
    outage: Option<Outage>,
}

#[derive(Debug)]
struct Outage {
    why: String,
    attempts: usize,
}

impl Health {
    pub(super) fn new(servers: usize) -> Self {
        Self { failed_at: vec![None; servers], outage: None }
    }

    /// The servers in the order to try them: those that failed lately come last.
    pub(super) fn order(&self) -> Vec<usize> {
        let failed_lately = |&index: &usize| {
            self.failed_at[index].is_some_and(|at| now().duration_since(at) < SECOND_CHOICE)
        };
        let mut order: Vec<usize> = (0..self.failed_at.len()).collect();
        order.sort_by_key(failed_lately);
        order
    }

    /// Takes note of a server that failed.
    pub(super) fn failed(&mut self, index: usize) {
        self.failed_at[index] = Some(now());
    }

    /// Takes note of a server that answered; whether that ends an outage.
    pub(super) fn answered(&mut self, index: usize) -> bool {
        self.failed_at[index] = None;
        self.outage.take().is_some()
    }

    /// Takes note that no server could be had; whether an outage begins with that.
    pub(super) fn all_failed(&mut self, error: &LdapError, probe_at_once: bool) -> bool {
        if let Some(outage) = &mut self.outage {
            outage.attempts += 1;
            outage.why = error.to_string();
            return false;
        }
        if matches!(error, LdapError::Configuration(_)) {
            return false;
        }
        let attempts = usize::from(!probe_at_once);
        self.outage = Some(Outage { why: error.to_string(), attempts });
        true
    }

    /// Why requests should not even try, if they shouldn't.
    pub(super) fn outage(&self) -> Option<String> {
        self.outage.as_ref().map(|outage| outage.why.clone())
    }

    /// How long to wait before the next attempt; `None` when the outage is over.
    pub(super) fn next_probe(&self) -> Option<Duration> {
        let outage = self.outage.as_ref()?;
        let pause = PAUSES[outage.attempts.min(PAUSES.len() - 1)];
        Some(Duration::from_secs(pause))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused() -> LdapError {
        LdapError::Connect("refused".into())
    }

    #[test]
    fn a_server_that_failed_is_tried_last() {
        let mut health = Health::new(3);
        health.failed(0);
        assert_eq!(health.order(), [1, 2, 0]);
        health.answered(0);
        assert_eq!(health.order(), [0, 1, 2]);
    }

    #[test]
    fn the_first_answer_ends_an_outage() {
        let mut health = Health::new(1);
        assert!(health.all_failed(&refused(), false));
        assert!(!health.all_failed(&refused(), false), "it began before");
        assert!(health.outage().is_some());
        assert!(health.answered(0));
        assert_eq!((health.outage(), health.next_probe()), (None, None));
    }

    #[test]
    fn a_broken_configuration_is_no_outage() {
        assert!(!Health::new(1).all_failed(&LdapError::Configuration("ca_file".into()), false));
    }

    #[test]
    fn a_server_that_fell_silent_is_probed_at_once() {
        let mut health = Health::new(1);
        health.all_failed(&LdapError::TimedOut, true);
        assert_eq!(health.next_probe(), Some(Duration::ZERO));
    }

    #[test]
    fn probes_become_rarer_but_never_stop() {
        let mut health = Health::new(1);
        let mut last = Duration::ZERO;
        for _ in 0..100 {
            health.all_failed(&refused(), false);
            let pause = health.next_probe().unwrap();
            assert!(pause >= last && pause <= Duration::from_secs(15));
            last = pause;
        }
    }
}

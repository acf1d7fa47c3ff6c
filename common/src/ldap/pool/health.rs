//! Which servers answered, and when to ask the others again. Decides only; connects nothing.

use std::time::{Duration, Instant};

use crate::ldap::LdapError;

/// How long a failed server is tried after all others.
const SECOND_CHOICE: Duration = Duration::from_secs(30);
/// The pauses between two attempts during an outage, in seconds; the last one repeats.
const PAUSES: [u64; 6] = [1, 1, 2, 4, 8, 15];

/// What is known of a directory's servers.
#[derive(Debug)]
pub(super) struct Health {
    failed_at: Vec<Option<Instant>>,
    outage: Option<Outage>,
    /// Whether somebody is trying the servers, in an outage or on suspicion of one.
    probing: bool,
}

#[derive(Debug)]
struct Outage {
    why: String,
    attempts: usize,
}

impl Health {
    pub(super) fn new(servers: usize) -> Self {
        Self { failed_at: vec![None; servers], outage: None, probing: false }
    }

    /// The servers in the order to try them: those that failed lately come last.
    pub(super) fn order(&self) -> Vec<usize> {
        let failed_lately = |&index: &usize| {
            self.failed_at[index]
                .is_some_and(|at| Instant::now().duration_since(at) < SECOND_CHOICE)
        };
        let mut order: Vec<usize> = (0..self.failed_at.len()).collect();
        order.sort_by_key(failed_lately);
        order
    }

    /// Takes note of a server that failed.
    pub(super) fn failed(&mut self, index: usize) {
        self.failed_at[index] = Some(Instant::now());
    }

    /// Takes note of a server that answered; whether that ends an outage.
    pub(super) fn answered(&mut self, index: usize) -> bool {
        self.failed_at[index] = None;
        self.outage.take().is_some()
    }

    /// Takes note that no server could be had; whether an outage begins with that.
    pub(super) fn all_failed(&mut self, error: &LdapError) -> bool {
        if let Some(outage) = &mut self.outage {
            outage.attempts += 1;
            outage.why = error.to_string();
            return false;
        }
        if matches!(error, LdapError::Configuration(_)) {
            return false;
        }
        self.outage = Some(Outage { why: error.to_string(), attempts: 0 });
        true
    }

    /// Whether a probe has to be started; it is then taken for started.
    pub(super) fn begin_probe(&mut self) -> bool {
        !std::mem::replace(&mut self.probing, true)
    }

    /// Why requests should not even try, if they shouldn't.
    pub(super) fn outage(&self) -> Option<String> {
        self.outage.as_ref().map(|outage| outage.why.clone())
    }

    /// How long a probe waits before its next attempt; `None` when it has to
    /// end, and has then ended, because there is no outage.
    pub(super) fn next_probe(&mut self) -> Option<Duration> {
        let Some(outage) = &self.outage else {
            self.probing = false;
            return None;
        };
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
        assert!(health.all_failed(&refused()));
        assert!(!health.all_failed(&refused()), "it began before");
        assert!(health.outage().is_some());
        assert!(health.answered(0));
        assert_eq!((health.outage(), health.next_probe()), (None, None));
    }

    #[test]
    fn a_broken_configuration_is_no_outage() {
        assert!(!Health::new(1).all_failed(&LdapError::Configuration("ca_file".into())));
    }

    #[test]
    fn there_is_one_probe_at_a_time_and_it_ends_with_the_outage() {
        let mut health = Health::new(1);
        assert!(health.begin_probe(), "on suspicion");
        health.all_failed(&refused());
        assert!(!health.begin_probe(), "the one that suspected goes on");
        assert!(health.next_probe().is_some());
        health.answered(0);
        assert_eq!(health.next_probe(), None);
        assert!(health.begin_probe(), "the next suspicion starts another");
    }

    #[test]
    fn probes_become_rarer_but_never_stop() {
        let mut health = Health::new(1);
        let mut last = Duration::ZERO;
        for _ in 0..100 {
            health.all_failed(&refused());
            let pause = health.next_probe().unwrap();
            assert!(pause >= last && pause <= Duration::from_secs(15));
            last = pause;
        }
    }
}

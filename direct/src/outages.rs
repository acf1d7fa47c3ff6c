//! Outages, remembered between the requests of a privileged host.
//!
//! A worker that lives knows that a directory is down: requests fail at once,
//! and a task of its own tries the servers. A privileged host's worker ends with
//! each request (`worker.rs`), and each of the next ones would wait for silent
//! servers again. So its last words are kept, and answer the host for a
//! while, which is longer from time to time. Then one request tries the servers.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use common::protocol::Unavailable;

/// The pauses between two attempts, in seconds; the last one repeats.
const PAUSES: [u64; 6] = [1, 1, 2, 4, 8, 15];

/// How many are kept: one for each configuration, of which a host has one or two.
const MAX: usize = 4;

/// The outages that are known.
#[derive(Default)]
pub(crate) struct Outages(Mutex<Vec<Outage>>);

struct Outage {
    config: PathBuf,
    why: Unavailable,
    attempts: usize,
    until: Instant,
}

impl Outages {
    /// Takes note of what a request has found: an outage, or that there is none.
    pub(crate) fn note(&self, config: &Path, found: Option<Unavailable>) {
        let mut outages = self.lock();
        let known = outages.iter().position(|outage| outage.config == config);
        let known = known.map(|index| outages.remove(index));
        let Some(why) = found else { return };
        let attempts = known.map_or(0, |outage| outage.attempts + 1);
        let pause = Duration::from_secs(PAUSES[attempts.min(PAUSES.len() - 1)]);
        if outages.len() == MAX {
            outages.remove(0);
        }
        let until = Instant::now() + pause;
        outages.push(Outage { config: config.to_owned(), why, attempts, until });
    }

    /// Why a request with this configuration shouldn't even try, if it shouldn't.
    pub(crate) fn known(&self, config: &Path) -> Option<Unavailable> {
        let now = Instant::now();
        let outages = self.lock();
        let known = outages.iter().find(|outage| outage.config == config && now < outage.until)?;
        Some(known.why.clone())
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Outage>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn down() -> Unavailable {
        Unavailable::Directory("down".into())
    }

    #[test]
    fn an_outage_is_known_of_its_own_configuration_only() {
        let outages = Outages::default();
        // Repeated, so that it is known for a long time.
        for _ in 0..PAUSES.len() {
            outages.note(Path::new("/a"), Some(down()));
        }
        assert_eq!(outages.known(Path::new("/a")), Some(down()));
        assert_eq!(outages.known(Path::new("/b")), None);
    }

    #[test]
    fn an_answer_ends_an_outage() {
        let outages = Outages::default();
        outages.note(Path::new("/a"), Some(down()));
        outages.note(Path::new("/a"), None);
        assert_eq!(outages.known(Path::new("/a")), None);
    }

    #[test]
    fn the_servers_are_tried_less_and_less_often() {
        let outages = Outages::default();
        for expected in [1, 1, 2, 4, 8, 15, 15, 15].map(Duration::from_secs) {
            let before = Instant::now();
            outages.note(Path::new("/a"), Some(down()));
            let until = outages.lock()[0].until;
            assert!((before + expected..=Instant::now() + expected).contains(&until));
        }
    }

    #[test]
    fn no_more_than_a_few_are_kept() {
        let outages = Outages::default();
        for n in 0..3 * MAX {
            outages.note(Path::new(&format!("/{n}")), Some(down()));
        }
        assert_eq!(outages.lock().len(), MAX);
    }
}

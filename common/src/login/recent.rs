//! The entry whose password was just right.
//!
//! A login asks twice within a moment: is this the password, and may the user
//! log in? The entry that the first question found answers the second one as
//! well, so that a login costs one search and one bind. It is kept for one
//! question of the same asker, only after a right password, and for a few
//! seconds: less than a directory with replicas needs to agree on a change.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::account::Name;
use crate::directory::{Directory, Found};

/// How long the second question may take to come. Nobody types in between.
const PATIENCE: Duration = Duration::from_secs(3);
/// The most entries that are kept.
const MOST: usize = 256;

/// The entries kept.
#[derive(Debug, Default)]
pub(super) struct Recent(Mutex<HashMap<(Name, u32), Entry>>);

#[derive(Debug)]
struct Entry {
    directory: Arc<Directory>,
    found: Box<Found>,
    until: Instant,
}

impl Recent {
    /// Keeps an entry for its asker's next question.
    pub(super) fn keep(
        &self,
        name: Name,
        asker: u32,
        directory: Arc<Directory>,
        found: Box<Found>,
    ) {
        let now = Instant::now();
        let mut entries = self.lock();
        if entries.len() >= MOST {
            entries.retain(|_, entry| entry.until > now);
        }
        if entries.len() < MOST {
            entries.insert((name, asker), Entry { directory, found, until: now + PATIENCE });
        }
    }

    /// Gives the entry away, if it is fresh.
    pub(super) fn take(&self, name: &Name, asker: u32) -> Option<(Arc<Directory>, Box<Found>)> {
        let entry = self.lock().remove(&(name.clone(), asker))?;
        (entry.until > Instant::now()).then_some((entry.directory, entry.found))
    }

    /// Forgets what is kept of a user, whose entry is about to change.
    pub(super) fn forget(&self, name: &Name) {
        self.lock().retain(|(kept, _), _| kept != name);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(Name, u32), Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

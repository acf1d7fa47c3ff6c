//! Users who have just shown their password, and what was read of them then.
//!
//! A login asks twice within moments: is this the password, and may this user
//! log in? What the first question read answers the second one too, so a login
//! costs one search and one bind. It is used once, by the same asker, and not
//! after a few seconds: nobody gets in by what an entry said a while ago.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::account::Name;
use crate::directory::{Directory, Found};

/// How long what was read counts as read just now.
const MOMENT: Duration = Duration::from_secs(5);
/// The most that are remembered; with more logins at a time the oldest search again.
const MOST: usize = 256;

/// The logins under way.
#[derive(Debug, Default)]
pub(super) struct Recent(Mutex<Vec<Entry>>);

#[derive(Debug)]
struct Entry {
    asker: u32,
    directory: Arc<Directory>,
    found: Box<Found>,
    name: Name,
    at: Instant,
}

impl Recent {
    /// Remembers a user whose password was right.
    pub(super) fn remember(
        &self,
        name: &Name,
        asker: u32,
        directory: Arc<Directory>,
        found: Box<Found>,
    ) {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        entries.retain(|entry| entry.at.elapsed() < MOMENT);
        if entries.len() >= MOST {
            entries.remove(0);
        }
        entries.push(Entry { asker, directory, found, name: name.clone(), at: Instant::now() });
    }

    /// Takes what was read of a user, if that was just now and for this asker.
    pub(super) fn take(&self, name: &Name, asker: u32) -> Option<(Arc<Directory>, Box<Found>)> {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        entries.retain(|entry| entry.at.elapsed() < MOMENT);
        let position =
            entries.iter().position(|entry| entry.asker == asker && entry.name == *name)?;
        let entry = entries.remove(position);
        Some((entry.directory, entry.found))
    }
}

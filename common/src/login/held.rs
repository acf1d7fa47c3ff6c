//! Connections kept for a password that must be changed now.
//!
//! A last grace login can't be repeated, so the change has to happen on the
//! connection that is bound already. The module gets a ticket for it. A ticket
//! works for one change, for the same user and the same asker, for two minutes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::account::Name;
use crate::directory::passwords::Bound;
use crate::protocol::Ticket;
use crate::secret::Secret;

/// How long a user has to think of a new password.
const PATIENCE: Duration = Duration::from_secs(120);
/// The most that are kept, besides `connections.max`.
const MOST: usize = 16;

/// The connections kept.
#[derive(Debug, Default)]
pub(super) struct Held(Arc<Mutex<HashMap<Ticket, Entry>>>);

#[derive(Debug)]
struct Entry {
    bound: Bound,
    name: Name,
    password: Secret,
    asker: u32,
    since: Instant,
}

impl Held {
    /// Keeps a connection, and the password it was bound with, under a ticket.
    /// When too many are kept the oldest is closed.
    pub(super) fn hold(
        &self,
        ticket: Ticket,
        bound: Bound,
        name: Name,
        password: Secret,
        asker: u32,
    ) {
        let mut entries = lock(&self.0);
        if entries.len() >= MOST
            && let Some(oldest) =
                entries.iter().min_by_key(|(_, entry)| entry.since).map(|(ticket, _)| *ticket)
        {
            entries.remove(&oldest);
        }
        let bound = bound.set_aside();
        entries.insert(ticket, Entry { bound, name, password, asker, since: Instant::now() });
        // Neither the password nor the connection outlives its time.
        let all = Arc::downgrade(&self.0);
        tokio::spawn(async move {
            tokio::time::sleep(PATIENCE).await;
            if let Some(all) = all.upgrade() {
                lock(&all).remove(&ticket);
            }
        });
    }

    /// Gives a connection, and the password it was bound with, to its owner,
    /// unless the server has closed it meanwhile.
    pub(super) fn take(&self, ticket: Ticket, name: &Name, asker: u32) -> Option<(Bound, Secret)> {
        let mut entries = lock(&self.0);
        if !entries.get(&ticket).is_some_and(|entry| entry.name == *name && entry.asker == asker) {
            return None;
        }
        let entry = entries.remove(&ticket)?;
        entry.bound.is_alive().then_some((entry.bound, entry.password))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

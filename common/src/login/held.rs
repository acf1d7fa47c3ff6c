//! Connections kept for a password that must be changed now.
//!
//! A last grace login can't be repeated, so the change has to happen on the
//! connection that is bound already. The module gets a ticket for it. A ticket
//! works once, for the same user and the same asker, for two minutes.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::account::Name;
use crate::directory::passwords::Bound;
use crate::protocol::Ticket;
use crate::random;
use crate::secret::Secret;

/// How long a user has to think of a new password.
const PATIENCE: Duration = Duration::from_secs(120);
/// The most that are kept, besides `connections.max`.
const MOST: usize = 16;

/// The connections kept.
#[derive(Debug, Default)]
pub(super) struct Held(Mutex<HashMap<Ticket, Entry>>);

#[derive(Debug)]
struct Entry {
    bound: Bound,
    name: Name,
    password: Secret,
    asker: u32,
    until: Instant,
}

impl Held {
    /// Keeps a connection. When too many are kept the oldest is closed.
    pub(super) fn hold(&self, bound: Bound, name: Name, password: Secret, asker: u32) -> Ticket {
        let ticket = Ticket(random::token());
        let until = Instant::now() + PATIENCE;
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        entries.retain(|_, entry| entry.until > Instant::now());
        if entries.len() >= MOST
            && let Some(oldest) =
                entries.iter().min_by_key(|(_, entry)| entry.until).map(|(t, _)| *t)
        {
            entries.remove(&oldest);
        }
        entries.insert(ticket, Entry { bound: bound.set_aside(), name, password, asker, until });
        ticket
    }

    /// Gives a connection, and the password it was bound with, to its owner.
    pub(super) fn take(&self, ticket: Ticket, name: &Name, asker: u32) -> Option<(Bound, Secret)> {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        entries.retain(|_, entry| entry.until > Instant::now());
        if !entries.get(&ticket).is_some_and(|entry| entry.name == *name && entry.asker == asker) {
            return None;
        }
        entries.remove(&ticket).map(|entry| (entry.bound, entry.password))
    }
}

//! How many connections there may be, so that no user can keep the others, or
//! root, from being answered.
//!
//! | who | how many |
//! |---|---|
//! | all together | 4096, or fewer where the system allows fewer descriptors |
//! | all but root | seven eighths of that: logins are asked for by root's processes |
//! | one user | a quarter of that |

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// All connections together.
const CONNECTIONS: u32 = 4096;
/// What is left for connections to servers, files and the runtime.
const OTHER_DESCRIPTORS: u64 = 256;

/// Raises the number of descriptors to what the system allows; tells it.
pub(super) fn raise_descriptors() -> u64 {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return 1024 };
    match setrlimit(Resource::RLIMIT_NOFILE, hard, hard) {
        Ok(()) => hard,
        Err(_) => soft,
    }
}

/// How many connections fit into that many descriptors.
pub(super) fn connections(descriptors: u64) -> u32 {
    let left = descriptors.saturating_sub(OTHER_DESCRIPTORS).max(descriptors / 2);
    u32::try_from(left).unwrap_or(u32::MAX).clamp(8, CONNECTIONS)
}

/// Counts connections.
#[derive(Debug)]
pub(super) struct Limits {
    all: u32,
    one_user: u32,
    total: Arc<Semaphore>,
    unprivileged: Arc<Semaphore>,
    users: Arc<Mutex<HashMap<u32, u32>>>,
}

/// The right to be answered; given back when dropped.
#[derive(Debug)]
pub(super) struct Slot {
    _total: OwnedSemaphorePermit,
    unprivileged: Option<(OwnedSemaphorePermit, u32)>,
    users: Arc<Mutex<HashMap<u32, u32>>>,
}

impl Limits {
    pub(super) fn new(all: u32) -> Self {
        Self {
            all,
            one_user: all / 4,
            total: Arc::new(Semaphore::new(all as usize)),
            unprivileged: Arc::new(Semaphore::new((all - all / 8) as usize)),
            users: Arc::default(),
        }
    }

    /// A place for a connection of this user; `None` when there are too many.
    pub(super) fn admit(&self, uid: u32) -> Option<Slot> {
        let total = Arc::clone(&self.total).try_acquire_owned().ok()?;
        let unprivileged = match uid {
            0 => None,
            _ => Some((Arc::clone(&self.unprivileged).try_acquire_owned().ok()?, uid)),
        };
        if unprivileged.is_some() {
            let mut users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
            let count = users.entry(uid).or_default();
            if *count >= self.one_user {
                return None;
            }
            *count += 1;
        }
        Some(Slot { _total: total, unprivileged, users: Arc::clone(&self.users) })
    }

    /// How many connections there are.
    pub(super) fn in_use(&self) -> u32 {
        let left = u32::try_from(self.total.available_permits()).unwrap_or(u32::MAX);
        self.all.saturating_sub(left)
    }

    /// Waits until no connection is left.
    pub(super) async fn drained(&self) {
        // Fails only if the semaphore is closed, which nobody does.
        let _ = self.total.acquire_many(self.all).await;
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let Some((_, uid)) = self.unprivileged else { return };
        let mut users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = users.get_mut(&uid) {
            *count -= 1;
            if *count == 0 {
                users.remove(&uid);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admitted(limits: &Limits, uid: u32) -> Vec<Slot> {
        std::iter::from_fn(|| limits.admit(uid)).collect()
    }

    #[test]
    fn one_user_cannot_take_the_places_of_others() {
        let limits = Limits::new(64);
        let greedy = admitted(&limits, 1000);
        assert_eq!(greedy.len(), 16);
        assert!(limits.admit(1001).is_some());
    }

    #[test]
    fn all_users_together_cannot_take_the_places_of_root() {
        let limits = Limits::new(64);
        let greedy: Vec<_> = (1000..1064).flat_map(|uid| admitted(&limits, uid)).collect();
        assert_eq!(greedy.len(), 56);
        assert_eq!(admitted(&limits, 0).len(), 8);
    }

    #[test]
    fn a_place_can_be_used_again() {
        let limits = Limits::new(64);
        drop(admitted(&limits, 1000));
        assert_eq!(admitted(&limits, 1000).len(), 16);
        assert!(limits.users.lock().unwrap().is_empty(), "users who are gone are forgotten");
    }

    #[test]
    fn few_descriptors_mean_few_connections() {
        assert_eq!(connections(1024), 768);
        assert_eq!(connections(256), 128);
        assert_eq!(connections(1 << 20), CONNECTIONS);
    }
}

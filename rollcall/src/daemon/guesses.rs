//! Slows down guessing passwords through the socket.
//!
//! Everybody may connect, so everybody could try passwords here as fast as the
//! directory answers. A screen locker that runs as its user needs to ask too, so
//! it can't just be forbidden. Therefore each user but root has [`AT_ONCE`]
//! places for checking passwords, and a wrong password keeps its place for
//! [`PENALTY`]. The answer itself is not held back, and who hangs up early gains
//! nothing: the place is kept all the same.
//!
//! Root is exempt: sshd and login slow down guessing on their own, and one
//! attacker at sshd must not keep everybody else out.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use common::deadline::Deadline;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How many passwords of one asking user are checked at a time.
const AT_ONCE: usize = 4;
/// For how long a wrong password keeps its place.
const PENALTY: Duration = Duration::from_secs(2);
/// From how many users on those who have nothing to wait for are forgotten.
const REMEMBERED: usize = 256;

/// The places of all users.
#[derive(Debug, Default)]
pub(super) struct Guesses(Mutex<HashMap<u32, Arc<Semaphore>>>);

/// The right to check one password.
#[derive(Debug)]
pub(super) struct Guess(Option<OwnedSemaphorePermit>);

impl Guesses {
    /// Waits for a place; `None` if none became free in time.
    pub(super) async fn admit(&self, uid: u32, deadline: Deadline) -> Option<Guess> {
        if uid == 0 {
            return Some(Guess(None));
        }
        let places = self.places(uid);
        tokio::time::timeout_at(deadline.instant().into(), places.acquire_owned())
            .await
            .ok()?
            .ok()
            .map(|place| Guess(Some(place)))
    }

    fn places(&self, uid: u32) -> Arc<Semaphore> {
        let mut users = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if users.len() >= REMEMBERED {
            // A place that is taken or waited for holds a reference of its own.
            users.retain(|_, places| Arc::strong_count(places) > 1);
        }
        Arc::clone(users.entry(uid).or_insert_with(|| Arc::new(Semaphore::new(AT_ONCE))))
    }
}

impl Guess {
    /// The password was wrong.
    pub(super) fn was_wrong(self) {
        if let Self(Some(place)) = self {
            tokio::spawn(async move {
                tokio::time::sleep(PENALTY).await;
                drop(place);
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_millis(1);
    const LONG: Duration = Duration::from_secs(60);

    async fn wrong(guesses: &Guesses, uid: u32, times: usize) {
        for _ in 0..times {
            guesses.admit(uid, Deadline::after(LONG)).await.unwrap().was_wrong();
        }
    }

    #[tokio::test]
    async fn wrong_passwords_keep_their_places() {
        let guesses = Guesses::default();
        wrong(&guesses, 1000, AT_ONCE).await;
        assert!(guesses.admit(1000, Deadline::after(SHORT)).await.is_none());
        assert!(guesses.admit(1001, Deadline::after(SHORT)).await.is_some(), "another user");
    }

    #[tokio::test(start_paused = true)]
    async fn after_the_penalty_the_next_password_is_checked() {
        let guesses = Guesses::default();
        wrong(&guesses, 1000, AT_ONCE + 1).await;
    }

    #[tokio::test]
    async fn root_does_not_wait() {
        let guesses = Guesses::default();
        wrong(&guesses, 0, 100).await;
    }

    #[tokio::test]
    async fn users_with_nothing_to_wait_for_are_forgotten() {
        let guesses = Guesses::default();
        for uid in 1000..3000 {
            drop(guesses.admit(uid, Deadline::after(LONG)).await);
        }
        assert!(guesses.0.lock().unwrap().len() <= REMEMBERED);
    }
}

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

use std::time::Duration;

use common::deadline::Deadline;

use super::places::{Place, Places};

/// How many passwords of one asking user are checked at a time. Fewer than
/// there are connections for that (`connections.max`, 4 unless configured):
/// nobody may hold all of them.
const AT_ONCE: usize = 2;
/// For how long a wrong password keeps its place.
const PENALTY: Duration = Duration::from_secs(2);

/// The places of all users.
#[derive(Debug)]
pub(super) struct Guesses(Places);

/// The right to check one password.
#[derive(Debug)]
pub(super) struct Guess(Place);

impl Default for Guesses {
    fn default() -> Self {
        Self(Places::new(AT_ONCE))
    }
}

impl Guesses {
    /// Waits for a place; `None` if none became free in time.
    pub(super) async fn admit(&self, uid: u32, deadline: Deadline) -> Option<Guess> {
        self.0.admit(uid, deadline).await.map(Guess)
    }
}

impl Guess {
    /// The password was wrong.
    pub(super) fn was_wrong(self) {
        let Self(place) = self;
        if place.counts() {
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
    async fn root_may_be_wrong_as_often_as_it_likes() {
        let guesses = Guesses::default();
        wrong(&guesses, 0, 100).await;
    }
}

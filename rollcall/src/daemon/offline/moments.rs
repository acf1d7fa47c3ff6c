//! What is remembered between the two questions of one login, for a moment.
//!
//! Online: the password that a server has just accepted, until the account check has let the
//! user in as well; only then is it kept. Offline: that the password was right, so that the account
//! check needn't find out once more that no server answers. As in `common/src/login/recent.rs`
//! each is for one question of the same asker.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use common::account::Name;

/// How long the second question may take to come.
const PATIENCE: Duration = Duration::from_secs(5);
/// The most that is remembered.
const MOST: usize = 1024;

/// Something about users, each for one asker.
pub(super) struct Moments<T>(Arc<Mutex<Entries<T>>>);

type Entries<T> = HashMap<(Name, u32), (T, Instant)>;

impl<T> Default for Moments<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<T> fmt::Debug for Moments<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Moments")
    }
}

impl<T: Send + 'static> Moments<T> {
    /// Remembers something for an asker's next question. It goes when that doesn't come. In
    /// the context of the runtime.
    pub(super) fn remember(&self, name: Name, asker: u32, what: T) {
        let until = Instant::now() + PATIENCE;
        {
            let mut entries = lock(&self.0);
            if entries.len() >= MOST {
                return;
            }
            let before = entries.insert((name, asker), (what, until));
            drop(entries);
            drop(before);
        }
        let entries = Arc::clone(&self.0);
        tokio::spawn(async move {
            tokio::time::sleep_until(until.into()).await;
            let gone: Vec<_> = lock(&entries).extract_if(|_, (_, end)| *end <= until).collect();
            drop(gone);
        });
    }

    /// Gives it away, if there is something.
    pub(super) fn take(&self, name: &Name, asker: u32) -> Option<T> {
        let (what, until) = lock(&self.0).remove(&(name.clone(), asker))?;
        (until > Instant::now()).then_some(what)
    }

    /// Forgets a user.
    pub(super) fn forget(&self, name: &Name) {
        self.forget_those(|other, _| other == name);
    }

    /// Forgets those that this is true of.
    pub(super) fn forget_those(&self, is_meant: impl Fn(&Name, &T) -> bool) {
        let mut entries = lock(&self.0);
        let gone = entries.extract_if(|(name, _), (what, _)| is_meant(name, what));
        let gone: Vec<_> = gone.collect();
        // What is dropped may do something then: not with the lock held.
        drop(entries);
        drop(gone);
    }

    /// Forgets everything.
    pub(super) fn clear(&self) {
        self.forget_those(|_, _| true);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        Name::parse(text).unwrap()
    }

    #[tokio::test]
    async fn it_is_for_one_question_of_the_same_asker_about_the_same_user() {
        let moments = Moments::default();
        moments.remember(name("alice"), 1, ());
        assert!(moments.take(&name("alice"), 2).is_none(), "another asker");
        assert!(moments.take(&name("bob"), 1).is_none(), "another user");
        assert!(moments.take(&name("alice"), 1).is_some());
        assert!(moments.take(&name("alice"), 1).is_none(), "a second question");
    }

    #[tokio::test(start_paused = true)]
    async fn what_nobody_asks_for_is_gone_after_a_while() {
        let moments = Moments::default();
        let watched = Arc::new(());
        moments.remember(name("alice"), 1, Arc::clone(&watched));
        assert_eq!(Arc::strong_count(&watched), 2);
        tokio::time::sleep(PATIENCE * 2).await;
        assert_eq!(Arc::strong_count(&watched), 1);
    }
}

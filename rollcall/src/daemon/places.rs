//! A number of places for each user; who finds none waits for one, in the order of asking.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use common::deadline::Deadline;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// From how many users on those who have nothing to wait for are forgotten.
const REMEMBERED: usize = 256;

/// The places of all users but root, who needs none.
#[derive(Debug)]
pub(super) struct Places {
    each: usize,
    users: Mutex<HashMap<u32, Arc<Semaphore>>>,
}

/// A place; given back when dropped. Root's is none.
#[derive(Debug)]
pub(super) struct Place(Option<OwnedSemaphorePermit>);

impl Places {
    pub(super) fn new(each: usize) -> Self {
        Self { each, users: Mutex::default() }
    }

    /// Waits for a place; `None` if none became free in time.
    pub(super) async fn admit(&self, uid: u32, deadline: Deadline) -> Option<Place> {
        if uid == 0 {
            return Some(Place(None));
        }
        let places = self.of(uid);
        tokio::time::timeout_at(deadline.instant().into(), places.acquire_owned())
            .await
            .ok()?
            .ok()
            .map(|place| Place(Some(place)))
    }

    fn of(&self, uid: u32) -> Arc<Semaphore> {
        let mut users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        if users.len() >= REMEMBERED {
            // A place that is taken or waited for holds a reference of its own.
            users.retain(|_, places| Arc::strong_count(places) > 1);
        }
        Arc::clone(users.entry(uid).or_insert_with(|| Arc::new(Semaphore::new(self.each))))
    }
}

impl Place {
    /// Whether keeping it keeps anybody waiting.
    pub(super) fn counts(&self) -> bool {
        self.0.is_some()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn soon() -> Deadline {
        Deadline::after(Duration::from_millis(1))
    }

    fn late() -> Deadline {
        Deadline::after(Duration::from_secs(60))
    }

    #[tokio::test]
    async fn one_user_cannot_take_the_places_of_others() {
        let places = Places::new(1);
        let _taken = places.admit(1000, late()).await.unwrap();
        assert!(places.admit(1000, soon()).await.is_none());
        assert!(places.admit(1001, soon()).await.is_some());
    }

    #[tokio::test]
    async fn whoever_asked_first_is_next() {
        let places = Places::new(1);
        let taken = places.admit(1000, late()).await.unwrap();
        let mut first = Box::pin(places.admit(1000, late()));
        let mut second = Box::pin(places.admit(1000, late()));
        // Both wait, in this order.
        tokio::select! {
            biased;
            _ = &mut first => panic!("the place is taken"),
            _ = &mut second => panic!("the place is taken"),
            () = tokio::task::yield_now() => {}
        }
        drop(taken);
        tokio::select! {
            biased;
            _ = &mut second => panic!("the first one has waited longer"),
            place = &mut first => drop(place),
        }
        assert!(second.await.is_some());
    }

    #[tokio::test]
    async fn root_does_not_wait() {
        let places = Places::new(1);
        let _taken = places.admit(0, late()).await.unwrap();
        assert!(places.admit(0, soon()).await.is_some());
    }

    #[tokio::test]
    async fn users_with_nothing_to_wait_for_are_forgotten() {
        let places = Places::new(1);
        for uid in 1000..3000 {
            drop(places.admit(uid, late()).await);
        }
        assert!(places.users.lock().unwrap().len() <= REMEMBERED);
    }
}

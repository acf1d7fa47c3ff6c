//! Asks the directory behind those who got an older answer.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use common::deadline::Deadline;
use common::handle::Peer;
use tokio::sync::Semaphore;

use super::{Asked, Cache};

/// How many answers are looked after at a time: fewer than there are places for
/// those who wait.
const MOST: usize = 16;

/// What is being asked behind.
#[derive(Debug)]
pub(super) struct Refreshes {
    under_way: Mutex<HashSet<Asked>>,
    places: Semaphore,
}

impl Default for Refreshes {
    fn default() -> Self {
        Self { under_way: Mutex::default(), places: Semaphore::new(MOST) }
    }
}

impl Refreshes {
    /// Whether this is being asked for.
    pub(super) fn is_under_way(&self, asked: &Asked) -> bool {
        self.lock().contains(asked)
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<Asked>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Cache {
    /// Asks the directory behind those who got an older answer; once at a time for each key.
    pub(super) fn refresh(self: &Arc<Self>, asked: Asked) {
        let Some(refreshing) = Refreshing::begin(self, asked) else { return };
        tokio::spawn(async move {
            let Refreshing { cache, asked } = &refreshing;
            let (Some(table), Ok(_place)) = (cache.table(), cache.refreshes.places.try_acquire())
            else {
                return;
            };
            let deadline = Deadline::after(cache.timeouts.lookup);
            // It is asked for nobody: a uid that no process has.
            let peer = Peer { uid: u32::MAX };
            let answer = cache.search(peer, asked.clone(), table, deadline).await;
            cache.remember(answer);
        });
    }
}

/// A key that is being asked for behind.
struct Refreshing {
    cache: Arc<Cache>,
    asked: Asked,
}

impl Refreshing {
    fn begin(cache: &Arc<Cache>, asked: Asked) -> Option<Self> {
        let mut under_way = cache.refreshes.lock();
        under_way.insert(asked.clone()).then(|| Self { cache: Arc::clone(cache), asked })
    }
}

impl Drop for Refreshing {
    fn drop(&mut self) {
        let mut under_way = self.cache.refreshes.lock();
        under_way.remove(&self.asked);
    }
}

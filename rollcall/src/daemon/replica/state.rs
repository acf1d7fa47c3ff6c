//! How the replica is doing, and requests to it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};

use crate::daemon::table::wall;

/// How the replica is doing.
#[derive(Debug, Default)]
pub(in crate::daemon) struct State {
    status: Mutex<Status>,
    wake: Notify,
}

/// What it is doing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::daemon) enum Phase {
    /// It isn't running.
    #[default]
    Off,
    /// It reads everything for the first time, and has read so many entries.
    Loading(usize),
    /// The table says what the directory says.
    InStep,
    /// It can't be brought up to date, for this reason.
    Failing(String),
    /// There are more accounts than `cache.max_replica`.
    TooMany,
}

#[derive(Debug, Default)]
struct Status {
    phase: Phase,
    users: usize,
    groups: usize,
    /// When it was last in step, in seconds since 1970; 0: not since it last began.
    in_step: u64,
    requests: Vec<oneshot::Sender<()>>,
    running: bool,
}

impl State {
    /// Has everything read anew, now, and waits until that is done or has failed. Returns
    /// at once if there is no replica.
    pub(in crate::daemon) async fn resync(&self) {
        let (done, answer) = oneshot::channel();
        {
            let mut status = self.lock();
            if !status.running {
                return;
            }
            status.requests.push(done);
        }
        self.wake.notify_one();
        let _ = answer.await;
    }

    /// How it is doing, in a word.
    pub(in crate::daemon) fn phase(&self) -> common::protocol::Phase {
        use common::protocol::Phase as Word;
        match self.lock().phase {
            Phase::Off => Word::Off,
            Phase::Loading(_) => Word::Loading,
            Phase::InStep => Word::InStep,
            Phase::Failing(_) => Word::OutOfStep,
            Phase::TooMany => Word::TooMany,
        }
    }

    /// How many entries have been read so far, while all are.
    pub(in crate::daemon) fn loading(&self) -> u64 {
        match self.lock().phase {
            Phase::Loading(count) => count as u64,
            _ => 0,
        }
    }

    /// When it was last in step, in seconds since 1970; 0: not since it last began.
    pub(in crate::daemon) fn last_in_step(&self) -> u64 {
        self.lock().in_step
    }

    /// Why it can't be brought up to date, if that is so.
    pub(in crate::daemon) fn failure(&self) -> Option<String> {
        match &self.lock().phase {
            Phase::Failing(why) => Some(why.clone()),
            _ => None,
        }
    }

    /// The replica runs until this is dropped.
    pub(super) fn start(self: &Arc<Self>) -> Running {
        let mut status = self.lock();
        *status = Status { running: true, ..Status::default() };
        drop(status);
        Running(Arc::clone(self))
    }

    pub(super) fn set(&self, phase: Phase) {
        let mut status = self.lock();
        if let Phase::Loading(_) = phase {
            status.in_step = 0;
        }
        status.phase = phase;
    }

    /// So many entries more were read.
    pub(super) fn loaded(&self, more: usize) {
        if let Phase::Loading(count) = &mut self.lock().phase {
            *count += more;
        }
    }

    /// A poll failed. Loading goes on, in its own way.
    pub(super) fn failing(&self, why: String) {
        self.lock().phase = Phase::Failing(why);
    }

    /// A poll worked, and there are so many users and groups.
    pub(super) fn in_step(&self, (users, groups): (usize, usize)) {
        let mut status = self.lock();
        (status.users, status.groups) = (users, groups);
        status.phase = Phase::InStep;
        status.in_step = wall();
    }

    pub(super) fn counts(&self) -> (usize, usize) {
        let status = self.lock();
        (status.users, status.groups)
    }

    /// Waits for this long, or until somebody wants everything anew.
    pub(super) async fn wait_or_request(&self, wait: Duration) {
        let _ = tokio::time::timeout(wait, async {
            while self.lock().requests.is_empty() {
                self.wake.notified().await;
            }
        })
        .await;
    }

    /// How many have asked for everything anew so far.
    pub(super) fn requests(&self) -> usize {
        self.lock().requests.len()
    }

    /// Tells the first so many who asked that it is done.
    pub(super) fn answer(&self, requests: usize) {
        let mut status = self.lock();
        let requests = requests.min(status.requests.len());
        for done in status.requests.drain(..requests) {
            let _ = done.send(());
        }
    }

    fn lock(&self) -> MutexGuard<'_, Status> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Says that the replica runs.
pub(super) struct Running(Arc<State>);

impl Drop for Running {
    fn drop(&mut self) {
        let mut status = self.0.lock();
        status.running = false;
        if status.phase != Phase::TooMany {
            status.phase = Phase::Off;
        }
        // Who waits isn't waiting any more: the senders are dropped.
        status.requests.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nobody_waits_for_a_replica_that_does_not_run() {
        let state = Arc::new(State::default());
        state.resync().await;
        drop(state.start());
        state.resync().await;
    }

    #[tokio::test]
    async fn who_wants_everything_anew_waits_until_it_is_done() {
        let state = Arc::new(State::default());
        let _running = state.start();
        let asker = tokio::spawn({
            let state = Arc::clone(&state);
            async move { state.resync().await }
        });
        state.wait_or_request(Duration::from_secs(3600)).await;
        let requests = state.requests();
        assert_eq!(requests, 1);
        assert!(!asker.is_finished());
        state.answer(requests);
        asker.await.unwrap();
    }

    #[tokio::test]
    async fn a_replica_that_ends_lets_go_of_who_waits() {
        let state = Arc::new(State::default());
        let running = state.start();
        let resync = state.resync();
        let end = async {
            state.wait_or_request(Duration::from_secs(3600)).await;
            drop(running);
        };
        tokio::join!(resync, end);
        assert_eq!(state.phase(), common::protocol::Phase::Off);
    }

    #[test]
    fn what_it_was_is_still_said_when_there_are_too_many() {
        let state = Arc::new(State::default());
        let running = state.start();
        state.set(Phase::TooMany);
        drop(running);
        assert_eq!(state.phase(), common::protocol::Phase::TooMany);
    }
}

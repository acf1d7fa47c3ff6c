//! How the replica is doing, and requests to it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use common::protocol::Following;
use tokio::sync::{oneshot, watch};

use crate::daemon::table::wall;

/// How the replica is doing.
#[derive(Debug, Default)]
pub(in crate::daemon) struct State {
    status: Mutex<Status>,
    asked: watch::Sender<Asked>,
}

/// How often something was asked of the replica.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Asked {
    /// To read everything anew.
    pub(super) everything: u64,
    /// To make sure that nothing was missed.
    pub(super) again: u64,
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
    /// Who waits for everything to be read anew, and how often that was asked for by then.
    requests: Vec<(u64, oneshot::Sender<()>)>,
    /// What each directory has done of it.
    done: Vec<u64>,
    running: bool,
    following: Vec<Following>,
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
            let mut wanted = 0;
            self.asked.send_modify(|asked| {
                asked.everything += 1;
                wanted = asked.everything;
            });
            status.requests.push((wanted, done));
        }
        let _ = answer.await;
    }

    /// Has it made sure, now, that nothing was missed.
    pub(in crate::daemon) fn look_again(&self) {
        self.asked.send_modify(|asked| asked.again += 1);
    }

    /// How it hears of changes, directory by directory.
    pub(in crate::daemon) fn following(&self) -> Vec<Following> {
        self.lock().following.clone()
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

    /// Whether whoever isn't in the table wasn't in the directory when it was last in step.
    pub(in crate::daemon) fn has_all(&self) -> bool {
        let status = self.lock();
        status.in_step > 0 && matches!(status.phase, Phase::InStep | Phase::Failing(_))
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

    /// What was asked so far.
    pub(super) fn asked(&self) -> Asked {
        *self.asked.borrow()
    }

    /// Waits for this long, or until more was asked than this.
    pub(super) async fn wait(&self, wait: Duration, known: Asked) {
        let _ = tokio::time::timeout(wait, self.more_than(known)).await;
    }

    /// Waits until more was asked than this.
    pub(super) async fn more_than(&self, known: Asked) {
        // The sender is ours, so it doesn't end.
        let _ = self.asked.subscribe().wait_for(|asked| *asked != known).await;
    }

    /// Takes note that there are so many directories, followed in these ways.
    pub(super) fn begin(&self, following: Vec<Following>) {
        let mut status = self.lock();
        status.done = vec![0; following.len()];
        status.following = following;
    }

    /// Everything that was asked until then is done, or has failed, in all directories.
    pub(super) fn all_done(&self, asked: Asked) {
        let mut status = self.lock();
        status.done.fill(asked.everything);
        status.answer();
    }

    /// The same in this directory.
    pub(super) fn done(&self, directory: u16, asked: Asked) {
        let mut status = self.lock();
        if let Some(done) = status.done.get_mut(usize::from(directory)) {
            *done = asked.everything;
        }
        status.answer();
    }

    /// Says how a directory is followed.
    pub(super) fn follows(&self, directory: u16, change: impl FnOnce(&mut Following)) {
        if let Some(following) = self.lock().following.get_mut(usize::from(directory)) {
            change(following);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Status> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Status {
    /// Tells those who asked what is done in all directories.
    fn answer(&mut self) {
        let done = self.done.iter().copied().min().unwrap_or(0);
        for (_, waits) in self.requests.extract_if(.., |(wanted, _)| *wanted <= done) {
            let _ = waits.send(());
        }
    }
}

/// Says that the replica runs.
pub(super) struct Running(Arc<State>);

impl Drop for Running {
    fn drop(&mut self) {
        let mut status = self.0.lock();
        status.running = false;
        status.following.clear();
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

    fn followed() -> Following {
        let way = common::protocol::Way::Push;
        Following { base: "dc=x".into(), way, why: None, newest: 0 }
    }

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
        let waiting = tokio::spawn({
            let state = Arc::clone(&state);
            async move { state.resync().await }
        });
        state.begin(vec![followed(), followed()]);
        state.wait(Duration::from_secs(3600), Asked::default()).await;
        let wanted = state.asked();
        assert_eq!(wanted.everything, 1);
        state.done(0, wanted);
        assert!(!waiting.is_finished(), "there is another directory");
        state.done(1, wanted);
        waiting.await.unwrap();
    }

    #[tokio::test]
    async fn a_replica_that_ends_lets_go_of_who_waits() {
        let state = Arc::new(State::default());
        let running = state.start();
        let resync = state.resync();
        let end = async {
            state.wait(Duration::from_secs(3600), Asked::default()).await;
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

//! A request on its way to the runtime, and the place where its answer is waited for.
//!
//! The waiting thread is the host's, so the place is made of a mutex and a
//! condition variable and nothing else: both are futexes, which need no
//! descriptor. (`std::sync::mpsc` would do as well, but leaves a destructor
//! behind in each of the host's threads that ever waited.)

use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use common::deadline::Deadline;
use common::frame::encode_response;
use common::handle::Peer;
use common::protocol::{Response, Unavailable};
use zeroize::Zeroizing;

use crate::worker::Worker;

/// How much longer than the deadline the host's thread waits: the runtime
/// answers at the deadline, and its answer says more than "no answer in time".
const GRACE: Duration = Duration::from_millis(100);

/// A request on its way.
pub(crate) struct Job {
    /// The request's payload; zeroed when dropped, since it may hold a password.
    pub(crate) payload: Zeroizing<Vec<u8>>,
    /// The path of the configuration.
    pub(crate) config: PathBuf,
    /// Who asks.
    pub(crate) peer: Peer,
    /// Until when.
    pub(crate) deadline: Deadline,
    promise: Promise,
    /// Whose it is; told when it was answered or dropped.
    worker: Option<&'static Worker>,
}

/// The waiting side of a [`Job`].
pub(crate) struct Pending {
    slot: Arc<Slot>,
    until: Instant,
}

/// Fills the slot when dropped.
struct Promise {
    slot: Arc<Slot>,
    answer: Option<Vec<u8>>,
}

#[derive(Default)]
struct Slot {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
enum State {
    #[default]
    Open,
    Answered(Vec<u8>),
    /// The job was dropped: a thread of ours panicked, or couldn't start.
    Lost,
}

/// A job and its waiting side.
pub(crate) fn new(payload: &[u8], config: &Path, peer: Peer, deadline: Deadline) -> (Job, Pending) {
    let slot = Arc::new(Slot::default());
    let promise = Promise { slot: Arc::clone(&slot), answer: None };
    let payload = Zeroizing::new(payload.to_vec());
    let job = Job { payload, config: config.to_owned(), peer, deadline, promise, worker: None };
    (job, Pending { slot, until: deadline.instant() + GRACE })
}

/// A response's frame. One that is too long for a frame becomes a reason.
pub(crate) fn encode(response: &Response) -> Option<Vec<u8>> {
    encode_response(response)
        .or_else(|e| encode_response(&Response::Unavailable(Unavailable::Directory(e.to_string()))))
        .ok()
}

impl Job {
    /// Hands it to a worker.
    pub(crate) fn given_to(mut self, worker: &'static Worker) -> Self {
        self.worker = Some(worker);
        self
    }

    /// Answers it.
    pub(crate) fn answer(mut self, response: &Response) {
        self.promise.answer = encode(response);
    }

    /// Answers that nobody knows.
    pub(crate) fn fail(self, why: Unavailable) {
        self.answer(&Response::Unavailable(why));
    }
}

impl Drop for Job {
    /// The worker is told first, and then the promise, a field, is dropped: who
    /// has got the last answer finds a worker that knows that it was the last.
    fn drop(&mut self) {
        if let Some(worker) = self.worker {
            worker.job_is_done();
        }
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        self.slot.set(self.answer.take().map_or(State::Lost, State::Answered));
    }
}

impl Slot {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first state after [`State::Open`] stays.
    fn set(&self, new: State) {
        let mut state = self.lock();
        if matches!(*state, State::Open) {
            *state = new;
            self.changed.notify_one();
        }
    }
}

impl Pending {
    /// Until when it waits.
    pub(crate) fn until(&self) -> Instant {
        self.until
    }

    /// Waits for the response's frame, a little beyond the deadline and no longer.
    pub(crate) fn wait(self) -> Option<Vec<u8>> {
        let mut state = self.slot.lock();
        loop {
            match std::mem::take(&mut *state) {
                State::Answered(frame) => return Some(frame),
                State::Lost => {
                    let why = Unavailable::Directory("direct.so met an error of its own".into());
                    return encode(&Response::Unavailable(why));
                }
                State::Open => {}
            }
            let left = self.until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return encode(&Response::Unavailable(Unavailable::TimedOut));
            }
            state = self
                .slot
                .changed
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use common::frame::{RESPONSE_HEADER, decode};

    use super::*;

    /// A job with nothing in it.
    pub(crate) fn job(budget: Duration) -> (Job, Pending) {
        new(&[], Path::new("/nonexistent"), Peer { uid: 0 }, Deadline::after(budget))
    }

    /// What came back.
    pub(crate) fn response(pending: Pending) -> Response {
        decode(&pending.wait().unwrap()[RESPONSE_HEADER..]).unwrap()
    }

    #[test]
    fn a_job_that_is_dropped_is_unavailable() {
        let (job, pending) = job(Duration::from_secs(60));
        drop(job);
        assert!(matches!(response(pending), Response::Unavailable(Unavailable::Directory(_))));
    }

    #[test]
    fn a_job_that_nobody_answers_times_out() {
        let (_job, pending) = job(Duration::from_millis(1));
        assert_eq!(response(pending), Response::Unavailable(Unavailable::TimedOut));
    }

    #[test]
    fn an_answer_after_the_deadline_disturbs_nobody() {
        let (job, pending) = job(Duration::ZERO);
        assert_eq!(response(pending), Response::Unavailable(Unavailable::TimedOut));
        job.answer(&Response::NotFound);
    }
}

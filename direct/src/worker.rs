//! The threads, and how a guest keeps out of its host's way.
//!
//! LDAP, TLS and an async runtime run here inside sshd, cron, ls: inside
//! programs that know nothing of them, were written for one thread, and do what
//! such programs do: close every descriptor, fork, change their user, set timers,
//! handle signals, exit in the middle. So the host's threads and ours
//! share memory and nothing else.
//!
//! **Two threads.** The first request starts the *attendant*. Its first act is
//! to leave the host's descriptor table for an empty one of its own
//! (`descriptors.rs`). It starts the *runtime* thread (`runtime.rs`),
//! which shares that table, as do the threads that the runtime starts to resolve
//! names. From then on a descriptor number of ours means nothing to the host,
//! and a number of the host's nothing to us: the host may call `closefrom(3)`,
//! reuse numbers, have 5000 descriptors open or wait for end of file on a
//! pipe, and no TLS record can ever land in one of its files. A forked child or
//! an executed program inherits none of our sockets.
//!
//! **Why the attendant.** To wake a sleeping runtime, tokio writes to an eventfd.
//! Done by a host's thread this would write to whatever file the *host* has under
//! that number. So a host's thread only puts its request into a queue (mutex and
//! condition variable, which are futexes, which need no descriptor), the attendant
//! takes it out and hands it on, inside the private table. The answer comes
//! back by a futex as well (`job.rs`). No object of tokio's is ever touched, nor
//! dropped, by a thread of the host's.
//!
//! **Signals.** All are blocked in our threads, from their first instruction on
//! (`signals.rs`), so that the host's handlers run on the host's threads and
//! `sigwait(3)` there gets what it waits for. SIGPIPE of a broken connection stays
//! pending on our thread and dies with it. The signal that glibc sends to all
//! threads to carry out `setuid(2)` can't be blocked this way, and must not be.
//!
//! **Fork.** The child has no threads but the one that forked. The pointer to the
//! worker lies in a page that the kernel empties in a child (`process.rs`), so the
//! child makes a worker of its own. It never touches the parent's, whose
//! mutex may have been held at that moment, and never says goodbye on the parent's
//! connections. What remains are the instants in which a lock of a library is
//! held by our thread (the first use of TLS, the reading of `resolv.conf`): then
//! the child's requests end at their deadlines.
//!
//! **Privileges.** A thread has capabilities of its own. glibc makes `setuid(2)`
//! reach all threads and ends the process if it succeeds in some and fails
//! in others. A host with one thread that changes its capabilities
//! (`capset(2)`, `PR_SET_KEEPCAPS`; `setpriv(1)` does) would meet that with threads
//! of ours, which still have the old ones or none. So a privileged host
//! gets its answer only after all our threads are gone, name resolvers
//! included, as the kernel sees it (`living.rs`). It pays with a new connection for
//! each request: programs of root's are few, ask little, and must not be ended by a
//! guest. What was learned of an outage is kept without threads (`outages.rs`).
//! A host is privileged if the asking thread is root or has a capability, in
//! effect or permitted (`rights.rs`). A host without any can't get one, so its
//! threads stay alike, and it keeps the worker for its next request.
//!
//! There are three limits. While one thread of the host's waits for an answer, our
//! threads are there for the others: the last one to be answered sees them off. A
//! promise keeps them: who holds a ticket, or hasn't come to the end of an
//! enumeration, has to be served by the thread that knows it. They stay for the
//! whole of [`PROMISE`], even if it was kept sooner. And a thread that
//! hangs in `getaddrinfo(3)` is waited for until the request's deadline and no longer.
//!
//! **The end.** Without a request for the time [`IDLE`] the threads end: some programs
//! must have one thread (`unshare(CLONE_NEWUSER)`), and none wants to pay for
//! a guest that does nothing. A worker isn't replaced then but started again, so a
//! pointer to it is valid for ever. "The queue is empty, so I stop" and "there is a
//! request, is anybody there?" happen under the same mutex, so no request is
//! left in a queue that nobody looks after. Threads are detached and there is no
//! static destructor and no `atexit`: `exit(3)` finds nothing to wait for.
//!
//! **Panics** are caught at the top of each thread, and their message goes to
//! the private table's descriptor 2, where nobody reads it. The requests in
//! that thread are answered "unavailable"; the next one starts a fresh worker.
//!
//! **One rule for whoever builds this:** tokio must not have its features `signal`
//! and `process`. They keep a process-wide pair of sockets, and its numbers would
//! be used again in the table of a later worker, where they mean something
//! else. Cargo unifies features of packages that are built together, so
//! `direct` is built alone (`cargo build -p direct`); a test looks for the sockets.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::Builder;
use std::time::{Duration, Instant};

use common::protocol::{Response, Unavailable};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use crate::job::Job;
use crate::living::Living;
use crate::outages::Outages;
use crate::{descriptors, signals};

/// How long the threads live without a request.
pub(crate) const IDLE: Duration = Duration::from_secs(15);
/// How long they live for the sake of a promise, a ticket or a cursor: as long
/// as it may take a person to think of a new password.
pub(crate) const PROMISE: Duration = Duration::from_secs(300);

/// Between two looks at threads that are about to end: at first, and at most.
const PAUSES: (Duration, Duration) = (Duration::from_micros(20), Duration::from_millis(5));

/// How many requests may wait for the runtime. More come only from a host
/// that goes on asking while the runtime is stuck.
const QUEUE: usize = 1024;

/// Of the attendant, in bytes. glibc takes a thread's static TLS from its
/// stack, and some hosts have a lot of that.
const ATTENDANT_STACK: usize = 512 << 10;
/// Of the runtime thread, in bytes.
const RUNTIME_STACK: usize = 2 << 20;

/// A process's queue and the threads behind it.
pub(crate) struct Worker {
    state: Mutex<State>,
    arrival: Condvar,
    idle: Duration,
    serve: Serve,
    /// What it knew when it ended.
    pub(crate) outages: Outages,
}

/// What the runtime thread does until the channel is closed.
pub(crate) type Serve = fn(mpsc::Receiver<Job>, &'static Worker);

struct State {
    jobs: VecDeque<Job>,
    /// How many were given to it and not yet answered, those in the queue included.
    unanswered: usize,
    /// Which attendant is there, if any.
    attendant: Option<u64>,
    /// How many there have been.
    started: u64,
    /// Whether it was asked by a privileged host, and so doesn't stay idle.
    privileged: bool,
    /// When it may end for lack of work.
    idle_until: Instant,
    /// When it may end in spite of its promises.
    promised_until: Instant,
    living: Living,
}

impl Worker {
    /// A worker without threads: the first request starts them.
    pub(crate) fn new(idle: Duration, serve: Serve) -> Self {
        let state = State {
            jobs: VecDeque::new(),
            unanswered: 0,
            attendant: None,
            started: 0,
            privileged: false,
            idle_until: Instant::now(),
            promised_until: Instant::now(),
            living: Living::default(),
        };
        Self {
            state: Mutex::new(state),
            arrival: Condvar::new(),
            idle,
            serve,
            outages: Outages::default(),
        }
    }

    /// Sees to it that a job is answered or dropped. Called by the host's threads.
    pub(crate) fn submit(&'static self, job: Job, privileged: bool) {
        let mut state = self.lock();
        state.jobs.push_back(job.given_to(self));
        state.unanswered += 1;
        let start = if state.attendant.is_none() {
            state.started += 1;
            state.attendant = Some(state.started);
            state.privileged = privileged;
            // The promises of the one before went with it.
            state.promised_until = Instant::now();
            state.living.expect();
            state.attendant
        } else {
            state.privileged |= privileged;
            self.arrival.notify_one();
            None
        };
        drop(state);
        if let Some(number) = start {
            self.start(number);
        }
    }

    /// Keeps the threads for this long, at least, for the sake of a promise.
    pub(crate) fn keep_for(&self, time: Duration) {
        let mut state = self.lock();
        state.promised_until = state.promised_until.max(Instant::now() + time);
    }

    /// Waits until no thread of ours is left, if the host is a privileged one.
    /// Called by the host's threads, with an answer in their hands. Doesn't wait
    /// for the sake of a request that is under way, nor against a promise, nor
    /// longer than until then.
    pub(crate) fn see_off(&self, until: Instant) {
        let (mut pause, most) = PAUSES;
        while self.is_ending() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            std::thread::sleep(pause.min(left));
            pause = most.min(pause * 2);
        }
    }

    /// Whether there are threads that are on their way out.
    fn is_ending(&self) -> bool {
        let mut state = self.lock();
        state.privileged
            && state.unanswered == 0
            && state.promised_until <= Instant::now()
            && state.living.any()
    }

    /// A thread that the runtime has started says that it is there.
    pub(crate) fn has_another_thread(&self) {
        self.lock().living.add_this();
    }

    /// A job was answered or dropped. The idle time begins with the last one.
    pub(crate) fn job_is_done(&self) {
        let mut state = self.lock();
        state.idle_until = Instant::now() + self.idle;
        state.unanswered = state.unanswered.saturating_sub(1);
        if state.unanswered == 0 {
            self.arrival.notify_one();
        }
    }

    fn start(&'static self, number: u64) {
        // The new thread inherits the mask of the one that starts it.
        let _blocked = signals::block_all();
        let attendant = Builder::new()
            .name("rollcall-direct".into())
            .stack_size(ATTENDANT_STACK)
            .spawn(move || {
                self.lock().living.as_expected();
                let result = catch_unwind(AssertUnwindSafe(|| self.attend()));
                let why = result.unwrap_or_else(|_| Err("an error of its own".into()));
                if let Err(why) = why {
                    self.give_up(number, &why);
                }
            });
        if let Err(e) = attendant {
            self.lock().living.expect_no_longer();
            self.give_up(number, &format!("no thread: {e}"));
        }
    }

    /// The attendant's life. `Ok` once it has resigned for lack of work.
    fn attend(&'static self) -> Result<(), String> {
        descriptors::leave_the_hosts()
            .map_err(|e| format!("no descriptor table of its own: {e}"))?;
        let mut runtime = self.start_runtime()?;
        while let Some(job) = self.next() {
            let mut sent = runtime.try_send(job);
            if let Err(TrySendError::Closed(job)) = sent {
                // It panicked over an earlier job.
                runtime = self.start_runtime()?;
                sent = runtime.try_send(job);
            }
            if let Err(TrySendError::Full(job)) = sent {
                job.fail(Unavailable::Busy);
            }
        }
        Ok(())
    }

    fn start_runtime(&'static self) -> Result<mpsc::Sender<Job>, String> {
        let (runtime, jobs) = mpsc::channel(QUEUE);
        self.lock().living.expect();
        let body = move || {
            self.lock().living.as_expected();
            // A panic ends this thread and closes the channel; that is all the
            // attendant has to know of it.
            let _ = catch_unwind(AssertUnwindSafe(|| (self.serve)(jobs, self)));
        };
        Builder::new().name("rollcall-ldap".into()).stack_size(RUNTIME_STACK).spawn(body).map_err(
            |e| {
                self.lock().living.expect_no_longer();
                format!("no thread: {e}")
            },
        )?;
        Ok(runtime)
    }

    /// The next job; `None` after too long a time without one (in a privileged
    /// host: as soon as there is none and nothing was promised), and then the
    /// attendant has already resigned. It never does while a job is unanswered:
    /// the answer may be a promise.
    fn next(&self) -> Option<Job> {
        let mut state = self.lock();
        loop {
            if let Some(job) = state.jobs.pop_front() {
                return Some(job);
            }
            if state.unanswered > 0 {
                state = self.arrival.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let mut until = state.promised_until;
            if !state.privileged {
                until = until.max(state.idle_until);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                state.attendant = None;
                return None;
            }
            let waited = self.arrival.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Ends this attendant, and fails the jobs that wait for it.
    fn give_up(&self, number: u64, why: &str) {
        let mut state = self.lock();
        if state.attendant != Some(number) {
            return;
        }
        state.attendant = None;
        let jobs = std::mem::take(&mut state.jobs);
        drop(state);
        let response = Response::Unavailable(Unavailable::Directory(format!("direct.so: {why}")));
        for job in jobs {
            job.answer(&response);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;

//! The second thread: the async runtime, in which the directory is asked.

use std::time::{Duration, Instant};

use common::frame;
use common::protocol::{Batch, Refused, Request, Response, Unavailable};
use tokio::runtime::Builder;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout_at;

use crate::job::Job;
use crate::services::Services;
use crate::worker::{PROMISE, Worker};

/// Of the threads in which names are resolved, in bytes. (Given, since the
/// default would be read from the environment.)
const BLOCKING_STACK: usize = 1 << 20;
/// How many of them there may be.
const BLOCKING_THREADS: usize = 8;

/// Answers jobs until the channel is closed and the last one is answered.
pub(crate) fn serve(jobs: mpsc::Receiver<Job>, worker: &'static Worker) {
    let runtime = Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .thread_name("rollcall-dns")
        .thread_stack_size(BLOCKING_STACK)
        .max_blocking_threads(BLOCKING_THREADS)
        .on_thread_start(|| worker.has_another_thread())
        .build();
    let Ok(runtime) = runtime else { return };
    let last_deadline = runtime.block_on(attend(jobs, worker));
    // A name that is still being resolved then is not waited for: nothing can
    // end getaddrinfo(3).
    runtime.shutdown_timeout(last_deadline.saturating_duration_since(Instant::now()));
}

/// Returns the deadline of the last job that could use its time.
async fn attend(mut jobs: mpsc::Receiver<Job>, worker: &'static Worker) -> Instant {
    let mut last_deadline = Instant::now();
    let mut services = Services::default();
    let mut tasks = JoinSet::new();
    loop {
        tokio::select! {
            job = jobs.recv() => match job {
                Some(job) => {
                    last_deadline = last_deadline.max(job.deadline.instant());
                    start(job, &mut services, &mut tasks, worker);
                }
                None => break,
            },
            Some(done) = tasks.join_next() => if done.is_err() {
                // It panicked: who knows in which state it left its connections.
                services.clear();
            },
        }
    }
    while tasks.join_next().await.is_some() {}
    last_deadline
}

fn start(job: Job, services: &mut Services, tasks: &mut JoinSet<()>, worker: &'static Worker) {
    let service = match services.get(&job.config) {
        Ok(service) => service,
        Err(why) => return job.fail(why),
    };
    let Ok(request) = frame::decode::<Request>(&job.payload) else {
        return job.answer(&Response::Refused(Refused::Malformed));
    };
    tasks.spawn(async move {
        let answer = service.handle(job.peer, request, job.deadline);
        let response = timeout_at(job.deadline.instant().into(), answer)
            .await
            .unwrap_or(Response::Unavailable(Unavailable::TimedOut));
        worker.outages.note(&job.config, service.outage());
        if let Some(time) = promised(&response) {
            worker.keep_for(time);
        }
        job.answer(&response);
    });
}

/// How long the host may count on something that lives in this thread: the
/// place in an enumeration, or the connection behind a ticket.
fn promised(response: &Response) -> Option<Duration> {
    fn goes_on<T>(batch: &Batch<T>) -> bool {
        batch.next.is_some()
    }
    let promised = match response {
        Response::Users(batch) => goes_on(batch),
        Response::Groups(batch) => goes_on(batch),
        Response::Shadows(batch) => goes_on(batch),
        Response::Login(answer) => answer.ticket.is_some(),
        _ => false,
    };
    promised.then_some(PROMISE)
}

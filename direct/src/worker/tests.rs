use std::sync::atomic::{AtomicU32, Ordering};

use super::*;
use crate::job::tests::{job, response};

const LONG: Duration = Duration::from_secs(60);

fn worker(idle: Duration, serve: Serve) -> &'static Worker {
    Box::leak(Box::new(Worker::new(idle, serve)))
}

fn ask(worker: &'static Worker) -> Response {
    ask_as(worker, false)
}

fn ask_as(worker: &'static Worker, privileged: bool) -> Response {
    let (job, pending) = job(LONG);
    worker.submit(job, privileged);
    response(pending)
}

fn answer_all(mut jobs: mpsc::Receiver<Job>, _: &'static Worker) {
    while let Some(job) = jobs.blocking_recv() {
        job.answer(&Response::NotFound);
    }
}

fn wait_until_idle(worker: &Worker) {
    while worker.lock().attendant.is_some() {
        std::thread::yield_now();
    }
}

#[test]
fn an_idle_worker_ends_and_the_next_request_starts_it_again() {
    let worker = worker(Duration::from_millis(1), answer_all);
    for _ in 0..3 {
        assert_eq!(ask(worker), Response::NotFound);
        wait_until_idle(worker);
    }
    assert!(worker.lock().started >= 3);
}

/// The end of an idle worker and the next request meet thousands of times here.
#[test]
fn no_request_is_lost_to_a_worker_that_ends() {
    let worker = worker(Duration::ZERO, answer_all);
    let threads: Vec<_> = (0..8)
        .map(|_| {
            std::thread::spawn(move || {
                for _ in 0..200 {
                    assert_eq!(ask(worker), Response::NotFound);
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    assert!(worker.lock().jobs.is_empty());
}

#[test]
fn a_promise_keeps_the_worker() {
    let worker = worker(Duration::ZERO, |mut jobs, worker| {
        while let Some(job) = jobs.blocking_recv() {
            worker.keep_for(LONG);
            job.answer(&Response::NotFound);
        }
    });
    for _ in 0..100 {
        ask(worker);
    }
    assert_eq!(worker.lock().started, 1);
}

#[test]
fn a_privileged_host_that_sees_the_threads_off_finds_none() {
    let worker = worker(LONG, answer_all);
    for started in 1..50 {
        assert_eq!(ask_as(worker, true), Response::NotFound);
        worker.see_off(Instant::now() + LONG);
        assert!(!worker.lock().living.any());
        assert_eq!(worker.lock().started, started);
    }
}

#[test]
fn an_unprivileged_host_sees_nobody_off() {
    let worker = worker(LONG, answer_all);
    ask(worker);
    worker.see_off(Instant::now() + LONG);
    assert!(worker.lock().attendant.is_some());
}

#[test]
fn a_promise_keeps_the_worker_of_a_privileged_host() {
    let worker = worker(Duration::ZERO, |mut jobs, worker| {
        while let Some(job) = jobs.blocking_recv() {
            worker.keep_for(LONG);
            job.answer(&Response::NotFound);
        }
    });
    for _ in 0..50 {
        ask_as(worker, true);
        worker.see_off(Instant::now() + LONG);
    }
    assert_eq!(worker.lock().started, 1);
}

#[test]
fn nobody_is_seen_off_while_a_request_is_under_way() {
    let worker = worker(LONG, |mut jobs, _| {
        // The first one waits until the second one was answered.
        let first = jobs.blocking_recv();
        while let Some(job) = jobs.blocking_recv() {
            job.answer(&Response::NotFound);
        }
        drop(first);
    });
    let (job, _pending) = job(LONG);
    worker.submit(job, true);
    ask_as(worker, true);
    worker.see_off(Instant::now() + LONG);
    assert!(worker.lock().attendant.is_some());
}

#[test]
fn after_a_panic_requests_are_unavailable_and_then_answered_again() {
    static CALLS: AtomicU32 = AtomicU32::new(0);
    let worker = worker(LONG, |mut jobs, worker| {
        if CALLS.fetch_add(1, Ordering::Relaxed) == 0 {
            let _job = jobs.blocking_recv();
            panic!("on purpose");
        }
        answer_all(jobs, worker);
    });
    assert!(matches!(ask(worker), Response::Unavailable(Unavailable::Directory(_))));
    while ask(worker) != Response::NotFound {}
}

//! The host's signals are handled by the host's threads.

#![allow(clippy::multiple_unsafe_ops_per_block, reason = "one reason for a row of plain C calls")]

mod host;

use std::fs;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::time::{Duration, Instant};

use host::{Direct, in_a_host, threads};

/// The threads that handled a signal: any of ours?
static OURS: AtomicBool = AtomicBool::new(false);
static HANDLED: AtomicI32 = AtomicI32::new(0);

extern "C" fn handler(_: i32) {
    let mut name = [0_u8; 16];
    // SAFETY: it writes at most 16 bytes, prctl(2); allowed in a handler.
    unsafe { libc::prctl(libc::PR_GET_NAME, name.as_mut_ptr()) };
    if name.starts_with(b"rollcall") {
        OURS.store(true, Ordering::Relaxed);
    }
    HANDLED.fetch_add(1, Ordering::Relaxed);
}

fn handle(signal: i32) {
    // SAFETY: the handler calls nothing that isn't allowed in one, signal-safety(7).
    unsafe { libc::signal(signal, handler as *const () as libc::sighandler_t) };
}

/// The signals that a task blocks, as a bit mask.
fn blocked(task: &std::path::Path) -> u64 {
    let status = fs::read_to_string(task.join("status")).unwrap();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigBlk:")).unwrap();
    u64::from_str_radix(mask.trim(), 16).unwrap()
}

#[test]
fn our_threads_block_every_signal_that_can_be_blocked() {
    in_a_host("our_threads_block_every_signal_that_can_be_blocked", || {
        let direct = Direct::without_a_server();
        direct.expect_unavailable();
        let ours = threads("rollcall-");
        assert!(ours.len() >= 2);
        for task in ours {
            for signal in (1..=64).filter(|n| ![libc::SIGKILL, libc::SIGSTOP, 32, 33].contains(n)) {
                assert_ne!(blocked(&task) & (1 << (signal - 1)), 0, "signal {signal}");
            }
        }
    });
}

#[test]
fn the_asking_threads_own_mask_is_left_as_it_was() {
    in_a_host("the_asking_threads_own_mask_is_left_as_it_was", || {
        let task = std::path::Path::new("/proc/thread-self");
        let before = blocked(task);
        Direct::without_a_server().expect_unavailable();
        assert_eq!(blocked(task), before);
    });
}

#[test]
fn a_signal_to_the_process_is_never_handled_by_our_threads() {
    in_a_host("a_signal_to_the_process_is_never_handled_by_our_threads", || {
        let direct = Direct::without_a_server();
        direct.expect_unavailable();
        for signal in [libc::SIGTERM, libc::SIGALRM, libc::SIGCHLD, libc::SIGPIPE] {
            handle(signal);
            // With the host's threads blocking it, only ours would be left to take it.
            // SAFETY: plain data, filled before it is read.
            let mut set: libc::sigset_t = unsafe { std::mem::zeroed() };
            // SAFETY: the set lives; the mask is this thread's.
            unsafe {
                libc::sigemptyset(&raw mut set);
                libc::sigaddset(&raw mut set, signal);
                libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut());
                libc::kill(libc::getpid(), signal);
            }
            direct.expect_unavailable();
            // SAFETY: as above.
            unsafe {
                libc::pthread_sigmask(libc::SIG_UNBLOCK, &raw const set, std::ptr::null_mut());
            }
            direct.expect_unavailable();
        }
        assert!(!OURS.load(Ordering::Relaxed));
        assert!(HANDLED.load(Ordering::Relaxed) >= 1);
    });
}

/// A host's timer interrupts its waiting thread again and again.
#[test]
fn a_host_with_a_fast_timer_is_answered() {
    in_a_host("a_host_with_a_fast_timer_is_answered", || {
        let direct = Direct::without_a_server();
        handle(libc::SIGALRM);
        let every = libc::timeval { tv_sec: 0, tv_usec: 500 };
        let timer = libc::itimerval { it_interval: every, it_value: every };
        // SAFETY: it reads the timer above.
        unsafe { libc::setitimer(libc::ITIMER_REAL, &raw const timer, std::ptr::null_mut()) };
        let started = Instant::now();
        while started.elapsed() < Duration::from_millis(500) {
            direct.expect_unavailable();
        }
        assert!(!OURS.load(Ordering::Relaxed));
        assert!(HANDLED.load(Ordering::Relaxed) > 0);
    });
}

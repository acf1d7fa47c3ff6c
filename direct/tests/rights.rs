//! Threads have rights of their own. What a privileged host does with its own
//! rights must not depend on threads that a lookup left behind.

#![allow(clippy::multiple_unsafe_ops_per_block, reason = "one reason for a row of plain C calls")]

mod host;

use std::net::TcpListener;
use std::thread;
use std::time::{Duration, Instant};

use common::protocol::Response;
use host::{Direct, NOBODY, in_a_fork, in_a_host, in_a_privileged_host, threads};

/// Two capabilities, capabilities(7), as bits.
const SETGID_AND_SETUID: u32 = 1 << 6 | 1 << 7;

/// Keeps these and gives up all others.
fn set_capabilities(effective: u32, permitted: u32) {
    // _LINUX_CAPABILITY_VERSION_3, and this thread.
    let header = [0x2008_0522_u32, 0];
    let sets = [effective, permitted, 0, 0, 0, 0];
    // SAFETY: the header is read and, as its version is known, not written to;
    // the sets are as many as this version has.
    let result = unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), sets.as_ptr()) };
    assert_eq!(result, 0);
}

fn become_user(uid: u32) {
    // SAFETY: plain numbers.
    assert_eq!(unsafe { libc::setresuid(uid, uid, uid) }, 0);
}

fn keep_capabilities() {
    // SAFETY: plain numbers.
    assert_eq!(unsafe { libc::prctl(libc::PR_SET_KEEPCAPS, 1) }, 0);
}

#[test]
fn after_an_answer_a_privileged_host_has_no_threads_but_its_own() {
    in_a_privileged_host("after_an_answer_a_privileged_host_has_no_threads_but_its_own", || {
        let before = threads("");
        for _ in 0..50 {
            // A new one each time: of a known one it is remembered that it is down.
            Direct::without_a_server().expect_unavailable();
            assert_eq!(threads(""), before);
        }
    });
}

#[test]
fn the_threads_that_resolve_names_are_gone_with_the_others() {
    in_a_privileged_host("the_threads_that_resolve_names_are_gone_with_the_others", || {
        let before = threads("");
        for _ in 0..20 {
            Direct::with_uri("ldap://localhost:1").expect_unavailable();
            assert_eq!(threads(""), before);
        }
    });
}

#[test]
fn the_last_of_many_threads_that_ask_leaves_no_thread_of_ours() {
    in_a_privileged_host("the_last_of_many_threads_that_ask_leaves_no_thread_of_ours", || {
        let ask = || Direct::without_a_server().expect_unavailable();
        for _ in 0..20 {
            thread::scope(|scope| {
                for _ in 0..8 {
                    scope.spawn(|| (0..5).for_each(|_| ask()));
                }
            });
            assert!(threads("rollcall-").is_empty());
        }
    });
}

/// A user with a capability is as privileged as root, even with none in effect.
#[test]
fn a_user_with_capabilities_has_no_threads_of_ours_after_an_answer() {
    in_a_privileged_host("a_user_with_capabilities_has_no_threads_of_ours_after_an_answer", || {
        let directs = [Direct::without_a_server(), Direct::without_a_server()];
        keep_capabilities();
        become_user(NOBODY);
        for (direct, effective) in directs.iter().zip([0, SETGID_AND_SETUID]) {
            set_capabilities(effective, SETGID_AND_SETUID);
            direct.expect_unavailable();
            assert!(threads("rollcall-").is_empty(), "{effective}");
        }
    });
}

/// As setpriv(1) does. glibc ends a program whose threads it can't all give
/// the same ids. In a fork, since a test has two threads itself.
#[test]
fn a_host_that_keeps_its_capabilities_changes_its_user_after_a_lookup() {
    let name = "a_host_that_keeps_its_capabilities_changes_its_user_after_a_lookup";
    in_a_privileged_host(name, || {
        let directs = [Direct::without_a_server(), Direct::without_a_server()];
        assert!(in_a_fork(|| {
            directs[0].expect_unavailable();
            keep_capabilities();
            become_user(NOBODY);
            directs[1].expect_unavailable();
            set_capabilities(SETGID_AND_SETUID, SETGID_AND_SETUID);
            become_user(NOBODY - 1);
        }));
    });
}

#[test]
fn an_unprivileged_host_keeps_its_threads_for_the_next_request() {
    in_a_host("an_unprivileged_host_keeps_its_threads_for_the_next_request", || {
        let direct = Direct::without_a_server();
        direct.expect_unavailable();
        let first = threads("rollcall-");
        assert!(first.len() >= 2);
        direct.expect_unavailable();
        assert_eq!(threads("rollcall-"), first);
    });
}

#[test]
fn a_host_that_gave_up_root_keeps_its_threads_for_the_next_request() {
    in_a_privileged_host("a_host_that_gave_up_root_keeps_its_threads_for_the_next_request", || {
        let direct = Direct::without_a_server();
        direct.expect_unavailable();
        become_user(NOBODY);
        direct.expect_unavailable();
        assert!(!threads("rollcall-").is_empty());
    });
}

/// glibc carries out setuid(2) in all threads by a signal, and waits for them.
#[test]
fn a_host_can_change_its_user_in_the_middle_of_a_request() {
    in_a_privileged_host("a_host_can_change_its_user_in_the_middle_of_a_request", || {
        // It accepts, and never answers.
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let uri = format!("ldap://127.0.0.1:{}", listener.local_addr().unwrap().port());
        let direct = Direct::with_uri(&uri);
        thread::scope(|scope| {
            let asker = scope.spawn(|| direct.ask(Duration::from_secs(5)));
            let connection = listener.accept().unwrap();
            // SAFETY: plain numbers.
            assert_eq!(unsafe { libc::setgid(NOBODY) }, 0);
            become_user(NOBODY);
            let ours = threads("rollcall-");
            assert!(ours.len() >= 2);
            for task in ours {
                let status = std::fs::read_to_string(task.join("status")).unwrap();
                assert!(status.contains("Uid:\t65534\t65534\t65534\t65534"), "{status}");
                assert!(status.contains("Gid:\t65534\t65534\t65534\t65534"), "{status}");
            }
            let response = asker.join().unwrap();
            assert!(matches!(response, Response::Unavailable(_)), "{response:?}");
            drop(connection);
        });
    });
}

/// Each request would otherwise wait for it, as no thread remembers it.
#[test]
fn a_silent_server_costs_a_privileged_host_one_wait() {
    in_a_privileged_host("a_silent_server_costs_a_privileged_host_one_wait", || {
        // It lets everybody connect, and never answers.
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let uri = format!("ldap://127.0.0.1:{}", listener.local_addr().unwrap().port());
        let direct = Direct::with_uri(&uri);
        let waits = (0..20).filter(|_| {
            let started = Instant::now();
            let response = direct.ask(Duration::from_secs(30));
            assert!(matches!(response, Response::Unavailable(_)), "{response:?}");
            started.elapsed() > Duration::from_secs(1)
        });
        // Two on a machine that is slow enough for a second attempt.
        assert!((1..=2).contains(&waits.count()));
    });
}

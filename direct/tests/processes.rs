//! Forks, users, threads and the end of a host.

#![allow(clippy::multiple_unsafe_ops_per_block, reason = "one reason for a row of plain C calls")]

mod host;

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::thread;
use std::time::{Duration, Instant};

use common::protocol::{Response, Unavailable};
use host::{Direct, descriptors, in_a_fork, in_a_host, in_a_privileged_host, threads};

#[test]
fn both_sides_of_a_fork_are_served() {
    in_a_host("both_sides_of_a_fork_are_served", || {
        let direct = Direct::without_a_server();
        direct.expect_unavailable();
        let child = in_a_fork(|| {
            assert!(threads("rollcall-").is_empty(), "the parent's worker isn't here");
            direct.expect_unavailable();
            assert!(!threads("rollcall-").is_empty(), "there is one of the child's own");
            assert!(in_a_fork(|| direct.expect_unavailable()), "a grandchild");
            direct.expect_unavailable();
        });
        assert!(child);
        direct.expect_unavailable();
    });
}

#[test]
fn a_child_inherits_none_of_our_descriptors() {
    in_a_host("a_child_inherits_none_of_our_descriptors", || {
        let direct = Direct::without_a_server();
        let own = || descriptors(std::path::Path::new("/proc/self"));
        let before = own();
        direct.expect_unavailable();
        assert!(in_a_fork(|| assert_eq!(own(), before)));
    });
}

/// A worker's mutex may be held by another thread in the moment of a fork.
#[test]
fn forks_in_the_middle_of_requests_are_served() {
    in_a_host("forks_in_the_middle_of_requests_are_served", || {
        let direct = Direct::without_a_server();
        let over = std::sync::atomic::AtomicBool::new(false);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    while !over.load(std::sync::atomic::Ordering::Relaxed) {
                        direct.expect_unavailable();
                    }
                });
            }
            for _ in 0..50 {
                assert!(in_a_fork(|| direct.expect_unavailable()));
            }
            over.store(true, std::sync::atomic::Ordering::Relaxed);
        });
    });
}

#[test]
fn threads_that_ask_at_once_are_all_answered() {
    in_a_host("threads_that_ask_at_once_are_all_answered", || {
        let direct = Direct::without_a_server();
        thread::scope(|scope| {
            for _ in 0..32 {
                scope.spawn(|| (0..20).for_each(|_| direct.expect_unavailable()));
            }
        });
        assert_eq!(threads("rollcall-direct").len(), 1);
        assert_eq!(threads("rollcall-ldap").len(), 1);
    });
}

/// What was read as root isn't used after root was given up.
#[test]
fn a_configuration_that_only_root_may_read_is_lost_with_root() {
    in_a_privileged_host("a_configuration_that_only_root_may_read_is_lost_with_root", || {
        let direct = Direct::without_a_server();
        let file = direct.folder().join("rollcall.toml");
        std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600))
            .unwrap();
        direct.expect_unavailable();
        // SAFETY: plain numbers.
        unsafe {
            assert_eq!(libc::setgid(65534), 0);
            assert_eq!(libc::setuid(65534), 0);
        }
        let response = direct.ask(Duration::from_secs(30));
        let Response::Unavailable(Unavailable::Configuration(_)) = response else {
            panic!("{response:?}")
        };
    });
}

#[test]
fn a_missing_configuration_is_named() {
    in_a_host("a_missing_configuration_is_named", || {
        let direct = Direct::without_a_server();
        let path = direct.folder().join("missing.toml");
        let config = CString::new(path.as_os_str().as_bytes()).unwrap();
        let response = direct.ask_with(&config, Duration::from_secs(30));
        let Response::Unavailable(Unavailable::Configuration(text)) = response else {
            panic!("{response:?}")
        };
        assert!(text.contains("missing.toml"), "{text}");
    });
}

#[test]
fn a_frame_that_is_none_is_refused_without_an_answer() {
    in_a_host("a_frame_that_is_none_is_refused_without_an_answer", || {
        let direct = Direct::without_a_server();
        for frame in [&b""[..], b"RC", &[0; 12], &[0xff; 100]] {
            assert_ne!(direct.code_for(frame), 0);
        }
        assert!(threads("rollcall-").is_empty(), "no thread was started for it");
    });
}

/// For hosts that must have a single thread at some time, unshare(2).
#[test]
fn an_idle_worker_leaves_the_host_with_the_threads_it_had() {
    in_a_host("an_idle_worker_leaves_the_host_with_the_threads_it_had", || {
        let direct = Direct::without_a_server();
        let before = threads("").len();
        direct.expect_unavailable();
        let started = Instant::now();
        while threads("").len() > before {
            assert!(started.elapsed() < Duration::from_secs(60), "they are still there");
            thread::sleep(Duration::from_millis(50));
        }
        direct.expect_unavailable();
    });
}

#[test]
fn a_host_that_exits_in_the_middle_of_requests_exits() {
    in_a_host("a_host_that_exits_in_the_middle_of_requests_exits", || {
        let direct = Direct::without_a_server();
        for _ in 0..20 {
            assert!(in_a_fork(|| {
                thread::scope(|scope| {
                    scope.spawn(|| {
                        loop {
                            direct.expect_unavailable();
                        }
                    });
                    direct.expect_unavailable();
                    // SAFETY: exit handlers are the subject of this test.
                    unsafe { libc::exit(0) };
                });
            }));
        }
    });
}

/// A sandbox that forbids `close_range(2)`: no LDAP work in the host's table.
#[test]
fn without_a_table_of_its_own_nothing_is_opened() {
    in_a_host("without_a_table_of_its_own_nothing_is_opened", || {
        let direct = Direct::without_a_server();
        forbid(libc::SYS_close_range);
        let own = || descriptors(std::path::Path::new("/proc/self"));
        let before = own();
        for _ in 0..3 {
            let response = direct.ask(Duration::from_secs(30));
            let Response::Unavailable(Unavailable::Directory(why)) = response else {
                panic!("{response:?}")
            };
            assert!(why.contains("descriptor table"), "{why}");
        }
        assert_eq!(own(), before);
    });
}

/// Makes a system call fail with EPERM in this thread and those it starts (seccomp(2)).
fn forbid(call: libc::c_long) {
    let op = |code: u32, k: u32, jt| libc::sock_filter {
        code: u16::try_from(code).unwrap(),
        jt,
        jf: 0,
        k,
    };
    let call = u32::try_from(call).unwrap();
    let refuse = libc::SECCOMP_RET_ERRNO | u32::try_from(libc::EPERM).unwrap();
    let mut filter = [
        op(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0),
        op(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, call, 1),
        op(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW, 0),
        op(libc::BPF_RET | libc::BPF_K, refuse, 0),
    ];
    let program = libc::sock_fprog { len: 4, filter: filter.as_mut_ptr() };
    // SAFETY: the program lives until the calls return.
    unsafe {
        assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        let mode = libc::SECCOMP_MODE_FILTER;
        assert_eq!(libc::prctl(libc::PR_SET_SECCOMP, mode, &raw const program, 0, 0), 0);
    }
}

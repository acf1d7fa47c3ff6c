//! The host's descriptors and ours are strangers to each other.

mod host;

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::Path;

use host::{Direct, descriptors, in_a_host, threads};

fn own() -> Vec<(i32, std::path::PathBuf)> {
    descriptors(Path::new("/proc/thread-self"))
}

fn limit_descriptors(count: libc::rlim_t) {
    let limit = libc::rlimit { rlim_cur: count, rlim_max: count };
    // SAFETY: it reads the limits above.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) }, 0);
}

#[test]
fn a_request_adds_nothing_to_the_hosts_descriptors() {
    in_a_host("a_request_adds_nothing_to_the_hosts_descriptors", || {
        let direct = Direct::without_a_server();
        let before = own();
        direct.expect_unavailable();
        assert!(!threads("rollcall-").is_empty(), "the worker is alive");
        assert_eq!(own(), before);
    });
}

#[test]
fn our_threads_hold_none_of_the_hosts_descriptors() {
    in_a_host("our_threads_hold_none_of_the_hosts_descriptors", || {
        let direct = Direct::without_a_server();
        let path = direct.folder().join("file");
        let _files: Vec<_> = (0..50).map(|_| File::create(&path).unwrap()).collect();
        direct.expect_unavailable();
        for task in threads("rollcall-") {
            for (number, target) in descriptors(&task) {
                assert_ne!(target, path, "descriptor {number}");
            }
        }
    });
}

#[test]
fn stray_prints_of_our_threads_reach_nobody() {
    in_a_host("stray_prints_of_our_threads_reach_nobody", || {
        let direct = Direct::without_a_server();
        direct.expect_unavailable();
        let task = threads("rollcall-ldap").pop().expect("the runtime's thread");
        let table = descriptors(&task);
        for (standard, (number, target)) in (0..3).zip(&table) {
            assert_eq!(*number, standard);
            assert!(target.to_string_lossy().starts_with("pipe:"), "{}", target.display());
            let info = fs::read_to_string(task.join(format!("fdinfo/{standard}"))).unwrap();
            let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).unwrap();
            let flags = i32::from_str_radix(flags.trim(), 8).unwrap();
            assert_eq!(flags & libc::O_ACCMODE, libc::O_RDONLY);
        }
    });
}

/// See the last paragraph of `worker.rs`: tokio's features `signal` and
/// `process` must not have got in from another package.
#[test]
fn tokio_keeps_no_sockets_for_signals() {
    in_a_host("tokio_keeps_no_sockets_for_signals", || {
        let direct = Direct::without_a_server();
        direct.expect_unavailable();
        let task = threads("rollcall-ldap").pop().expect("the runtime's thread");
        let table = descriptors(&task);
        let sockets = table.iter().filter(|(_, t)| t.to_string_lossy().starts_with("socket:"));
        assert_eq!(sockets.count(), 0, "build direct alone (-p direct): {table:?}");
    });
}

/// What every daemon does when it starts: closefrom(3), then files of its own.
#[test]
fn a_host_that_closes_and_reuses_descriptors_keeps_its_files() {
    in_a_host("a_host_that_closes_and_reuses_descriptors_keeps_its_files", || {
        let direct = Direct::without_a_server();
        let path = direct.folder().join("file");
        for round in 0..5 {
            direct.expect_unavailable();
            // SAFETY: nothing in this process uses these descriptors any more.
            unsafe { libc::syscall(libc::SYS_close_range, 3, u32::MAX, 0) };
            fs::write(&path, "mine").unwrap();
            let files: Vec<_> =
                (0..200).map(|_| File::options().append(true).open(&path).unwrap()).collect();
            direct.expect_unavailable();
            direct.expect_unavailable();
            assert_eq!(fs::read_to_string(&path).unwrap(), "mine", "round {round}");
            drop(files);
        }
    });
}

#[test]
fn a_host_without_standard_descriptors_is_served() {
    in_a_host("a_host_without_standard_descriptors_is_served", || {
        let direct = Direct::without_a_server();
        // SAFETY: the test's own; a failure shows in the exit status.
        unsafe { libc::syscall(libc::SYS_close_range, 0, 2, 0) };
        let before = own();
        direct.expect_unavailable();
        let after = own();
        // The test's report needs them.
        let null = File::options().read(true).write(true).open("/dev/null").unwrap();
        for target in 1..3 {
            // SAFETY: the numbers are free.
            unsafe { libc::dup2(null.as_raw_fd(), target) };
        }
        std::mem::forget(null);
        assert_eq!(after, before);
    });
}

#[test]
fn a_host_with_5000_descriptors_is_served() {
    in_a_host("a_host_with_5000_descriptors_is_served", || {
        limit_descriptors(6000);
        let direct = Direct::without_a_server();
        let files: Vec<_> = (0..5000).map(|_| File::open("/dev/null").unwrap()).collect();
        direct.expect_unavailable();
        for task in threads("rollcall-") {
            assert!(descriptors(&task).len() < 100);
        }
        drop(files);
    });
}

/// A host without a free descriptor can't be disturbed for one of ours.
#[test]
fn a_host_at_its_limit_of_descriptors_is_served() {
    in_a_host("a_host_at_its_limit_of_descriptors_is_served", || {
        limit_descriptors(100);
        let direct = Direct::without_a_server();
        let mut files = Vec::new();
        while let Ok(file) = File::open("/dev/null") {
            files.push(file);
        }
        direct.expect_unavailable();
    });
}

#[test]
fn a_pipe_that_the_host_closes_is_at_its_end_although_the_worker_lives() {
    let name = "a_pipe_that_the_host_closes_is_at_its_end_although_the_worker_lives";
    in_a_host(name, || {
        let direct = Direct::without_a_server();
        let mut ends = [-1; 2];
        // SAFETY: it writes two numbers to the array.
        assert_eq!(unsafe { libc::pipe(ends.as_mut_ptr()) }, 0);
        // SAFETY: both were just opened, and nobody else owns them.
        let [mut reader, mut writer] =
            ends.map(|fd| File::from(unsafe { OwnedFd::from_raw_fd(fd) }));
        direct.expect_unavailable();
        writer.write_all(b"x").unwrap();
        drop(writer);
        assert!(!threads("rollcall-").is_empty(), "the worker is alive");
        let mut text = Vec::new();
        // A worker that held the writing end would make this wait for ever.
        reader.read_to_end(&mut text).unwrap();
        assert_eq!(text, b"x");
    });
}

/// Closing a descriptor drops all of a process's record locks on the file
/// (fcntl(2)), but only when it is closed in the table they belong to.
#[test]
fn the_hosts_record_locks_survive_a_request() {
    in_a_host("the_hosts_record_locks_survive_a_request", || {
        let direct = Direct::without_a_server();
        let file = File::create(direct.folder().join("locked")).unwrap();
        // SAFETY: plain data; zeros are valid.
        let mut lock: libc::flock = unsafe { std::mem::zeroed() };
        lock.l_type = i16::try_from(libc::F_WRLCK).unwrap();
        // SAFETY: it reads the lock above.
        let set = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLK, &raw const lock) };
        assert_eq!(set, 0);
        direct.expect_unavailable();
        let still_locked = host::in_a_fork(|| {
            // SAFETY: it writes to the child's copy of the lock.
            let got = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GETLK, &raw mut lock) };
            assert_eq!((got, i32::from(lock.l_type)), (0, libc::F_WRLCK));
        });
        assert!(still_locked);
    });
}

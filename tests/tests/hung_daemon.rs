//! A daemon that hangs, or isn't there, holds nobody up: its socket takes what comes and answers
//! nothing, and what was known before is answered all the same. What doesn't wait for a
//! deadline takes milliseconds, so many of that take less than one deadline together.

#[macro_use]
mod modes;
mod probe;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::time::Instant;

use common::deadline::LOOKUP;
use common::table::Now;
use common::table::layout::header;
use harness::{Host, PATIENCE, until};
use modes::Mode;
use probe::{Running, UNAVAILABLE, ask, ask_until_kept, install, people};

const ALICE: &str = "alice:10001:20001:alice:/home/alice:/bin/sh";
const KNOWN: [(&str, &str); 5] = [
    ("user alice", ALICE),
    ("uid 10001", ALICE),
    ("group crew", "crew:20001:alice,bob"),
    ("gid 20001", "crew:20001:alice,bob"),
    ("groups alice", "1 20001 20002"),
];
const UNKNOWN: [&str; 4] = ["user nobody-here", "uid 19999", "group nothing-here", "gid 29999"];
/// A user of the host's own, in no group of the directory.
const LOCAL: (&str, &str) = ("groups local", "1");

/// A host that was asked for what it is to know.
fn host(mode: Mode) -> Host {
    let builder = Host::new().directory(people()).local_user("local", 5000, "secret");
    let host = install(mode.start_lazy(builder));
    ask_until_kept(&host, KNOWN.len() + 1, || {
        let mut probe = Running::start(&host);
        assert_known(&mut probe);
        probe.end();
    });
    host
}

#[track_caller]
fn assert_known(probe: &mut Running) {
    for (question, answer) in KNOWN.into_iter().chain([LOCAL]) {
        assert_eq!(probe.ask(question), answer, "{question}");
    }
}

/// Waits until the last heartbeat has died away.
fn await_silence(host: &Host) {
    until(PATIENCE, || {
        let until = host.table_word(header::ALIVE_UNTIL)?;
        (u64::from(Now::read().0) >= until).then_some(())
    })
    .expect("a heartbeat dies away");
}

/// What takes no deadline, however often it is done.
#[track_caller]
fn without_a_deadline(what: impl FnOnce()) {
    let started = Instant::now();
    what();
    let took = started.elapsed();
    assert!(took < LOOKUP, "it took {took:?}");
}

/// A host whose daemon is frozen, and whose table shows it.
fn frozen(mode: Mode) -> Host {
    let mut host = host(mode);
    host.daemon().freeze();
    await_silence(&host);
    host
}

/// A host whose daemon is being started again: somebody holds the socket, as systemd does.
fn between_two_daemons(mode: Mode) -> (Host, UnixListener) {
    let mut host = host(mode);
    host.daemon().stop();
    let path = host.path(common::paths::SOCKET);
    let _ = fs::remove_file(&path);
    let listener = UnixListener::bind(&path).expect("a socket");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).expect("it is ours");
    (host, listener)
}

/// The same at a boot: there is no table yet, only the sealed copy.
fn before_the_first_daemon(mode: Mode) -> (Host, UnixListener) {
    let (host, listener) = between_two_daemons(mode);
    host.run(["rm", "-f", common::paths::TABLE]).success();
    (host, listener)
}

modes! { caching:
    fn who_is_known_waits_for_no_daemon_that_hangs(mode: Mode) {
        let host = frozen(mode);
        let mut probe = Running::start(&host);
        without_a_deadline(|| (0..100).for_each(|_| assert_known(&mut probe)));
        probe.end();
    }

    fn a_process_that_was_there_before_waits_for_no_daemon_that_hangs(mode: Mode) {
        let mut host = host(mode);
        let mut probe = Running::start(&host);
        assert_known(&mut probe);
        host.daemon().freeze();
        await_silence(&host);
        without_a_deadline(|| (0..100).for_each(|_| assert_known(&mut probe)));
        probe.end();
    }

    fn each_new_process_finds_who_is_known_without_a_deadline(mode: Mode) {
        let host = frozen(mode);
        for (question, answer) in KNOWN {
            without_a_deadline(|| assert_eq!(ask(&host, question), answer));
        }
    }

    fn who_is_unknown_costs_a_process_one_deadline_of_a_daemon_that_hangs(mode: Mode) {
        let host = frozen(mode);
        let mut probe = Running::start(&host);
        assert_eq!(probe.ask(UNKNOWN[0]), UNAVAILABLE);
        without_a_deadline(|| {
            for question in UNKNOWN.into_iter().cycle().take(100) {
                assert_eq!(probe.ask(question), UNAVAILABLE, "{question}");
            }
            assert_known(&mut probe);
        });
        probe.end();
    }

    fn a_daemon_that_goes_on_is_asked_again(mode: Mode) {
        let mut host = frozen(mode);
        let mut probe = Running::start(&host);
        assert_eq!(probe.ask(UNKNOWN[0]), UNAVAILABLE);
        host.daemon().thaw();
        for question in UNKNOWN {
            until(PATIENCE, || (probe.ask(question) == "none").then_some(()))
                .unwrap_or_else(|| panic!("{question}: the daemon is asked again"));
        }
        assert_known(&mut probe);
        probe.end();
    }

    fn the_groups_of_a_user_of_this_host_wait_for_no_daemon_that_hangs(mode: Mode) {
        let host = frozen(mode);
        let (question, answer) = LOCAL;
        for _ in 0..3 {
            without_a_deadline(|| assert_eq!(ask(&host, question), answer));
        }
    }

    fn who_is_known_waits_for_no_daemon_that_is_being_started(mode: Mode) {
        let (host, _listener) = between_two_daemons(mode);
        await_silence(&host);
        let mut probe = Running::start(&host);
        without_a_deadline(|| (0..100).for_each(|_| assert_known(&mut probe)));
        probe.end();
    }

    fn who_was_sealed_is_found_without_a_deadline_before_the_daemon_is_up(mode: Mode) {
        let (host, _listener) = before_the_first_daemon(mode);
        let mut probe = Running::start(&host);
        without_a_deadline(|| {
            for (question, answer) in KNOWN.into_iter().cycle().take(500) {
                assert_eq!(probe.ask(question), answer, "{question}");
            }
        });
        probe.end();
    }

    fn without_a_daemon_and_its_socket_nobody_waits_for_anything(mode: Mode) {
        let mut host = host(mode);
        host.daemon().stop();
        host.run(["rm", "-rf", "/run/rollcall"]).success();
        let mut probe = Running::start(&host);
        without_a_deadline(|| {
            for question in UNKNOWN.into_iter().cycle().take(1000) {
                assert_eq!(probe.ask(question), UNAVAILABLE, "{question}");
            }
            assert_known(&mut probe);
        });
        probe.end();
    }

    fn a_socket_that_refuses_holds_nobody_up(mode: Mode) {
        let mut host = host(mode);
        host.daemon().kill();
        await_silence(&host);
        let mut probe = Running::start(&host);
        without_a_deadline(|| {
            for question in UNKNOWN.into_iter().cycle().take(1000) {
                assert_eq!(probe.ask(question), UNAVAILABLE, "{question}");
            }
            assert_known(&mut probe);
        });
        probe.end();
    }
}

/// The sealed copy says that it had everybody. Each process asks for the first time.
#[test]
fn whom_a_sealed_copy_of_everybody_does_not_have_nobody_waits_for() {
    let (host, _listener) = before_the_first_daemon(Mode::Replica);
    assert_eq!(sealed_word(&host, header::HAD_EVERYTHING), 1);
    for question in UNKNOWN {
        without_a_deadline(|| assert_eq!(ask(&host, question), UNAVAILABLE, "{question}"));
    }
    for question in ["groups local", "groups root", "groups never-asked-for"] {
        without_a_deadline(|| assert_eq!(ask(&host, question), "1", "{question}"));
    }
}

/// A word of the sealed copy's header.
fn sealed_word(host: &Host, at: usize) -> u64 {
    let bytes = fs::read(host.path(common::paths::SEALED_TABLE)).expect("a sealed copy");
    let word = bytes[at * 8..].first_chunk().expect("it has a header");
    u64::from_ne_bytes(*word)
}

/// There may be others: a daemon that is just being started knows them.
#[test]
fn whom_a_sealed_copy_of_some_does_not_have_is_unavailable() {
    let (host, _listener) = before_the_first_daemon(Mode::OnDemand);
    assert_eq!(sealed_word(&host, header::HAD_EVERYTHING), 0, "or nobody would be waited for");
    let mut probe = Running::start(&host);
    for question in UNKNOWN {
        assert_eq!(probe.ask(question), UNAVAILABLE, "{question}");
    }
    probe.end();
}

/// As in early boot, before anything was ever known: udev asks for groups that don't exist.
#[test]
fn where_nothing_was_ever_known_nobody_waits_for_anything() {
    let mut host = install(Host::new().directory(people()).start());
    host.daemon().stop();
    // On a host of a daemon's there is no `direct.so`.
    host.run(["find", "/usr/lib", "/lib", "-name", "direct.so", "-delete"]);
    host.run(["rm", "-rf", "/run/rollcall", "/var/cache/rollcall"]).success();
    let mut probe = Running::start(&host);
    without_a_deadline(|| {
        for question in UNKNOWN.into_iter().cycle().take(1000) {
            assert_eq!(probe.ask(question), UNAVAILABLE, "{question}");
        }
        assert_eq!(probe.ask("groups root"), "1");
    });
    probe.end();
}

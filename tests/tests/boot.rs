//! A host that boots: no network, no daemon yet, and `/run` is empty. Whoever asks is
//! answered at once from the sealed copy, or told at once that nobody knows:
//! udev, dbus and whatever else starts then asks for users and groups that
//! are in no directory, and must not wait.

#[macro_use]
mod modes;
mod probe;

use std::time::{Duration, Instant};

use harness::{Host, PATIENCE, until};
use modes::Mode;
use probe::{Pace, Running, UNAVAILABLE, ask_until_kept, install, people};

const ALICE: &str = "alice:10001:20001:alice:/home/alice:/bin/sh";
const CREW: &str = "crew:20001:alice,bob";
/// The directory's address, which a host without a network hasn't got.
const ADDRESS: &str = "10.77.0.1";
/// What waits for nothing takes less, on a busy machine as well.
const AT_ONCE: Duration = Duration::from_millis(250);
/// What waits for a server takes more; one hiccup of the machine doesn't. That is all that there
/// can be: without a daemon a lookup makes no call that waits for anything (it connects to a
/// socket that isn't there, and maps the sealed copy), but the first one of a process loads the module.
const ONCE: Duration = Duration::from_millis(2500);
/// What a miss takes in the median, generously: no connection is waited for.
const USUALLY: Duration = Duration::from_millis(2);

/// A host that was shut down after its users were asked for, and boots.
fn booting(mode: Mode) -> Host {
    let mut host = install(mode.start(Host::new().directory(people().listen(ADDRESS))));
    let known = [
        ("user alice", ALICE),
        ("uid 10001", ALICE),
        ("group crew", CREW),
        ("groups alice", "1 20001 20002"),
    ];
    let mut probe = Running::start(&host);
    ask_until_kept(&host, known.len(), || {
        for (question, answer) in known {
            assert_eq!(probe.ask(question), answer);
        }
    });
    probe.end();
    host.daemon().stop();
    host.remove_address(ADDRESS);
    host.run(["rm", "-rf", "/run/rollcall"]).success();
    host
}

/// Looks up for a while; nobody has to wait, and all answers are this one.
#[track_caller]
fn assert_at_once(host: &Host, lookup: &str, answer: &str) {
    let pace = Pace::of(host, 1, lookup);
    assert_eq!(pace.answers, [answer], "{lookup}");
    assert!(pace.longest < ONCE && pace.second < AT_ONCE, "{lookup}: {pace:?}");
    assert!(pace.median < USUALLY, "{lookup}: {pace:?}");
}

/// Nobody who might be in the directory is said not to exist, and nobody waits.
#[track_caller]
fn assert_misses_are_quick(host: &Host) {
    for lookup in ["user nobody-%", "group render-%", "uid 40000%", "gid 40000%"] {
        assert_at_once(host, lookup, UNAVAILABLE);
    }
    assert_at_once(host, "groups messagebus", "1");
}

modes! { caching:
    fn a_booting_host_knows_whom_it_knew(mode: Mode) {
        let host = booting(mode);
        assert_at_once(&host, "user alice", ALICE);
        assert_at_once(&host, "uid 10001", ALICE);
        assert_at_once(&host, "group crew", CREW);
        assert_at_once(&host, "groups alice", "1 20001 20002");
    }

    fn a_booting_host_lets_nobody_wait_for_a_miss(mode: Mode) {
        assert_misses_are_quick(&booting(mode));
    }

    /// The first boot after the installation, or after `/var/cache` was cleared.
    fn a_booting_host_without_a_sealed_copy_lets_nobody_wait(mode: Mode) {
        let host = booting(mode);
        host.run(["sh", "-c", "rm -rf /var/cache/rollcall/*"]).success();
        for lookup in ["user alice", "group crew"] {
            assert_at_once(&host, lookup, UNAVAILABLE);
        }
        assert_misses_are_quick(&host);
    }

    /// Without a network it listens at once and answers what it can.
    fn a_daemon_starts_without_a_network(mode: Mode) {
        let mut host = booting(mode);
        let start = Instant::now();
        host.daemon().start();
        let took = start.elapsed();
        assert!(took < Duration::from_secs(2), "{took:?}");
        assert_at_once(&host, "user alice", ALICE);
        let mut probe = Running::start(&host);
        until(PATIENCE, || {
            let start = Instant::now();
            assert_eq!(probe.ask("group nothing-here"), UNAVAILABLE);
            (start.elapsed() < AT_ONCE).then_some(())
        })
        .expect("the outage is known some time");
        assert_misses_are_quick(&host);
        assert_at_once(&host, "user alice", ALICE);
        probe.end();
    }

    fn a_host_that_gets_its_network_after_the_boot_is_served(mode: Mode) {
        let mut host = booting(mode);
        host.daemon().start();
        let mut probe = Running::start(&host);
        assert_eq!(probe.ask("user nobody-here"), UNAVAILABLE);
        host.add_address(ADDRESS);
        let start = Instant::now();
        until(PATIENCE, || (probe.ask("user nobody-here") == "none").then_some(()))
            .expect("the directory is asked");
        let took = start.elapsed();
        // The kernel tells of the address; nothing has to wait for its turn to try again.
        assert!(took < Duration::from_secs(4), "{took:?}\n{}", host.log().join("\n"));
        probe.end();
    }
}

/// Before the daemon's first start there is no table, and no `direct.so` either.
#[test]
fn a_host_whose_daemon_never_ran_lets_nobody_wait() {
    let host = Host::new()
        .directory(people().listen(ADDRESS))
        .cache("mode = \"replica\"\n")
        .without_daemon()
        .start();
    let host = install(host);
    host.run(["sh", "-c", "rm -r /usr/lib*/rollcall /usr/lib/*/rollcall || true"]).success();
    host.remove_address(ADDRESS);
    assert_misses_are_quick(&host);
}

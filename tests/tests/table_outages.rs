//! With the directory down, the daemon dead or the files gone: what was known is
//! answered, and what wasn't is never "no such user".

#[macro_use]
mod modes;
mod probe;

use std::time::Duration;

use common::table::Now;
use common::table::layout::header;
use harness::{Host, PATIENCE, until};
use modes::Mode;
use probe::{Running, UNAVAILABLE, ask, ask_until_kept, install, people};

const ALICE: &str = "alice:10001:20001:alice:/home/alice:/bin/sh";
const CREW: &str = "crew:20001:alice,bob";
const KNOWN: [(&str, &str); 5] = [
    ("user alice", ALICE),
    ("uid 10001", ALICE),
    ("group crew", CREW),
    ("gid 20001", CREW),
    ("groups alice", "1 20001 20002"),
];
const UNKNOWN: [&str; 4] = ["user nobody-here", "uid 19999", "group nothing-here", "gid 29999"];

/// A host that was asked for what it is to know.
fn host(mode: Mode) -> Host {
    let host = install(mode.start(Host::new().directory(people())));
    ask_until_kept(&host, KNOWN.len(), || assert_known(&mut Running::start(&host)));
    host
}

#[track_caller]
fn assert_known(probe: &mut Running) {
    for (question, answer) in KNOWN {
        assert_eq!(probe.ask(question), answer, "{question}");
    }
}

/// Waits until nobody knows what doesn't exist; until then it is "none", for a time
/// the table is known to be complete.
#[track_caller]
fn await_unknown(probe: &mut Running) {
    for question in UNKNOWN {
        until(PATIENCE, || match probe.ask(question).as_str() {
            UNAVAILABLE => Some(()),
            answer => {
                assert_eq!(answer, "none", "{question}");
                None
            }
        })
        .unwrap_or_else(|| panic!("{question} is still answered"));
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

modes! { caching:
    fn a_directory_that_is_down_makes_nobody_unknown(mode: Mode) {
        let mut host = host(mode);
        let mut probe = Running::start(&host);
        host.directory().stop();
        assert_known(&mut probe);
        await_unknown(&mut probe);
        assert_known(&mut probe);
        host.directory().start();
        until(PATIENCE, || (probe.ask("user nobody-here") == "none").then_some(()))
            .expect("the directory is asked again");
        assert_known(&mut probe);
        probe.end();
    }

    fn a_directory_that_hangs_makes_nobody_unknown(mode: Mode) {
        let mut host = host(mode);
        let mut probe = Running::start(&host);
        host.directory().freeze();
        assert_known(&mut probe);
        await_unknown(&mut probe);
        assert_known(&mut probe);
        host.directory().thaw();
        until(PATIENCE, || (probe.ask("user nobody-here") == "none").then_some(()))
            .expect("the directory is asked again");
        probe.end();
    }

    fn a_daemon_that_starts_during_an_outage_knows_what_the_last_one_knew(mode: Mode) {
        let mut host = host(mode);
        host.directory().stop();
        host.daemon().stop();
        host.daemon().start();
        let mut probe = Running::start(&host);
        assert_known(&mut probe);
        await_unknown(&mut probe);
        host.daemon().kill();
        host.daemon().start();
        assert_known(&mut probe);
        await_unknown(&mut probe);
        host.directory().start();
        until(PATIENCE, || (probe.ask("user nobody-here") == "none").then_some(()))
            .expect("the directory is asked again");
        probe.end();
    }

    fn a_daemon_that_starts_without_run_knows_what_was_sealed(mode: Mode) {
        let mut host = host(mode);
        host.daemon().stop();
        host.directory().stop();
        host.run(["rm", "-rf", "/run/rollcall"]).success();
        host.daemon().start();
        let mut probe = Running::start(&host);
        assert_known(&mut probe);
        await_unknown(&mut probe);
        probe.end();
    }

    fn a_killed_daemon_makes_nobody_unknown(mode: Mode) {
        let mut host = host(mode);
        let mut old = Running::start(&host);
        assert_known(&mut old);
        host.daemon().kill();
        let mut new = Running::start(&host);
        for probe in [&mut old, &mut new] {
            assert_known(probe);
            await_unknown(probe);
            assert_known(probe);
        }
        await_silence(&host);
        for probe in [&mut old, &mut new] {
            assert_known(probe);
        }
        host.daemon().start();
        for probe in [&mut old, &mut new] {
            until(PATIENCE, || (probe.ask("user nobody-here") == "none").then_some(()))
                .expect("the daemon is asked again");
            assert_known(probe);
        }
        old.end();
        new.end();
    }

    fn a_sealed_copy_answers_where_run_is_empty(mode: Mode) {
        let mut host = host(mode);
        let mut old = Running::start(&host);
        assert_known(&mut old);
        host.daemon().stop();
        host.run(["rm", "-rf", "/run/rollcall"]).success();
        let mut new = Running::start(&host);
        for probe in [&mut old, &mut new] {
            assert_known(probe);
            await_unknown(probe);
            assert_known(probe);
        }
        old.end();
        new.end();
    }

    /// A host that was told to trust old answers for no time trusts none.
    fn an_answer_that_is_too_old_is_none(mode: Mode) {
        let how = if mode == Mode::Replica { "mode = \"replica\"" } else { "mode = \"on-demand\"" };
        let host = Host::new().directory(people()).cache(&format!("{how}\nrefresh = 1\nmax_stale = 1\n"));
        let mut host = install(host.start());
        if mode == Mode::Replica {
            host.daemon().wait_until_complete();
        }
        ask_until_kept(&host, 1, || assert_eq!(ask(&host, "user alice"), ALICE));
        host.daemon().kill();
        until(PATIENCE, || (ask(&host, "user alice") == UNAVAILABLE).then_some(()))
            .expect("it gets too old");
    }

    fn a_frozen_daemon_costs_a_known_user_nothing(mode: Mode) {
        let mut host = host(mode);
        let mut probe = Running::start(&host);
        assert_known(&mut probe);
        host.daemon().freeze();
        assert_known(&mut probe);
        await_silence(&host);
        // Who is unknown waits for the deadline, once.
        assert_eq!(probe.ask("user alice"), ALICE);
        assert_eq!(probe.ask("user nobody-here"), UNAVAILABLE);
        host.daemon().thaw();
        until(PATIENCE, || (probe.ask("user nobody-here") == "none").then_some(()))
            .expect("the daemon is asked again");
        assert_known(&mut probe);
        probe.end();
    }

    /// Nobody logs in by an answer of the table.
    fn an_outage_accepts_no_password(mode: Mode) {
        let mut host = host(mode);
        host.directory().stop();
        let socket = host.path(common::paths::SOCKET);
        let request = common::protocol::Request::Authenticate {
            name: common::account::Name::parse("alice").expect("a name"),
            password: common::secret::Secret::new("anything".into()),
            context: common::protocol::Context::default(),
        };
        let deadline = common::deadline::Deadline::after(Duration::from_secs(15));
        let answer = common::client::Client::Socket(&socket).ask(&request, deadline);
        assert!(matches!(answer, common::protocol::Response::Unavailable(_)), "{answer:?}");
    }
}

#[test]
fn a_replica_that_never_came_about_is_no_empty_directory() {
    let mut host =
        Host::new().directory(people()).cache("mode = \"replica\"\nrefresh = 1\n").start();
    host.daemon().stop();
    host.directory().stop();
    host.run(["rm", "-rf", "/run/rollcall", "/var/cache/rollcall/table"]).success();
    host.daemon().start();
    let mut host = install(host);
    for question in ["user alice", "user nobody-here", "gid 20001"] {
        assert_eq!(ask(&host, question), UNAVAILABLE, "{question}");
    }
    let output = host.run(["getent", "-s", "ldap", "passwd"]);
    assert!(output.stdout.is_empty());
    host.directory().start();
    host.daemon().wait_until_complete();
    assert_eq!(ask(&host, "user alice"), ALICE);
}

//! Logins in an outage that nobody knows of yet: the first one finds it out, and is decided all
//! the same.

mod kept;
#[macro_use]
mod modes;
mod pam;
mod trouble;

use std::thread;
use std::time::{Duration, Instant};

use common::deadline::LOGIN;
use harness::{Host, HostBuilder, PATIENCE, until};
use kept::{OF_BOB, PASSWORD, RIGHT, WRONG, builder, log_in_online, login, login_as, people};
use modes::Mode;
use pam::{AUTH_ERR, AUTHINFO_UNAVAIL, SUCCESS, probe};
use trouble::{Trouble, in_all_troubles, is_in, log_in, log_in_at};

/// What a busy machine may add to a limit.
const SLACK: Duration = Duration::from_secs(1);

/// A host on which alice has logged in, and whose server is in trouble since a moment ago.
fn in_sudden_trouble(mode: Mode, builder: HostBuilder, trouble: Trouble) -> Host {
    let mut host = mode.start(builder);
    log_in_online(&host);
    trouble.begin(&mut host);
    host
}

modes! { all:
    fn the_first_login_in_trouble_is_let_in(mode: Mode) {
        in_all_troubles(|trouble| {
            let host = in_sudden_trouble(mode, builder(people()), trouble);
            let start = Instant::now();
            let codes = login(&host, RIGHT);
            let took = start.elapsed();
            assert_eq!(codes, [SUCCESS; 2], "{trouble:?}: {took:?}\n{}", host.log().join("\n"));
            assert!(took < LOGIN + SLACK, "{trouble:?}: {took:?}");
        });
    }

    fn the_first_wrong_password_in_trouble_is_refused(mode: Mode) {
        in_all_troubles(|trouble| {
            let host = in_sudden_trouble(mode, builder(people()), trouble);
            assert_eq!(login(&host, WRONG)[0], AUTH_ERR, "{trouble:?}\n{}", host.log().join("\n"));
        });
    }

    /// The account check alone: an ssh key.
    fn the_first_login_without_a_password_in_trouble_is_let_in(mode: Mode) {
        in_all_troubles(|trouble| {
            let host = in_sudden_trouble(mode, builder(people()), trouble);
            let codes = probe(&host, "alice", &["account"]).codes;
            assert_eq!(codes, [SUCCESS], "{trouble:?}\n{}", host.log().join("\n"));
        });
    }

    fn eight_first_logins_at_once_in_trouble_are_let_in(mode: Mode) {
        in_all_troubles(|trouble| {
            let host = &in_sudden_trouble(mode, builder(people()), trouble);
            let logins: Vec<_> = thread::scope(|scope| {
                let logins: Vec<_> =
                    (0..8).map(|_| scope.spawn(|| log_in(host, "alice", PASSWORD))).collect();
                logins.into_iter().map(|login| login.join().expect("it ends")).collect()
            });
            for (answer, took) in logins {
                assert!(is_in(&answer), "{trouble:?}: {answer:?}\n{}", host.log().join("\n"));
                assert!(took < LOGIN + SLACK, "{trouble:?}: {took:?}");
            }
        });
    }

    /// With the account check: when the first question is answered the outage is known.
    fn who_is_not_kept_waits_no_longer_than_one_deadline_in_trouble(mode: Mode) {
        in_all_troubles(|trouble| {
            let host = in_sudden_trouble(mode, builder(people()), trouble);
            let first = log_in(&host, "bob", "bob's secret");
            let start = Instant::now();
            assert_eq!(login_as(&host, "bob", OF_BOB), [AUTHINFO_UNAVAIL; 2], "{trouble:?}");
            let second = start.elapsed();
            assert!(!is_in(&first.0) && first.1 < LOGIN + SLACK, "{trouble:?}: {first:?}");
            assert!(second < LOGIN, "{trouble:?}: {second:?}\n{}", host.log().join("\n"));
        });
    }
}

/// What finds it out and what decides share one deadline.
#[test]
fn a_short_deadline_leaves_time_for_the_decision() {
    in_all_troubles(|trouble| {
        let builder = builder(people()).configuration("[timeouts]\nlogin = 6\nconnect = 2\n");
        let host = in_sudden_trouble(Mode::OnDemand, builder, trouble);
        assert_eq!(login(&host, RIGHT), [SUCCESS; 2], "{trouble:?}\n{}", host.log().join("\n"));
    });
}

/// A host whose server answers everything but binds, for this long.
fn slow(builder: HostBuilder, seconds: u64) -> Host {
    let builder = builder.reading_relay("127.0.0.9").uri("[\"ldap://127.0.0.9\"]");
    let host = builder.start();
    log_in_online(&host);
    host.relay().delay_binds(Duration::from_secs(seconds));
    host
}

#[test]
fn a_server_that_is_merely_slow_is_asked_to_its_end() {
    let host = slow(builder(people()), 8);
    let said = probe(&host, "alice", &[RIGHT, "auth", "account"]);
    assert_eq!(said.codes, [SUCCESS; 2], "{said:?}\n{}", host.log().join("\n"));
    assert!(!said.has("offline"), "{said:?}");
}

/// It has found the user, and then stands still.
#[test]
fn a_login_that_waits_for_its_bind_when_the_server_freezes_is_let_in() {
    let mut host = slow(builder(people()), 60);
    let before = host.directory().searches();
    let socket = host.path(common::paths::SOCKET);
    let (answer, took) = thread::scope(|scope| {
        let login = scope.spawn(|| log_in_at(&socket, "alice", PASSWORD));
        until(PATIENCE, || (host.directory().searches() > before).then_some(())).expect("a search");
        host.directory().freeze();
        login.join().expect("it ends")
    });
    host.directory().thaw();
    assert!(is_in(&answer) && took < LOGIN + SLACK, "{answer:?}, {took:?}");
}

#[test]
fn a_server_that_is_too_slow_lets_nobody_in_offline() {
    let host = slow(builder(people()).configuration("[timeouts]\nlogin = 4\n"), 20);
    let codes = probe(&host, "alice", &[RIGHT, "auth"]).codes;
    assert_eq!(codes, [AUTHINFO_UNAVAIL], "{}", host.log().join("\n"));
}

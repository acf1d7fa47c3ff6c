//! Nobody waits for a server that is slow or gone: not for what is known, not twice
//! for what isn't, and not a moment longer than the trouble lasts.
//!
//! What takes longer than [`AT_ONCE`] has waited for a server. It is far more
//! than anything takes that doesn't, so that a busy machine fails no test.

#[macro_use]
mod modes;
mod probe;
mod trouble;

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::deadline::{LOGIN, LOOKUP};
use harness::{BASE, Directory, Host, HostBuilder, PATIENCE, User, until};
use modes::Mode;
use probe::{Pace, UNAVAILABLE, ask_until_kept, install, people, probe};
use trouble::{in_all_troubles, is_in, log_in, log_in_at};

const ALICE: &str = "alice:10001:20001:alice:/home/alice:/bin/sh";
const PASSWORD: &str = "correct horse";
/// What needs no server.
const AT_ONCE: Duration = Duration::from_millis(250);
/// What a busy machine may add to a limit.
const SLACK: Duration = Duration::from_secs(1);
/// How long a daemon has somebody at most wait for a directory who isn't to wait for it: as long as it
/// usually takes, several times over, and on a busy machine that is a second.
const A_MOMENT: Duration = Duration::from_secs(1);
/// How long a trouble is looked at, in seconds: longer than a lookup may take.
const WHILE: u64 = 7;

fn with_people(builder: HostBuilder) -> HostBuilder {
    builder
        .directory(people().people(guests()))
        .local_user("lou", 2001, "")
        .local_user("lea", 2002, "")
}

/// People with passwords.
fn guests() -> impl Iterator<Item = User> {
    (0..200).map(|n| User::new(&format!("guest{n}")).uid(30_000 + n).password(PASSWORD))
}

/// A host on which Alice and Lou were looked up, and guest0 has logged in.
fn host(mode: Mode) -> Host {
    let host = install(mode.start(with_people(Host::new())));
    ask_until_kept(&host, 3, || {
        assert_eq!(probe(&host, ["user alice", "groups alice"]), [ALICE, "1 20001 20002"]);
        assert_eq!(probe(&host, ["groups lou"]), ["1"]);
    });
    assert!(is_in(&log_in(&host, "guest0", PASSWORD).0));
    host
}

/// How long the first one may wait who asks for somebody who isn't known: a replica is
/// asked by nobody, and on demand somebody has to find out.
fn first_limit(mode: Mode) -> Duration {
    if mode == Mode::Replica { AT_ONCE } else { LOOKUP + SLACK }
}

/// Waits until a login is answered at once: the outage is known then. How long
/// the slowest one took.
#[track_caller]
fn await_outage(host: &Host) -> Duration {
    let mut longest = Duration::ZERO;
    until(PATIENCE, || {
        let (answer, took) = log_in(host, "guest1", PASSWORD);
        assert!(!is_in(&answer), "a server that is gone has let somebody in");
        longest = longest.max(took);
        (took < AT_ONCE).then_some(longest)
    })
    .expect("an outage is known some time")
}

/// The groups of a user of the host itself: none of the directory's.
#[track_caller]
fn assert_groups_are_not_delayed(mode: Mode, name: &str) {
    in_all_troubles(|trouble| {
        let mut host = host(mode);
        trouble.begin(&mut host);
        let pace = Pace::of(&host, WHILE, &format!("groups {name}"));
        assert_eq!(pace.answers, ["1"]);
        assert!(pace.longest < A_MOMENT + SLACK, "{trouble:?}: {pace:?}");
        assert!(pace.median < AT_ONCE, "{trouble:?}: {pace:?}");
    });
}

modes! { caching:
    fn a_known_user_is_found_at_warm_speed_in_trouble(mode: Mode) {
        in_all_troubles(|trouble| {
            let mut host = host(mode);
            let before = Pace::of(&host, 1, "user alice");
            trouble.begin(&mut host);
            let during = Pace::of(&host, WHILE, "user alice");
            assert_eq!(during.answers, [ALICE]);
            assert!(during.longest < AT_ONCE, "{trouble:?}: {during:?}, before {before:?}");
            let usual = before.median * 10 + Duration::from_millis(1);
            assert!(during.median < usual, "{trouble:?}: {during:?}, before {before:?}");
        });
    }

    /// In a replica not even the first one waits.
    fn an_unknown_user_costs_no_more_than_one_deadline_in_trouble(mode: Mode) {
        in_all_troubles(|trouble| {
            let mut host = host(mode);
            trouble.begin(&mut host);
            let pace = Pace::of(&host, WHILE, "user nobody-%");
            let possible = |answer: &String| {
                // A replica that was complete a moment ago knows who isn't there.
                answer == UNAVAILABLE || mode == Mode::Replica && answer == "none"
            };
            assert!(pace.answers.iter().all(possible), "{trouble:?}: {pace:?}");
            assert!(pace.longest < first_limit(mode), "{trouble:?}: {pace:?}");
            assert!(pace.second < AT_ONCE, "{trouble:?}: {pace:?}");
        });
    }

    /// Lea, who was never asked about.
    fn the_groups_of_a_local_user_are_not_delayed_in_trouble(mode: Mode) {
        assert_groups_are_not_delayed(mode, "lea");
    }

    /// Lou, who was asked about before; that answer is over soon.
    fn the_groups_of_a_local_user_who_was_asked_about_are_not_delayed_in_trouble(mode: Mode) {
        assert_groups_are_not_delayed(mode, "lou");
    }

    fn a_login_in_trouble_is_decided_within_a_deadline_and_then_at_once(mode: Mode) {
        in_all_troubles(|trouble| {
            let mut host = host(mode);
            trouble.begin(&mut host);
            let longest = await_outage(&host);
            assert!(longest < LOGIN + SLACK, "{trouble:?}: {longest:?}");
            for _ in 0..20 {
                let (answer, took) = log_in(&host, "guest1", PASSWORD);
                assert!(!is_in(&answer) && took < AT_ONCE, "{trouble:?}: {answer:?}, {took:?}");
            }
        });
    }

    /// However long it was away: long enough for whoever tries again less and less often.
    fn the_next_login_after_trouble_is_online(mode: Mode) {
        const BACK: Duration = Duration::from_secs(2);
        in_all_troubles(|trouble| {
            let mut host = host(mode);
            trouble.begin(&mut host);
            await_outage(&host);
            let calm = Instant::now() + Duration::from_secs(10);
            while Instant::now() < calm {
                let (answer, took) = log_in(&host, "guest1", PASSWORD);
                assert!(!is_in(&answer) && took < AT_ONCE, "{trouble:?}: {answer:?}, {took:?}");
                thread::sleep(Duration::from_millis(100));
            }
            trouble.end(&mut host);
            let start = Instant::now();
            until(PATIENCE, || is_in(&log_in(&host, "guest1", PASSWORD).0).then_some(()))
                .expect("the server is there");
            let took = start.elapsed();
            assert!(took < BACK, "{trouble:?}: {took:?}\n{}", host.log().join("\n"));
        });
    }
}

/// An answer takes half a second, longer than is usual; that somebody is in no group counts for one.
#[test]
fn who_was_just_put_into_a_group_is_in_it_over_a_slow_line() {
    let people = people().people(guests()).group("new", 20_003, std::iter::empty());
    let mut host = install(
        Host::new()
            .directory(people)
            .relay("127.0.0.9")
            .uri("\"ldap://127.0.0.9\"")
            .cache("mode = \"on-demand\"\nnegative_lifetime = 1\npush = false\nrefresh = 3600\n")
            .start(),
    );
    assert_eq!(probe(&host, ["groups guest0"]), ["1"]);
    host.relay().delay(Duration::from_millis(250));
    let group = format!("cn=new,ou=groups,{BASE}");
    host.directory().replace(&group, "memberUid", &["guest0"]);
    thread::sleep(Duration::from_secs(2));
    assert_eq!(probe(&host, ["groups guest0"]), ["1 20003"]);
}

/// The first login finds out, in a second or so; then the second server is the
/// one, until the first one is back.
#[test]
fn a_second_server_takes_over_and_the_first_one_comes_back() {
    in_all_troubles(|trouble| {
        let second = Directory::new().listen("127.0.0.2").syncprov();
        let mut host = Host::new()
            .directory(people().people(guests()).syncprov())
            .replica(second)
            .cache("mode = \"replica\"\nrefresh = 1\n")
            .start();
        host.daemon().wait_until_complete();
        assert!(is_in(&log_in(&host, "guest0", PASSWORD).0));
        trouble.begin(&mut host);
        let (answer, took) = log_in(&host, "guest1", PASSWORD);
        assert!(is_in(&answer), "{trouble:?}: {answer:?}");
        assert!(took < Duration::from_secs(1) + SLACK, "{trouble:?}: {took:?}");
        for guest in 2..20 {
            let (answer, took) = log_in(&host, &format!("guest{guest}"), PASSWORD);
            assert!(is_in(&answer), "{trouble:?}: {answer:?}");
            assert!(took < Duration::from_secs(1), "{trouble:?}: {took:?}");
        }
        trouble.end(&mut host);
        let before = host.directory().counts().binds;
        until(PATIENCE, || {
            assert!(is_in(&log_in(&host, "guest0", PASSWORD).0));
            (host.directory().counts().binds > before + 5).then_some(())
        })
        .unwrap_or_else(|| panic!("{trouble:?}: logins stay away from the first server"));
    });
}

/// The binds of 200 people take two seconds each: nobody is told that there are too many.
#[test]
fn two_hundred_logins_at_once_are_served_by_a_slow_server() {
    let host = with_people(Host::new())
        .reading_relay("127.0.0.9")
        .uri("[\"ldap://127.0.0.9\"]")
        .cache("mode = \"replica\"\nrefresh = 1\n");
    let mut host = install(host.start());
    host.daemon().wait_until_complete();
    assert!(is_in(&log_in(&host, "guest0", PASSWORD).0));
    host.relay().delay_binds(Duration::from_secs(2));
    let socket = host.path(common::paths::SOCKET);
    let (logins, pace) = thread::scope(|scope| {
        let identities = scope.spawn(|| Pace::of(&host, 10, "user alice"));
        let logins: Vec<_> = (0..200)
            .map(|n| {
                let (socket, name) = (&socket, format!("guest{n}"));
                scope.spawn(move || log_in_at(socket, &name, PASSWORD))
            })
            .collect();
        let logins: Vec<_> =
            logins.into_iter().map(|login| login.join().expect("it ends")).collect();
        (logins, identities.join().expect("it ends"))
    });
    let refused: Vec<_> = logins
        .iter()
        .filter(|(answer, _)| {
            !matches!(answer,
        common::protocol::Response::Login(answer)
            if answer.verdict == common::protocol::Verdict::Accepted)
        })
        .collect();
    assert!(
        refused.is_empty(),
        "{} of 200 are not in, with at most {} binds at once; the first one: {:?}",
        refused.len(),
        host.relay().most_binds_at_once(),
        refused.first()
    );
    assert_eq!(pace.answers, [ALICE]);
    assert!(pace.longest < AT_ONCE, "{pace:?}");
}

modes! { caching:
    /// Nobody who is known becomes unknown, and nobody who is right is told to be wrong.
    fn a_killed_daemon_fails_no_lookup_and_refuses_no_password(mode: Mode) {
        let mut host = host(mode);
        let stop = AtomicBool::new(false);
        let socket = host.path(common::paths::SOCKET);
        let (paces, logins) = thread::scope(|scope| {
            let lookups = ["user alice", "uid 10001", "groups alice", "group editors"].map(|lookup| {
                let command = host.command(["/usr/bin/probe", &format!("pace 5 {lookup}")]);
                scope.spawn(move || {
                    let mut command = command;
                    let output = command.output().expect("nsenter can be started");
                    String::from_utf8_lossy(&output.stdout).into_owned()
                })
            });
            let logins: Vec<_> = (0..50)
                .map(|n| {
                    let (socket, stop) = (&socket, &stop);
                    scope.spawn(move || {
                        let (mut asked, mut accepted) = (0, 0);
                        while !stop.load(Ordering::Relaxed) {
                            let answer = log_in_at(socket, &format!("guest{n}"), PASSWORD).0;
                            asked += 1;
                            accepted += usize::from(is_in(&answer));
                            thread::sleep(Duration::from_millis(100));
                        }
                        (asked, accepted)
                    })
                })
                .collect();
            for _ in 0..3 {
                thread::sleep(Duration::from_millis(700));
                host.daemon().kill();
                thread::sleep(Duration::from_millis(300));
                host.daemon().start();
            }
            let paces = lookups.map(|lookup| lookup.join().expect("it ends"));
            stop.store(true, Ordering::Relaxed);
            let logins: Vec<_> = logins.into_iter().map(thread::ScopedJoinHandle::join).collect();
            (paces, logins)
        });
        let answers = paces.map(|line| line.trim_end().rsplit(' ').next().map(str::to_owned));
        let right = [ALICE, ALICE, "20002", "editors:20002:alice"].map(|line| Some(line.to_owned()));
        assert_eq!(answers, right);
        for login in logins {
            let (asked, accepted) = login.expect("no login is refused");
            assert!(asked > 1 && accepted > 0, "{accepted} of {asked}");
        }
    }
}

/// What it knew is doubted after its start. The first one who asks finds the trouble out, for all
/// who ask at the same time, and for those who ask later.
#[test]
fn who_was_known_before_a_restart_in_trouble_is_waited_for_once() {
    const KNOWN: [(&str, &str); 4] = [
        ("user alice", ALICE),
        ("uid 10001", ALICE),
        ("group crew", "crew:20001:alice,bob"),
        ("groups alice", "1 20001 20002"),
    ];
    in_all_troubles(|trouble| {
        let mut host = host(Mode::OnDemand);
        let (questions, answers): (Vec<_>, Vec<_>) = KNOWN.into_iter().unzip();
        // Two of them are kept since the host was started, and lou's groups.
        ask_until_kept(&host, KNOWN.len() + 1, || {
            assert_eq!(probe(&host, std::array::from_fn::<_, 4, _>(|n| questions[n])), answers);
        });
        trouble.begin(&mut host);
        host.daemon().stop();
        let lines = host.log().len();
        host.daemon().start();
        // Until then the table of the daemon before answers.
        host.wait_for_log_from(lines, "knows is there in case of an outage", PATIENCE);
        let start = Instant::now();
        thread::scope(|scope| {
            for (question, answer) in KNOWN {
                let host = &host;
                scope.spawn(move || {
                    assert_eq!(probe(host, [question]), [answer]);
                });
            }
        });
        let took = start.elapsed();
        assert!(took < LOOKUP + SLACK, "{trouble:?}: {took:?}");
        for (question, answer) in KNOWN {
            let pace = Pace::of(&host, 1, question);
            assert_eq!(pace.answers, [answer]);
            assert!(pace.longest < AT_ONCE, "{trouble:?}: {question}: {pace:?}");
        }
    });
}

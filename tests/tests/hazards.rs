//! What programs do to the libraries that are loaded into them.

mod probe;

use harness::{Directory, Host, User};
use probe::{CROWD, Running, WAYS, Way, ask, crowd, host, people, probe};

const ALICE: &str = "alice:10001:20001:alice:/home/alice:/bin/sh";
const BOB: &str = "bob:10002:20001:bob:/home/bob:/bin/sh";

/// A test for each way to be answered.
macro_rules! both_ways {
    ($($(#[$attribute:meta])* fn $name:ident($way:ident: Way) $body:block)+) => {$(
        mod $name {
            #[allow(unused_imports, reason = "each test uses a part of them")]
            use super::*;

            $(#[$attribute])*
            fn claim($way: Way) $body

            #[test]
            fn with_the_daemon() {
                claim(Way::Daemon);
            }

            #[test]
            fn with_direct_so() {
                claim(Way::Direct);
            }
        }
    )+};
}

fn people_host(way: Way) -> Host {
    host(way, Host::new().directory(people()))
}

/// The lines of one side of a fork.
fn side<'a>(lines: &'a [String], side: &str) -> Vec<&'a str> {
    lines.iter().filter_map(|line| line.strip_prefix(side)).collect()
}

both_ways! {
    fn both_sides_of_a_fork_get_right_answers(way: Way) {
        let host = people_host(way);
        let lines = probe(
            &host,
            ["user alice", "fork", "user bob", "uid 10001", "group crew", "groups alice",
             "user nobody-here"],
        );
        assert_eq!(lines[0], ALICE);
        let right = [BOB, ALICE, "crew:20001:alice,bob", "1 20001 20002", "none"];
        assert_eq!(side(&lines, "child: "), right);
        assert_eq!(side(&lines, "parent: ")[..right.len()], right);
        assert_eq!(lines.last().unwrap(), "parent: the child ended with 0");
    }

    /// The entries at hand are on both sides; those that are still to come are
    /// handed out once, to the side that asks first.
    fn an_enumeration_across_a_fork_is_complete_or_says_that_it_is_not(way: Way) {
        let many = (0..1500).map(|n| User::new(&format!("u{n}")).uid(11_000 + n));
        let host = host(way, Host::new().directory(Directory::new().people(many)));
        let whole = probe(&host, ["rest"]).remove(0);
        let whole: Vec<_> = whole.split(' ').collect();
        let before = whole.iter().position(|name| *name == "u0").expect("it is in it") + 5;
        let rest = whole[before..].join(" ");
        let names = rest.strip_suffix(" end 2").expect("it came to its end");

        let lines = probe(&host, ["begin", &format!("take {before}"), "fork", "rest"]);
        let sides = [side(&lines, "child: ")[0], side(&lines, "parent: ")[0]];
        for side in sides {
            let broken_off = side.strip_suffix(" end 11");
            assert!(side == rest || broken_off.is_some_and(|got| names.starts_with(got)), "{side}");
        }
        assert!(sides.contains(&rest.as_str()), "{sides:?}");
    }

    /// PADL CVE-2007-5794: racing threads got each other's entries.
    fn each_of_many_threads_gets_its_own_user(way: Way) {
        let host = host(way, Host::new().directory(crowd()));
        assert_eq!(probe(&host, [&format!("lookup-threads {CROWD}")]), ["right"]);
    }

    fn threads_that_enumerate_do_not_disturb_each_other(way: Way) {
        let host = host(way, Host::new().directory(crowd()));
        assert_eq!(probe(&host, ["enumeration-threads 4"]), ["right"]);
    }

    fn a_program_that_closes_all_descriptors_is_answered(way: Way) {
        let host = people_host(way);
        let commands = ["user alice", "closefrom 3", "user bob", "closefrom 3", "user alice"];
        assert_eq!(probe(&host, commands), [ALICE, BOB, ALICE]);
    }

    fn a_program_without_standard_descriptors_is_answered(way: Way) {
        let host = people_host(way);
        probe(&host, ["user alice", "output /tmp/output", "closefrom 0", "user bob"]);
        assert_eq!(std::fs::read_to_string(host.path("/tmp/output")).unwrap(), format!("{BOB}\n"));
    }

    /// The directory goes and comes back while the files have the numbers that
    /// sockets would have had, so that a good-bye would be written as well.
    fn a_program_that_uses_descriptors_again_keeps_its_files(way: Way) {
        let mut host = people_host(way);
        let mut probe = Running::start(&host);
        assert_eq!(probe.ask("user alice"), ALICE);
        probe.tell("closefrom 3");
        probe.tell("reuse /tmp/files");
        assert_eq!(probe.ask("user bob"), BOB);
        probe.tell("write");
        host.directory().stop();
        assert_eq!(probe.ask("user bob"), probe::UNAVAILABLE);
        host.directory().start();
        harness::until(harness::PATIENCE, || (probe.ask("user alice") == ALICE).then_some(()))
            .expect("the directory is asked again");
        probe.tell("write");
        assert_eq!(probe.ask("check"), "intact");
        probe.end();
    }

    /// nslcd CVE-2013-0288: `select(2)` with a descriptor above 1023.
    fn a_program_with_5000_descriptors_is_answered(way: Way) {
        let host = people_host(way);
        let commands = ["descriptors 5000", "user alice", "group crew"];
        assert_eq!(probe(&host, commands), [ALICE, "crew:20001:alice,bob"]);
    }

    fn a_big_group_costs_one_search_whatever_the_buffer(way: Way) {
        let names: Vec<_> = (0..2000).map(|n| format!("member-number-{n}")).collect();
        let big = people().group("big", 20_009, names.iter().map(String::as_str));
        let mut host = host(way, Host::new().directory(big));
        let mut probe = Running::start(&host);
        probe.ask("user alice");
        let before = host.directory().searches();
        assert_eq!(probe.ask("group big").split(',').count(), 2000);
        assert_eq!(host.directory().searches() - before, 1);
        probe.end();
    }

    fn a_directory_that_was_killed_and_came_back_is_asked_again(way: Way) {
        let mut host = people_host(way);
        let mut probe = Running::start(&host);
        assert_eq!(probe.ask("user alice"), ALICE);
        host.directory().kill();
        for command in ["user bob", "uid 10002", "group crew", "user nobody-here"] {
            assert_eq!(probe.ask(command), probe::UNAVAILABLE);
        }
        host.directory().start();
        harness::until(harness::PATIENCE, || (probe.ask("user bob") == BOB).then_some(()))
            .expect("the directory is asked again");
        assert_eq!(probe.ask("user nobody-here"), "none");
        probe.end();
    }

    /// Only the first lookup waits for a server that says nothing.
    fn a_frozen_directory_costs_one_deadline_and_no_more(way: Way) {
        let mut host = people_host(way);
        let mut probe = Running::start(&host);
        assert_eq!(probe.ask("user alice"), ALICE);
        host.directory().freeze();
        assert_eq!(probe.ask("user bob"), probe::UNAVAILABLE);
        let start = std::time::Instant::now();
        for _ in 0..10 {
            assert_eq!(probe.ask("user bob"), probe::UNAVAILABLE);
        }
        // Ten deadlines would be 50 s.
        assert!(start.elapsed() < probe::IN_TIME, "{:?}", start.elapsed());
        host.directory().thaw();
        harness::until(harness::PATIENCE, || (probe.ask("user bob") == BOB).then_some(()))
            .expect("the directory is asked again");
        probe.end();
    }

    fn an_enumeration_that_breaks_off_is_not_at_its_end(way: Way) {
        let mut host = people_host(way);
        let mut probe = Running::start(&host);
        let whole = probe.ask("rest");
        assert!(whole.ends_with(" end 2"), "{whole}");
        host.directory().kill();
        probe.tell("begin");
        let broken = probe.ask("rest");
        assert!(broken.ends_with(" end 11"), "{broken}");
        probe.end();
    }
}

#[test]
fn a_killed_daemon_is_an_outage_until_it_is_back() {
    let mut host = people_host(Way::Daemon);
    let mut probe = Running::start(&host);
    assert_eq!(probe.ask("user alice"), ALICE);
    host.daemon().kill();
    assert_eq!(probe.ask("user alice"), probe::UNAVAILABLE);
    assert_eq!(probe.ask("user nobody-here"), probe::UNAVAILABLE);
    host.daemon().start();
    assert_eq!(probe.ask("user alice"), ALICE);
    assert_eq!(probe.ask("user nobody-here"), "none");
    probe.end();
}

#[test]
fn a_frozen_daemon_is_an_outage_within_the_deadline() {
    let mut host = people_host(Way::Daemon);
    let mut probe = Running::start(&host);
    assert_eq!(probe.ask("user alice"), ALICE);
    host.daemon().freeze();
    assert_eq!(probe.ask("user alice"), probe::UNAVAILABLE);
    host.daemon().thaw();
    assert_eq!(probe.ask("user alice"), ALICE);
    probe.end();
}

#[test]
fn the_answers_of_both_ways_are_the_same() {
    let commands = ["user alice", "uid 10002", "group crew", "gid 20002", "groups bob", "user x"];
    let [daemon, direct] = WAYS.map(|way| commands.map(|command| ask(&people_host(way), command)));
    assert_eq!(daemon, direct);
}

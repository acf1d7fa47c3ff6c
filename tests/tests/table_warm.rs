//! What costs nothing: a repeated lookup reaches neither kernel, daemon nor directory.

#[macro_use]
mod modes;
mod probe;

use std::fmt::Write as _;

use harness::{Directory, Host, User};
use modes::Mode;
use probe::{Running, ask_until_kept, install, people, probe};

/// All lookups are ours: no system calls of other sources in between.
const ONLY_US: &str = "passwd: ldap\ngroup: ldap\n";
/// In so many milliseconds a process may look once at the file's length
/// (`common/src/table/clock.rs`).
const MOMENT_MS: u64 = 16;

modes! { caching:
    fn a_warm_lookup_makes_no_system_call(mode: Mode) {
        let lookups = ["user alice", "uid 10001", "group crew", "gid 20001", "groups alice"];
        let host = install(mode.start_lazy(Host::new().directory(people())));
        host.write("/etc/nsswitch.conf", ONLY_US);
        ask_until_kept(&host, lookups.len(), || drop(probe(&host, lookups)));
        for lookup in lookups {
            let log = format!("/tmp/{}", lookup.replace(' ', "-"));
            let output = host.run(
                ["strace", "-o", &log, "/usr/bin/probe", lookup, &format!("warm {lookup}")],
            );
            let said = output.success();
            let (_, said) = said.trim_end().rsplit_once('\n').expect("two lines");
            let took = said.strip_prefix("true ").expect("the same answer each time");
            let log = host.run(["cat", &log]).success();
            let within = log.lines().skip_while(|line| !line.contains("/signpost/begin"));
            let within = within.skip(1).take_while(|line| !line.contains("/signpost/end"));
            // glibc looks whether nsswitch.conf or the root has changed, each time, and for
            // nscd each hundredth time.
            let glibc = |line: &&str| {
                line.contains("\"/etc/nsswitch.conf\"") || line.contains("(AT_FDCWD, \"/\"")
                    || line.contains("nscd") || line.starts_with("socket(AF_UNIX, SOCK_STREAM|SOCK_CLOEXEC|SOCK_NONBLOCK")
                    || line.starts_with("close(") || line.starts_with("brk(")
            };
            let ours: Vec<_> = within.filter(|line| !glibc(line)).collect();
            // Once in a moment: whether nobody else exchanges the file, and the file itself.
            let is_look = |line: &&str| {
                line.starts_with("getpid()") || line.contains("stat") && line.contains("rollcall/table")
            };
            let (looks, others): (Vec<_>, Vec<_>) = ours.into_iter().partition(is_look);
            assert!(others.is_empty(), "{lookup}: {} as {:?}", others.len(), others.first());
            let moments = took.parse::<u64>().expect("a number") / MOMENT_MS + 2;
            assert!(looks.len() as u64 <= 2 * moments, "{lookup}: {} in {took} ms", looks.len());
        }
    }

    fn warm_lookups_reach_neither_daemon_nor_directory(mode: Mode) {
        let mut host = install(mode.start_lazy(Host::new().directory(people())));
        let mut probe = Running::start(&host);
        let lookups = ["user alice", "uid 10001", "group crew", "gid 20001", "groups alice"];
        let first = lookups.map(|lookup| probe.ask(lookup));
        // An answer is in the table a moment after it was given.
        let before = harness::until(harness::PATIENCE, || {
            let before = host.directory().counts();
            assert_eq!(lookups.map(|lookup| probe.ask(lookup)), first);
            harness::until(harness::PATIENCE, || Some(host.directory().counts()))
                .filter(|after| *after == before)
        })
        .expect("they are all in the table");
        host.daemon().freeze();
        for _ in 0..20 {
            assert_eq!(lookups.map(|lookup| probe.ask(lookup)), first);
        }
        host.daemon().thaw();
        assert_eq!(host.directory().counts(), before);
        probe.end();
    }

    fn a_thousand_lookups_by_a_hundred_processes_cost_a_thousand_searches_at_most(mode: Mode) {
        let crowd = (0..1000).map(|n| User::new(&format!("u{n}")).uid(11_000 + n));
        let mut host = install(mode.start_lazy(Host::new().directory(Directory::new().people(crowd))));
        // Connections are there.
        assert!(probe::ask(&host, "user u999").starts_with("u999:"));
        let before = host.directory().counts();
        let mut script = String::new();
        for process in 0..100 {
            script += "/usr/bin/probe";
            for n in 0..10 {
                let _ = write!(script, " 'user u{}'", process * 10 + n);
            }
            script += " &\n";
        }
        let said = host.run(["sh", "-c", &format!("{script} wait")]).success();
        assert_eq!(said.lines().filter(|line| line.starts_with('u')).count(), 1000);
        let cost = host.directory().counts() - before;
        let allowed = if mode == Mode::Replica { 0 } else { 1000 };
        assert!(cost.searches <= allowed, "{cost:?}");
        // Another connection is opened from 32 searches under way on each one on.
        assert!(cost.connections <= 3, "{cost:?}");
        // And another time they cost nothing.
        let again = || drop(host.run(["sh", "-c", &format!("{script} wait")]).success());
        ask_until_kept(&host, 1000, again);
        let before = host.directory().counts();
        host.run(["sh", "-c", &format!("{script} wait")]).success();
        assert_eq!(host.directory().counts(), before);
    }
}

#[test]
fn a_name_that_does_not_exist_costs_a_replica_nothing() {
    let mut host = install(Mode::Replica.start_lazy(Host::new().directory(people())));
    let before = host.directory().counts();
    let mut probe = Running::start(&host);
    for question in ["user nobody-here", "uid 19999", "group nothing-here", "gid 29999"] {
        assert_eq!(probe.ask(question), "none");
    }
    assert_eq!(probe.ask("groups nobody-here"), "1");
    host.run(["getent", "passwd"]).success();
    host.run(["getent", "group"]).success();
    assert_eq!(host.directory().counts(), before);
    probe.end();
}

#[test]
fn a_name_that_does_not_exist_is_searched_once_on_demand() {
    let mut host = install(Mode::OnDemand.start_lazy(Host::new().directory(people())));
    let mut probe = Running::start(&host);
    probe.ask("user alice");
    let before = host.directory().searches();
    for _ in 0..5 {
        assert_eq!(probe.ask("user nobody-here"), "none");
    }
    assert_eq!(host.directory().searches() - before, 1);
    probe.end();
}

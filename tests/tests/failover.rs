//! Servers that are found through the DNS, and servers far away.

mod probe;
mod trouble;

use std::time::Duration;

use harness::{Directory, DirectoryBuilder, Host, HostBuilder, Names, PATIENCE, User, until};
use probe::{Running, install, people};
use trouble::{is_in, log_in};

const ALICE: &str = "alice:10001:20001:alice:/home/alice:/bin/sh";
const PASSWORD: &str = "correct horse";
const FIRST: &str = "one.example.org";
const SECOND: &str = "two.example.org";

/// A server whose certificate has one name and no address.
fn server(name: &str) -> DirectoryBuilder {
    people()
        .user(User::new("carol").uid(10_003).password(PASSWORD))
        .syncprov()
        .certificate_for(name)
}

fn addresses() -> Names {
    Names::new().address(FIRST, "127.0.0.1").address(SECOND, "127.0.0.2")
}

/// Two servers, the second of which follows the first, and a domain's records.
fn host(names: &Names) -> HostBuilder {
    Host::new()
        .directory(server(FIRST))
        .replica(Directory::new().listen("127.0.0.2").syncprov().certificate_for(SECOND))
        .uri("\"srv:example.org\"")
        .names(names.clone())
}

/// Which server binds for the next logins: everybody's are counted.
fn who_binds(host: &mut Host) -> [usize; 2] {
    let count = |host: &mut Host| {
        let [first, second] = host.directories() else { panic!("there are two") };
        [first.counts().binds, second.counts().binds]
    };
    let before = count(host);
    assert!(is_in(&log_in(host, "carol", PASSWORD).0), "{}", host.log().join("\n"));
    let after = count(host);
    [after[0] - before[0], after[1] - before[1]]
}

#[test]
fn the_server_with_the_lowest_priority_is_the_one() {
    let names = addresses().server("example.org", FIRST, 389, 20, 0).server(
        "example.org",
        SECOND,
        389,
        10,
        0,
    );
    let mut host = install(host(&names).start());
    let mut probe = Running::start(&host);
    assert_eq!(probe.ask("user alice"), ALICE);
    let [first, second] = who_binds(&mut host);
    assert!(first == 0 && second > 0, "{first}, {second}");
    host.directories()[1].kill();
    assert!(is_in(&log_in(&host, "carol", PASSWORD).0));
    assert_eq!(probe.ask("user alice"), ALICE);
    probe.end();
}

/// In another network there may be other servers; nobody waits for the records' end.
#[test]
fn another_network_has_the_dns_asked_again() {
    let names = addresses();
    let mut host = host(&names.clone().server("example.org", FIRST, 389, 20, 0)).start();
    let [first, second] = who_binds(&mut host);
    assert!(first > 0 && second == 0, "{first}, {second}");
    host.serve_names(&names.server("example.org", SECOND, 389, 10, 0));
    host.add_address("10.77.0.9");
    until(PATIENCE, || (who_binds(&mut host)[1] > 0).then_some(())).expect("the list is read anew");
}

/// The list that is known is used until there is another one.
#[test]
fn a_dns_server_that_is_gone_changes_nothing() {
    let names = addresses().server("example.org", FIRST, 389, 10, 0);
    let mut host = install(host(&names).start());
    let mut probe = Running::start(&host);
    assert_eq!(probe.ask("user alice"), ALICE);
    host.stop_names();
    let after = std::time::Instant::now() + Duration::from_secs(4);
    while std::time::Instant::now() < after {
        assert_eq!(probe.ask("user alice"), ALICE);
        assert!(is_in(&log_in(&host, "carol", PASSWORD).0));
    }
    probe.end();
}

/// Whoever can write a name into the DNS is no server for that.
#[test]
fn a_server_with_another_name_in_its_certificate_is_not_used() {
    let names = Names::new().address("three.example.org", "127.0.0.1").server(
        "example.org",
        "three.example.org",
        389,
        10,
        0,
    );
    let host = host(&names).start();
    let (answer, _) = log_in(&host, "carol", PASSWORD);
    assert!(!is_in(&answer), "{answer:?}");
}

#[test]
fn a_server_far_away_is_used_in_time() {
    let host = Host::new()
        .directory(people().user(User::new("carol").uid(10_003).password(PASSWORD)))
        .relay("127.0.0.9")
        .uri("[\"ldap://127.0.0.9\"]")
        .without_daemon();
    let mut host = install(host.start());
    // As if by satellite: a third of a second there and back.
    host.relay().delay(Duration::from_millis(300));
    host.daemon().start();
    let mut probe = Running::start(&host);
    assert_eq!(probe.ask("user alice"), ALICE);
    assert!(is_in(&log_in(&host, "carol", PASSWORD).0));
    assert_eq!(probe.ask("user nobody-here"), "none");
    probe.end();
}

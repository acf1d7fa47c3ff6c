//! A replica that is told of changes as they happen (RFC 4533). None of these hosts
//! polls: the next poll would be an hour later.

mod probe;
mod told;

use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use harness::{BASE, Directory, DirectoryBuilder, Host, PATIENCE, User, until};
use probe::{Running, UNAVAILABLE, install, people};
use told::{ALICE, ALICE_DN, TOLD, await_status, host, user_dn, users};

const CREW_DN: &str = "cn=crew,ou=groups,dc=example,dc=org";

/// How many entries a directory with `monitored()` has sent so far.
fn entries_sent(directory: &Directory) -> u64 {
    let counter = "cn=Entries,cn=Statistics,cn=Monitor";
    let output = Command::new("ldapsearch")
        .args(["-Q", "-Y", "EXTERNAL", "-LLL", "-H", &directory.ldapi_uri()])
        .args(["-s", "base", "-b", counter, "monitorCounter"])
        .output()
        .expect("ldapsearch can be started");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let number = text.lines().find_map(|line| line.strip_prefix("monitorCounter: "));
    number.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("{output:?}"))
}

fn monitored(people: DirectoryBuilder) -> DirectoryBuilder {
    people.server_configuration("moduleload back_monitor").configuration("database monitor")
}

fn users_change(people: DirectoryBuilder) {
    let mut host = host(people);
    let mut probe = Running::start(&host);
    let directory = host.directory();
    directory.add_user(&User::new("carl").uid(10_007).gid(20_001));
    probe.await_answer("user carl", "carl:10007:20001:carl:/home/carl:/bin/sh");
    directory.replace(ALICE_DN, "loginShell", &["/bin/zsh"]);
    probe.await_answer("uid 10001", &ALICE.replace("/bin/sh", "/bin/zsh"));
    directory.rename(ALICE_DN, "uid=ally");
    probe.await_answer("user alice", "none");
    assert!(probe.ask("user ally").starts_with("ally:10001:"));
    directory.delete(&format!("uid=ally,ou=people,{BASE}"));
    probe.await_answer("user ally", "none");
    assert_eq!(probe.ask("uid 10001"), "none");
    probe.end();
}

#[test]
fn a_new_a_changed_a_renamed_and_a_deleted_user_are_seen_without_a_poll() {
    users_change(people());
}

#[test]
fn with_389_directory_server_as_well() {
    users_change(people().ds389());
}

#[test]
fn a_removed_member_and_a_deleted_group_are_seen_without_a_poll() {
    let mut host = host(people());
    let mut probe = Running::start(&host);
    assert_eq!(probe.ask("groups alice"), "1 20001 20002");
    host.directory().remove_value(CREW_DN, "memberUid", "alice");
    probe.await_answer("groups alice", "1 20002");
    assert_eq!(probe.ask("group crew"), "crew:20001:bob");
    host.directory().delete(&format!("cn=editors,ou=groups,{BASE}"));
    probe.await_answer("groups alice", "1");
    assert_eq!(probe.ask("gid 20002"), "none");
    probe.end();
}

#[test]
fn of_a_burst_every_change_is_seen_and_the_last_state_is_right() {
    const COUNT: u32 = 1000;
    let mut host = host(users(COUNT));
    let mut probe = Running::start(&host);
    let mut changes = host.directory().changes();
    for round in 0..2 {
        for n in 0..COUNT {
            changes.replace(&user_dn(n), &[("loginShell", &[&format!("/bin/s{round}")])]);
        }
    }
    changes.finish();
    for n in (0..COUNT).rev() {
        let expected = format!("u{n}:{}:20000:u{n}:/home/u{n}:/bin/s1", 11_000 + n);
        let gid = probe.ask(&format!("user u{n}"));
        let gid = gid.split(':').nth(2).expect("an account");
        probe.await_answer(&format!("user u{n}"), &expected.replace("20000", gid));
    }
    probe.end();
}

#[test]
fn after_a_restart_only_the_changes_travel() {
    const COUNT: u32 = 1000;
    const CHANGED: u32 = 200;
    for killed in [true, false] {
        let mut host = host(monitored(users(COUNT)));
        host.wait_for_log(TOLD, PATIENCE);
        let file = host.path("/var/cache/rollcall/replica");
        until(PATIENCE, || file.exists().then_some(())).expect("it is written soon after loading");
        if killed {
            host.daemon().kill();
        } else {
            host.daemon().stop();
        }
        let mut changes = host.directory().changes();
        for n in 0..CHANGED {
            changes.replace(&user_dn(n), &[("loginShell", &["/bin/zsh"])]);
        }
        changes.finish();
        host.directory().delete(&user_dn(COUNT - 1));
        host.directory().add_user(&User::new("carl").uid(10_007).gid(20_001));
        let before = entries_sent(host.directory());
        let lines = host.log().len();
        host.daemon().start();
        host.wait_for_log_from(lines, TOLD, PATIENCE);
        host.daemon().wait_until_complete();
        let sent = entries_sent(host.directory()) - before;
        assert!((u64::from(CHANGED)..u64::from(CHANGED) + 30).contains(&sent), "{sent} entries");
        let mut probe = Running::start(&host);
        for n in 0..CHANGED {
            assert!(probe.ask(&format!("user u{n}")).ends_with(":/bin/zsh"), "u{n}");
        }
        assert!(probe.ask(&format!("user u{}", COUNT - 2)).ends_with(":/bin/sh"));
        assert_eq!(probe.ask(&format!("user u{}", COUNT - 1)), "none");
        assert!(probe.ask("user carl").starts_with("carl:10007:"));
        probe.end();
    }
}

#[test]
fn what_an_earlier_daemon_left_is_set_aside_if_it_is_damaged() {
    let mut host = host(people());
    let file = host.path("/var/cache/rollcall/replica");
    until(PATIENCE, || file.exists().then_some(())).expect("it is written soon after loading");
    host.daemon().stop();
    let mut bytes = std::fs::read(&file).expect("we are root");
    let place = bytes.len() - 20;
    bytes[place] ^= 1;
    std::fs::write(&file, bytes).expect("we are root");
    let lines = host.log().len();
    host.daemon().start();
    host.wait_for_log_from(lines, "replica is set aside: it is damaged", PATIENCE);
    host.daemon().wait_until_complete();
    let mut probe = Running::start(&host);
    assert_eq!(probe.ask("user alice"), ALICE);
    probe.end();
}

#[test]
fn a_server_that_was_built_anew_is_read_once_and_nobody_is_missing_meanwhile() {
    let mut host = host(users(300));
    let mut probe = Running::start(&host);
    let mut watcher = Running::start(&host);
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let watching = scope.spawn(|| {
            let mut lookups = 0_u32;
            while !stop.load(Ordering::Relaxed) {
                assert_eq!(watcher.ask("user alice"), ALICE);
                assert_eq!(watcher.ask("groups alice"), "1 20001 20002");
                lookups += 1;
            }
            lookups
        });
        // The last fifty are gone, and somebody has come.
        let people = users(250).user(User::new("carl").uid(10_007).gid(20_001));
        host.directory().wipe(people);
        probe.await_answer("user carl", "carl:10007:20001:carl:/home/carl:/bin/sh");
        probe.await_answer("user u299", "none");
        stop.store(true, Ordering::Relaxed);
        assert!(watching.join().expect("nobody was missing") > 0);
    });
    host.daemon().wait_until_complete();
    host.directory().replace(ALICE_DN, "loginShell", &["/bin/zsh"]);
    probe.await_answer("user alice", &ALICE.replace("/bin/sh", "/bin/zsh"));
    probe.end();
}

#[test]
fn a_server_that_tells_nothing_is_polled_and_the_status_says_why() {
    let people = people().without_syncprov();
    let builder = Host::new().directory(people).cache("mode = \"replica\"\nrefresh = 1\n");
    let mut host = install(builder.start());
    host.daemon().wait_until_complete();
    await_status(&host, "asked for every cache.refresh seconds (the server answers an error (12)");
    let mut probe = Running::start(&host);
    host.directory().replace(ALICE_DN, "loginShell", &["/bin/zsh"]);
    probe.await_answer("user alice", &ALICE.replace("/bin/sh", "/bin/zsh"));
    await_status(&host, "; the newest ");
    probe.end();
}

#[test]
fn without_push_in_the_configuration_the_server_is_polled() {
    let cache = "mode = \"replica\"\nrefresh = 1\npush = false\n";
    let mut host = install(Host::new().directory(people()).cache(cache).start());
    host.daemon().wait_until_complete();
    await_status(&host, "asked for every cache.refresh seconds (cache.push = false)");
    let mut probe = Running::start(&host);
    host.directory().delete(ALICE_DN);
    probe.await_answer("user alice", "none");
    probe.end();
}

#[test]
fn changes_flow_again_when_the_server_is_back() {
    let mut host = host(people());
    let mut probe = Running::start(&host);
    assert_eq!(probe.ask("user nobody-here"), "none");
    host.directory().stop();
    // As soon as nothing is told any more, nobody is said not to exist.
    probe.await_answer("user nobody-here", UNAVAILABLE);
    assert_eq!(probe.ask("user alice"), ALICE);
    host.directory().start();
    host.directory().replace(ALICE_DN, "loginShell", &["/bin/zsh"]);
    probe.await_answer("user alice", &ALICE.replace("/bin/sh", "/bin/zsh"));
    probe.await_answer("user nobody-here", "none");
    await_status(&host, "told by the server as they happen");
    host.directory().replace(ALICE_DN, "loginShell", &["/bin/fish"]);
    probe.await_answer("user alice", &ALICE.replace("/bin/sh", "/bin/fish"));
    probe.end();
}

#[test]
fn a_flush_reads_everything_and_changes_flow_on() {
    let mut host = host(people());
    host.run(["rollcall", "flush"]).success();
    let mut probe = Running::start(&host);
    assert_eq!(probe.ask("user alice"), ALICE);
    host.directory().delete(ALICE_DN);
    probe.await_answer("user alice", "none");
    await_status(&host, "told by the server as they happen; the newest ");
    probe.end();
}

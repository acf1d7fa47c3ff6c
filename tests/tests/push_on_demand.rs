//! What is kept on demand follows the directory as well. Nothing on these hosts expires
//! within a test.

mod probe;

use harness::{BASE, Host, PATIENCE, User, until};
use probe::{Running, install, people};

const TOLD: &str = "the server tells of changes to what is kept as they happen";
const ALICE: &str = "alice:10001:20001:alice:/home/alice:/bin/sh";
const ALICE_DN: &str = "uid=alice,ou=people,dc=example,dc=org";
const CREW_DN: &str = "cn=crew,ou=groups,dc=example,dc=org";

fn host(cache: &str) -> Host {
    let cache = format!("mode = \"on-demand\"\nlifetime = 3600\nnegative_lifetime = 3600\n{cache}");
    install(Host::new().directory(people()).cache(&cache).start())
}

fn host_that_is_told() -> Host {
    let host = host("refresh = 3600\n");
    host.wait_for_log(TOLD, PATIENCE);
    host
}

#[track_caller]
fn await_answer(probe: &mut Running, question: &str, expected: &str) {
    let mut answer = String::new();
    let seen = until(PATIENCE, || {
        answer = probe.ask(question);
        (answer == expected).then_some(())
    });
    assert!(seen.is_some(), "{question}: {answer} instead of {expected}");
}

/// Asks until the answer comes from the table, so that it is one that is kept.
#[track_caller]
fn keep(host: &mut Host, probe: &mut Running, question: &str, expected: &str) {
    let kept = until(PATIENCE, || {
        let before = host.directory().counts().searches;
        assert_eq!(probe.ask(question), expected, "{question}");
        (host.directory().counts().searches == before).then_some(())
    });
    assert!(kept.is_some(), "{question} is asked for again and again");
}

#[test]
fn a_kept_user_who_is_changed_renamed_or_deleted_is_seen_so_at_once() {
    let mut host = host_that_is_told();
    let mut probe = Running::start(&host);
    keep(&mut host, &mut probe, "user alice", ALICE);
    keep(&mut host, &mut probe, "uid 10001", ALICE);
    let directory = host.directory();
    directory.replace(ALICE_DN, "loginShell", &["/bin/zsh"]);
    let changed = ALICE.replace("/bin/sh", "/bin/zsh");
    await_answer(&mut probe, "user alice", &changed);
    assert_eq!(probe.ask("uid 10001"), changed);
    keep(&mut host, &mut probe, "uid 10001", &changed);
    let directory = host.directory();
    directory.rename(ALICE_DN, "uid=ally");
    await_answer(&mut probe, "user alice", "none");
    assert!(probe.ask("uid 10001").starts_with("ally:"));
    directory.delete(&format!("uid=ally,ou=people,{BASE}"));
    await_answer(&mut probe, "uid 10001", "none");
    assert_eq!(probe.ask("user ally"), "none");
    probe.end();
}

#[test]
fn a_user_who_did_not_exist_is_found_as_soon_as_there_is_one() {
    let mut host = host_that_is_told();
    let mut probe = Running::start(&host);
    keep(&mut host, &mut probe, "user carl", "none");
    keep(&mut host, &mut probe, "uid 10007", "none");
    host.directory().add_user(&User::new("carl").uid(10_007).gid(20_001));
    await_answer(&mut probe, "user carl", "carl:10007:20001:carl:/home/carl:/bin/sh");
    assert_eq!(probe.ask("uid 10007"), "carl:10007:20001:carl:/home/carl:/bin/sh");
    probe.end();
}

#[test]
fn a_removed_member_loses_a_kept_group_and_others_keep_what_is_kept() {
    let mut host = host_that_is_told();
    let mut probe = Running::start(&host);
    keep(&mut host, &mut probe, "groups alice", "1 20001 20002");
    let bobs = probe.ask("groups bob");
    keep(&mut host, &mut probe, "groups bob", &bobs);
    host.directory().remove_value(CREW_DN, "memberUid", "alice");
    await_answer(&mut probe, "groups alice", "1 20002");
    assert_eq!(probe.ask("group crew"), "crew:20001:bob");
    let before = host.directory().counts().searches;
    assert_eq!(probe.ask("groups bob"), bobs);
    assert_eq!(host.directory().counts().searches, before, "nothing about bob has changed");
    probe.end();
}

#[test]
fn a_server_that_tells_nothing_is_asked_what_was_modified() {
    let mut host = host("push = false\nrefresh = 1\n");
    let mut probe = Running::start(&host);
    keep(&mut host, &mut probe, "user alice", ALICE);
    let changed = ALICE.replace("/bin/sh", "/bin/zsh");
    host.directory().replace(ALICE_DN, "loginShell", &["/bin/zsh"]);
    await_answer(&mut probe, "user alice", &changed);
    probe.end();
}

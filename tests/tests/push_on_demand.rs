//! What is kept on demand follows the directory as well. Nothing on these hosts expires
//! within a test.

mod probe;

use std::time::{Duration, Instant};

use harness::{BASE, DirectoryBuilder, Host, PATIENCE, READER, User, until};
use probe::{Running, install, people};

const TOLD: &str = "the server tells of changes to what is kept as they happen";
const ALICE: &str = "alice:10001:20001:alice:/home/alice:/bin/sh";
const ALICE_DN: &str = "uid=alice,ou=people,dc=example,dc=org";
const CREW_DN: &str = "cn=crew,ou=groups,dc=example,dc=org";

fn host(cache: &str) -> Host {
    host_of(people(), cache)
}

fn host_of(people: DirectoryBuilder, cache: &str) -> Host {
    let cache = format!("mode = \"on-demand\"\nlifetime = 3600\nnegative_lifetime = 3600\n{cache}");
    install(Host::new().directory(people).cache(&cache).start())
}

fn host_that_is_told() -> Host {
    let host = host("refresh = 3600\n");
    host.wait_for_log(TOLD, PATIENCE);
    host
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
    probe.await_answer("user alice", &changed);
    assert_eq!(probe.ask("uid 10001"), changed);
    keep(&mut host, &mut probe, "uid 10001", &changed);
    let directory = host.directory();
    directory.rename(ALICE_DN, "uid=ally");
    probe.await_answer("user alice", "none");
    assert!(probe.ask("uid 10001").starts_with("ally:"));
    directory.delete(&format!("uid=ally,ou=people,{BASE}"));
    probe.await_answer("uid 10001", "none");
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
    probe.await_answer("user carl", "carl:10007:20001:carl:/home/carl:/bin/sh");
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
    probe.await_answer("groups alice", "1 20002");
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
    probe.await_answer("user alice", &changed);
    probe.end();
}

/// A server of two contexts doesn't say which one is meant. The maps have bases of their own.
#[test]
fn a_server_of_several_contexts_is_asked_what_was_modified() {
    let people = people()
        .server_configuration("moduleload back_null")
        .configuration("database null\nsuffix dc=elsewhere");
    let configuration = format!(
        "[directory]\nuri = \"ldap://127.0.0.1\"\n\
         ca_file = \"/etc/ssl/rollcall-test-ca.pem\"\nbind_dn = \"{}\"\n\
         bind_password_file = \"/etc/rollcall.secret\"\n\
         [directory.users]\nbase = \"ou=people,{BASE}\"\n\
         [directory.groups]\nbase = \"ou=groups,{BASE}\"\n\
         [cache]\nmode = \"on-demand\"\nlifetime = 3600\nrefresh = 1\n",
        READER.0
    );
    let host = Host::new().directory(people).whole_configuration(&configuration).start();
    let mut host = install(host);
    host.wait_for_log("doesn't say where its history stands", PATIENCE);
    let mut probe = Running::start(&host);
    keep(&mut host, &mut probe, "user alice", ALICE);
    host.directory().replace(ALICE_DN, "loginShell", &["/bin/zsh"]);
    probe.await_answer("user alice", &ALICE.replace("/bin/sh", "/bin/zsh"));
    probe.end();
}

/// Whether this is answered as before, and nobody asks the directory for it.
#[track_caller]
fn is_still_kept(host: &mut Host, probe: &mut Running, question: &str, expected: &str) {
    let before = host.directory().counts().searches;
    assert_eq!(probe.ask(question), expected, "{question}");
    assert_eq!(host.directory().counts().searches, before, "{question} is asked for again");
}

#[test]
fn a_deleted_user_is_gone_and_takes_nobody_else_along() {
    let mut host = host_that_is_told();
    let mut probe = Running::start(&host);
    keep(&mut host, &mut probe, "user alice", ALICE);
    keep(&mut host, &mut probe, "groups alice", "1 20001 20002");
    let bob = probe.ask("user bob");
    keep(&mut host, &mut probe, "user bob", &bob);
    keep(&mut host, &mut probe, "uid 10002", &bob);
    host.directory().delete(&format!("uid=bob,ou=people,{BASE}"));
    probe.await_answer("user bob", "none");
    probe.await_answer("uid 10002", "none");
    is_still_kept(&mut host, &mut probe, "user alice", ALICE);
    is_still_kept(&mut host, &mut probe, "groups alice", "1 20001 20002");
    probe.end();
}

#[test]
fn a_deleted_group_is_nobodys_any_more_and_takes_no_other_along() {
    let mut host = host_that_is_told();
    let mut probe = Running::start(&host);
    keep(&mut host, &mut probe, "groups alice", "1 20001 20002");
    keep(&mut host, &mut probe, "gid 20001", "crew:20001:alice,bob");
    let bobs = probe.ask("groups bob");
    keep(&mut host, &mut probe, "groups bob", &bobs);
    host.directory().delete(&format!("cn=editors,ou=groups,{BASE}"));
    probe.await_answer("groups alice", "1 20001");
    is_still_kept(&mut host, &mut probe, "groups bob", &bobs);
    is_still_kept(&mut host, &mut probe, "gid 20001", "crew:20001:alice,bob");
    probe.end();
}

#[test]
fn deletions_of_people_whom_nobody_asked_for_cost_nothing() {
    let people = people().people((0..50).map(|n| User::new(&format!("u{n}")).uid(11_000 + n)));
    let mut host = host_of(people, "refresh = 3600\n");
    host.wait_for_log(TOLD, PATIENCE);
    let mut probe = Running::start(&host);
    keep(&mut host, &mut probe, "user alice", ALICE);
    let bob = probe.ask("user bob");
    keep(&mut host, &mut probe, "user bob", &bob);
    let deletions: Vec<_> =
        (0..50).map(|n| format!("dn: uid=u{n},ou=people,{BASE}\nchangetype: delete\n")).collect();
    host.directory().ldapmodify(&deletions.join("\n"));
    // Told after the others.
    host.directory().delete(&format!("uid=bob,ou=people,{BASE}"));
    probe.await_answer("user bob", "none");
    is_still_kept(&mut host, &mut probe, "user alice", ALICE);
    probe.end();
}

#[test]
fn a_user_whose_name_and_id_change_at_once_is_gone_under_both() {
    let dana = format!(
        "dn: cn=Dana,ou=people,{BASE}\nobjectClass: account\nobjectClass: posixAccount\n\
         cn: Dana\nuid: dana\nuidNumber: 10009\ngidNumber: 20001\nhomeDirectory: /home/dana\n\
         loginShell: /bin/sh"
    );
    let mut host = host_of(people().ldif(&dana), "refresh = 3600\n");
    host.wait_for_log(TOLD, PATIENCE);
    let mut probe = Running::start(&host);
    let answer = "dana:10009:20001:Dana:/home/dana:/bin/sh";
    keep(&mut host, &mut probe, "user dana", answer);
    keep(&mut host, &mut probe, "uid 10009", answer);
    let mut changes = host.directory().changes();
    let new: [(&str, &[&str]); 2] = [("uid", &["diana"]), ("uidNumber", &["10010"])];
    changes.replace(&format!("cn=Dana,ou=people,{BASE}"), &new);
    changes.finish();
    probe.await_answer("user dana", "none");
    probe.await_answer("uid 10009", "none");
    assert!(probe.ask("user diana").starts_with("diana:10010:"));
    probe.end();
}

#[test]
fn a_deletion_is_heard_of_after_the_configuration_was_read_again() {
    let mut host = host_that_is_told();
    let mut probe = Running::start(&host);
    keep(&mut host, &mut probe, "user alice", ALICE);
    let lines = host.log().len();
    host.daemon().reload();
    host.wait_for_log_from(lines, TOLD, PATIENCE);
    keep(&mut host, &mut probe, "user alice", ALICE);
    host.directory().delete(ALICE_DN);
    probe.await_answer("user alice", "none");
    probe.end();
}

/// Until it hears of changes again, and from then on.
#[test]
fn what_changes_while_nothing_is_told_is_seen_when_it_is_told_again() {
    let mut host = host_that_is_told();
    let mut probe = Running::start(&host);
    keep(&mut host, &mut probe, "user alice", ALICE);
    host.directory().stop();
    assert_eq!(probe.ask("user alice"), ALICE, "it is kept");
    host.directory().start();
    host.directory().replace(ALICE_DN, "loginShell", &["/bin/zsh"]);
    probe.await_answer("user alice", &ALICE.replace("/bin/sh", "/bin/zsh"));
    host.directory().replace(ALICE_DN, "loginShell", &["/bin/fish"]);
    probe.await_answer("user alice", &ALICE.replace("/bin/sh", "/bin/fish"));
    probe.end();
}

#[test]
fn a_server_that_ends_what_it_tells_again_and_again_is_not_asked_all_the_time() {
    let cache = "mode = \"on-demand\"\nlifetime = 3600\nrefresh = 3600\n";
    let builder = Host::new().directory(people()).relay("127.0.0.9").uri("\"ldap://127.0.0.9\"");
    let mut host = install(builder.cache(cache).start());
    host.wait_for_log(TOLD, PATIENCE);
    let mut probe = Running::start(&host);
    assert_eq!(probe.ask("user alice"), ALICE);
    let before = host.directory().counts();
    let start = Instant::now();
    for _ in 0..100 {
        host.relay().cut();
        assert_eq!(probe.ask("user alice"), ALICE);
        std::thread::sleep(Duration::from_millis(100));
    }
    let asked = host.directory().counts() - before;
    // Ten a second, of the time that it really took.
    let most = usize::try_from(start.elapsed().as_millis() / 100).expect("not that long");
    assert!(asked.searches + asked.connections <= most, "{asked:?} in {:?}", start.elapsed());
    host.directory().replace(ALICE_DN, "loginShell", &["/bin/zsh"]);
    probe.await_answer("user alice", &ALICE.replace("/bin/sh", "/bin/zsh"));
    probe.end();
}

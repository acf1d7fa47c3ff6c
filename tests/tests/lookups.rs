//! `getent` and `id` on a host whose users are in a directory.

use harness::{Directory, DirectoryBuilder, Host, User};

fn people() -> DirectoryBuilder {
    Directory::new()
        .user(User::new("alice").uid(10_001).gid(20_001).gecos("Alice Archer").shell("/bin/bash"))
        .user(User::new("bob").uid(10_002).gid(20_001))
        .group("crew", 20_001, ["alice", "bob"])
        .group("editors", 20_002, ["alice", "lou"])
        .group("empty", 20_003, [])
}

fn host() -> Host {
    Host::new().directory(people()).local_user("lou", 2001, "").start()
}

#[test]
fn a_user_is_found_by_name() {
    let line = host().run(["getent", "passwd", "alice"]).success();
    let fields: Vec<_> = line.trim_end().split(':').collect();
    let [name, _, uid, gid, gecos, home, shell] = fields[..] else { panic!("{line}") };
    assert_eq!((name, uid, gid), ("alice", "10001", "20001"));
    assert_eq!((gecos, home, shell), ("Alice Archer", "/home/alice", "/bin/bash"));
}

#[test]
fn a_password_field_never_holds_a_hash() {
    let host = Host::new().directory(people().user(User::new("eve").password("secret"))).start();
    let line = host.run(["getent", "passwd", "eve"]).success();
    assert!(["x", "*"].contains(&line.split(':').nth(1).unwrap()), "{line}");
}

#[test]
fn a_user_is_found_by_id() {
    assert!(host().run(["getent", "passwd", "10002"]).success().starts_with("bob:"));
}

#[test]
fn a_group_is_found_by_name_with_its_members() {
    let line = host().run(["getent", "group", "crew"]).success();
    let mut members: Vec<_> = line.trim_end().rsplit(':').next().unwrap().split(',').collect();
    members.sort_unstable();
    assert_eq!(members, ["alice", "bob"], "{line}");
}

#[test]
fn a_group_is_found_by_id() {
    assert!(host().run(["getent", "group", "20002"]).success().starts_with("editors:"));
}

#[test]
fn a_group_can_be_empty() {
    let line = host().run(["getent", "group", "empty"]).success();
    assert!(line.starts_with("empty:") && line.ends_with(":20003:\n"), "{line}");
}

#[test]
fn a_user_has_the_groups_of_the_directory() {
    let ids = host().run(["id", "-G", "alice"]).success();
    assert_eq!(ids, "20001 20002\n");
}

#[test]
fn a_local_user_has_the_groups_of_the_directory_too() {
    let ids = host().run(["id", "-G", "lou"]).success();
    assert_eq!(ids, "2001 20002\n");
}

#[test]
fn an_unknown_name_is_not_found() {
    let host = host();
    assert_eq!(host.run(["getent", "passwd", "nobody-here"]).status, Some(2));
    assert_eq!(host.run(["getent", "group", "nothing-here"]).status, Some(2));
    assert_eq!(host.run(["getent", "passwd", "19999"]).status, Some(2));
}

#[test]
fn a_name_that_cannot_be_ours_is_never_searched() {
    let mut host = host();
    let before = host.directory().searches();
    assert_eq!(host.run(["getent", "--", "passwd", "-alice"]).status, Some(2));
    assert_eq!(host.run(["getent", "group", "~staff"]).status, Some(2));
    assert_eq!(host.directory().searches(), before, "{}", host.directory().log());
}

#[test]
fn every_user_and_group_is_enumerated_once() {
    let host = host();
    let users = host.run(["getent", "passwd"]).success();
    for name in ["alice:", "bob:", "lou:"] {
        assert_eq!(users.lines().filter(|line| line.starts_with(name)).count(), 1, "{users}");
    }
    let groups = host.run(["getent", "group"]).success();
    for name in ["crew:", "editors:", "empty:", "lou:"] {
        assert_eq!(groups.lines().filter(|line| line.starts_with(name)).count(), 1, "{groups}");
    }
}

#[test]
fn an_id_of_the_system_is_refused() {
    let intruders = people()
        .user(User::new("toor").uid(0))
        .user(User::new("dynamic").uid(61_184))
        .user(User::new("nobodytoo").uid(65_534))
        .group("wheelie", 0, ["alice"]);
    let host = Host::new().directory(intruders).start();
    for name in ["toor", "dynamic", "nobodytoo"] {
        assert_eq!(host.run(["getent", "passwd", name]).status, Some(2), "{name}");
    }
    assert_eq!(host.run(["id", "-G", "alice"]).success(), "20001 20002\n");
}

#[test]
fn a_reader_with_a_password_can_be_configured() {
    let host = Host::new().directory(people().access_by_anonymous(false)).start();
    host.run(["getent", "passwd", "alice"]).success();
}

#[test]
fn a_certificate_for_another_name_is_refused() {
    let host = Host::new().directory(people().certificate_for("elsewhere.example")).start();
    assert_ne!(host.run(["getent", "passwd", "alice"]).status, Some(0));
}

#[test]
fn a_directory_that_stopped_and_came_back_is_asked_again() {
    let mut host = host();
    host.run(["getent", "passwd", "alice"]).success();
    host.directory().stop();
    assert_ne!(host.run(["getent", "passwd", "bob"]).status, Some(0));
    host.directory().start();
    harness::until(harness::PATIENCE, || {
        (host.run(["getent", "passwd", "bob"]).status == Some(0)).then_some(())
    })
    .expect("bob is found again");
}

#[test]
fn the_second_server_answers_when_the_first_is_down() {
    let mut host = Host::new().directory(people()).directory(people().listen("127.0.0.2")).start();
    host.directory().stop();
    host.run(["getent", "passwd", "alice"]).success();
}

#[test]
fn a_host_without_a_daemon_is_answered_by_direct_so() {
    let host = Host::new().directory(people()).without_daemon().start();
    host.run(["getent", "passwd", "alice"]).success();
    assert_eq!(host.run(["getent", "passwd", "nobody-here"]).status, Some(2));
    assert_eq!(host.run(["id", "-G", "alice"]).success(), "20001 20002\n");
}

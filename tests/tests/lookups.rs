//! `getent` and `id` on a host whose users are in a directory.

#[macro_use]
mod modes;

use harness::{Directory, DirectoryBuilder, Host, User};
use modes::{Mode, twice};

fn people() -> DirectoryBuilder {
    Directory::new()
        .user(User::new("alice").uid(10_001).gid(20_001).gecos("Alice Archer").shell("/bin/bash"))
        .user(User::new("bob").uid(10_002).gid(20_001))
        .group("crew", 20_001, ["alice", "bob"])
        .group("editors", 20_002, ["alice", "lou"])
        .group("empty", 20_003, [])
}

fn host(mode: Mode) -> Host {
    mode.start(Host::new().directory(people()).local_user("lou", 2001, ""))
}

modes! { all:
    fn a_user_is_found_by_name(mode: Mode) {
        let line = twice(&host(mode), ["getent", "passwd", "alice"]).success();
        let fields: Vec<_> = line.trim_end().split(':').collect();
        let [name, _, uid, gid, gecos, home, shell] = fields[..] else { panic!("{line}") };
        assert_eq!((name, uid, gid), ("alice", "10001", "20001"));
        assert_eq!((gecos, home, shell), ("Alice Archer", "/home/alice", "/bin/bash"));
    }

    fn a_password_field_never_holds_a_hash(mode: Mode) {
        let host = mode.start(Host::new().directory(people().user(User::new("eve").password("secret"))));
        let line = twice(&host, ["getent", "passwd", "eve"]).success();
        assert!(["x", "*"].contains(&line.split(':').nth(1).unwrap()), "{line}");
    }

    fn a_user_is_found_by_id(mode: Mode) {
        assert!(twice(&host(mode), ["getent", "passwd", "10002"]).success().starts_with("bob:"));
    }

    fn a_group_is_found_by_name_with_its_members(mode: Mode) {
        let line = twice(&host(mode), ["getent", "group", "crew"]).success();
        let mut members: Vec<_> = line.trim_end().rsplit(':').next().unwrap().split(',').collect();
        members.sort_unstable();
        assert_eq!(members, ["alice", "bob"], "{line}");
    }

    fn a_group_is_found_by_id(mode: Mode) {
        assert!(twice(&host(mode), ["getent", "group", "20002"]).success().starts_with("editors:"));
    }

    fn a_group_can_be_empty(mode: Mode) {
        let line = twice(&host(mode), ["getent", "group", "empty"]).success();
        assert!(line.starts_with("empty:") && line.ends_with(":20003:\n"), "{line}");
    }

    fn a_user_has_the_groups_of_the_directory(mode: Mode) {
        let ids = twice(&host(mode), ["id", "-G", "alice"]).success();
        assert_eq!(ids, "20001 20002\n");
    }

    fn a_local_user_has_the_groups_of_the_directory_too(mode: Mode) {
        let ids = twice(&host(mode), ["id", "-G", "lou"]).success();
        assert_eq!(ids, "2001 20002\n");
    }

    fn an_unknown_name_is_not_found(mode: Mode) {
        let host = host(mode);
        assert_eq!(twice(&host, ["getent", "passwd", "nobody-here"]).status, Some(2));
        assert_eq!(twice(&host, ["getent", "group", "nothing-here"]).status, Some(2));
        assert_eq!(twice(&host, ["getent", "passwd", "19999"]).status, Some(2));
    }

    fn every_user_and_group_is_enumerated_once(mode: Mode) {
        let host = host(mode);
        let users = twice(&host, ["getent", "passwd"]).success();
        for name in ["alice:", "bob:", "lou:"] {
            assert_eq!(users.lines().filter(|line| line.starts_with(name)).count(), 1, "{users}");
        }
        let groups = twice(&host, ["getent", "group"]).success();
        for name in ["crew:", "editors:", "empty:", "lou:"] {
            assert_eq!(groups.lines().filter(|line| line.starts_with(name)).count(), 1, "{groups}");
        }
    }

    fn an_id_of_the_system_is_refused(mode: Mode) {
        let intruders = people()
            .user(User::new("toor").uid(0))
            .user(User::new("dynamic").uid(61_184))
            .user(User::new("nobodytoo").uid(65_534))
            .group("wheelie", 0, ["alice"]);
        let host = mode.start(Host::new().directory(intruders));
        for name in ["toor", "dynamic", "nobodytoo"] {
            assert_eq!(twice(&host, ["getent", "passwd", name]).status, Some(2), "{name}");
        }
        assert_eq!(twice(&host, ["id", "-G", "alice"]).success(), "20001 20002\n");
    }

    fn a_reader_with_a_password_can_be_configured(mode: Mode) {
        let host = mode.start(Host::new().directory(people().access_by_anonymous(false)));
        twice(&host, ["getent", "passwd", "alice"]).success();
    }
}

#[test]
fn a_name_that_cannot_be_ours_is_never_searched() {
    let mut host = host(Mode::Off);
    let before = host.directory().searches();
    assert_eq!(host.run(["getent", "--", "passwd", "-alice"]).status, Some(2));
    assert_eq!(host.run(["getent", "group", "~staff"]).status, Some(2));
    assert_eq!(host.directory().searches(), before, "{}", host.directory().log());
}

#[test]
fn a_certificate_for_another_name_is_refused() {
    let host = Host::new().directory(people().certificate_for("elsewhere.example")).start();
    assert_ne!(host.run(["getent", "passwd", "alice"]).status, Some(0));
}

#[test]
fn a_directory_that_stopped_and_came_back_is_asked_again() {
    let mut host = host(Mode::Off);
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

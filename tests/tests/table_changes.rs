//! A change in the directory reaches a host that caches, and nobody sees half of it.

#[macro_use]
mod modes;
mod probe;

use harness::{BASE, Directory, DirectoryBuilder, Host, PATIENCE, User, until};
use modes::Mode;
use probe::{Running, install};

const ALICE: &str = "alice:10001:20001:alice:/home/alice:/bin/sh";
const ALICE_DN: &str = "uid=alice,ou=people,dc=example,dc=org";
const CREW_DN: &str = "cn=crew,ou=groups,dc=example,dc=org";

fn people() -> DirectoryBuilder {
    Directory::new()
        .user(User::new("alice").uid(10_001).gid(20_001))
        .user(User::new("bob").uid(10_002).gid(20_001))
        .group("crew", 20_001, ["alice", "bob"])
        .group("editors", 20_002, ["alice"])
        .ldif(&format!("dn: ou=gone,{BASE}\nobjectClass: organizationalUnit\n"))
}

fn host(mode: Mode) -> Host {
    // What is moved below ou=gone is out of the base.
    let users = format!(
        "[directory.users]\nbase = \"ou=people,{BASE}\"\n[directory.groups]\nbase = \"ou=groups,{BASE}\"\n"
    );
    install(mode.start(Host::new().directory(people()).configuration(&users)))
}

/// A question, its answer before the change, and the one after it.
type Question<'a> = (&'a str, &'a str, &'a str);

/// Has a change made, and asks until everything shows it. Until then all answers are
/// the old ones; from the first new one on, all are new.
#[track_caller]
fn changes(host: &mut Host, questions: &[Question], change: impl FnOnce(&Directory)) {
    let mut probe = Running::start(host);
    for (question, old, _) in questions {
        assert_eq!(probe.ask(question), *old, "{question}");
    }
    change(host.directory());
    let mut changed = None;
    let all = until(PATIENCE, || {
        let mut new = 0;
        for (question, old, expected) in questions {
            let answer = probe.ask(question);
            if answer == *expected && old != expected {
                new += 1;
                changed.get_or_insert(*question);
            } else if answer != *expected || old != expected {
                assert_eq!(answer, *old, "{question}");
                assert_eq!(changed, None, "{question} has the old answer still");
            }
        }
        (new == questions.iter().filter(|(_, old, new)| old != new).count()).then_some(())
    });
    assert!(all.is_some(), "the change wasn't seen; first of all by {changed:?}");
    probe.end();
}

modes! { following:
    fn another_shell_is_seen_under_every_key(mode: Mode) {
        let new = ALICE.replace("/bin/sh", "/bin/zsh");
        changes(
            &mut host(mode),
            &[("user alice", ALICE, &new), ("uid 10001", ALICE, &new)],
            |directory| directory.replace(ALICE_DN, "loginShell", &["/bin/zsh"]),
        );
    }

    fn a_renamed_user_is_gone_under_the_old_name(mode: Mode) {
        let new = "carol:10001:20001:alice:/home/alice:/bin/sh";
        changes(
            &mut host(mode),
            &[("user carol", "none", new), ("uid 10001", ALICE, new), ("user alice", ALICE, "none")],
            |directory| directory.rename(ALICE_DN, "uid=carol"),
        );
    }

    fn another_uid_is_seen_under_the_name_and_the_old_one_is_gone(mode: Mode) {
        let new = ALICE.replace("10001", "10009");
        changes(
            &mut host(mode),
            &[("user alice", ALICE, &new), ("uid 10009", "none", &new), ("uid 10001", ALICE, "none")],
            |directory| directory.replace(ALICE_DN, "uidNumber", &["10009"]),
        );
    }

    fn an_id_that_went_from_one_user_to_another_is_the_others(mode: Mode) {
        let bob = "bob:10002:20001:bob:/home/bob:/bin/sh";
        let mut host = host(mode);
        let mut probe = Running::start(&host);
        assert_eq!([probe.ask("uid 10001"), probe.ask("user bob")], [ALICE, bob]);
        host.directory().replace(ALICE_DN, "uidNumber", &["10009"]);
        host.directory().replace(&format!("uid=bob,ou=people,{BASE}"), "uidNumber", &["10001"]);
        let new = bob.replace("10002", "10001");
        until(PATIENCE, || (probe.ask("uid 10001") == new).then_some(())).expect("it is bob's");
        until(PATIENCE, || (probe.ask("user bob") == new).then_some(())).expect("it is bob's");
        until(PATIENCE, || (probe.ask("user alice") == ALICE.replace("10001", "10009")).then_some(()))
            .expect("she has another");
        probe.end();
    }

    fn another_name_of_a_user_is_found_and_found_no_more(mode: Mode) {
        let mut host = host(mode);
        changes(
            &mut host,
            &[("user ali", "none", ALICE), ("user alice", ALICE, ALICE)],
            |directory| directory.add_value(ALICE_DN, "uid", "ali"),
        );
        changes(
            &mut host,
            &[("user ali", ALICE, "none"), ("user alice", ALICE, ALICE)],
            |directory| directory.remove_value(ALICE_DN, "uid", "ali"),
        );
    }

    fn a_new_member_is_in_the_group_and_has_its_id(mode: Mode) {
        changes(
            &mut host(mode),
            &[
                ("group crew", "crew:20001:alice,bob", "crew:20001:alice,bob,carl"),
                ("gid 20001", "crew:20001:alice,bob", "crew:20001:alice,bob,carl"),
                ("groups carl", "1", "1 20001"),
            ],
            |directory| directory.add_value(CREW_DN, "memberUid", "carl"),
        );
    }

    fn a_removed_member_is_gone_from_the_group_and_has_lost_its_id(mode: Mode) {
        changes(
            &mut host(mode),
            &[
                ("group crew", "crew:20001:alice,bob", "crew:20001:bob"),
                ("gid 20001", "crew:20001:alice,bob", "crew:20001:bob"),
                ("groups alice", "1 20001 20002", "1 20002"),
                ("groups bob", "1 20001", "1 20001"),
                ("user alice", ALICE, ALICE),
            ],
            |directory| directory.remove_value(CREW_DN, "memberUid", "alice"),
        );
    }

    fn a_deleted_user_is_gone_under_every_key(mode: Mode) {
        let mut host = host(mode);
        changes(
            &mut host,
            &[("user alice", ALICE, "none"), ("uid 10001", ALICE, "none")],
            |directory| directory.delete(ALICE_DN),
        );
        assert!(!host.run(["getent", "passwd"]).success().contains("alice"));
    }

    fn a_user_who_was_moved_out_of_the_base_is_gone(mode: Mode) {
        changes(
            &mut host(mode),
            &[("user alice", ALICE, "none"), ("uid 10001", ALICE, "none")],
            |directory| directory.move_below(ALICE_DN, &format!("ou=gone,{BASE}")),
        );
    }

    fn a_user_who_was_moved_into_the_base_is_found(mode: Mode) {
        let mut host = host(mode);
        let out = format!("uid=alice,ou=gone,{BASE}");
        changes(&mut host, &[("user alice", ALICE, "none")], |directory| {
            directory.move_below(ALICE_DN, &format!("ou=gone,{BASE}"));
        });
        changes(
            &mut host,
            &[("user alice", "none", ALICE), ("uid 10001", "none", ALICE)],
            |directory| directory.move_below(&out, &format!("ou=people,{BASE}")),
        );
    }

    fn a_new_user_and_a_new_group_are_found(mode: Mode) {
        let carl = "carl:10007:20001:carl:/home/carl:/bin/sh";
        let mut host = host(mode);
        changes(
            &mut host,
            &[("user carl", "none", carl), ("uid 10007", "none", carl)],
            |directory| directory.add_user(&User::new("carl").uid(10_007).gid(20_001)),
        );
        changes(
            &mut host,
            &[
                ("group new", "none", "new:20007:bob,carl"),
                ("gid 20007", "none", "new:20007:bob,carl"),
                ("groups carl", "1", "1 20007"),
                ("groups bob", "1 20001", "1 20001 20007"),
            ],
            |directory| directory.add_group("new", 20_007, &["bob", "carl"]),
        );
    }

    fn a_deleted_group_is_gone_under_every_key_and_its_members_have_lost_it(mode: Mode) {
        changes(
            &mut host(mode),
            &[
                ("group editors", "editors:20002:alice", "none"),
                ("gid 20002", "editors:20002:alice", "none"),
                ("groups alice", "1 20001 20002", "1 20001"),
            ],
            |directory| directory.delete(&format!("cn=editors,ou=groups,{BASE}")),
        );
    }

    fn a_renamed_group_is_gone_under_the_old_name(mode: Mode) {
        let (old, new) = ("editors:20002:alice", "writers:20002:alice");
        changes(
            &mut host(mode),
            &[
                ("group writers", "none", new),
                ("gid 20002", old, new),
                ("group editors", old, "none"),
                ("groups alice", "1 20001 20002", "1 20001 20002"),
            ],
            |directory| directory.rename(&format!("cn=editors,ou=groups,{BASE}"), "cn=writers"),
        );
    }

    fn another_gid_is_the_groups_and_its_members(mode: Mode) {
        let (old, new) = ("editors:20002:alice", "editors:20009:alice");
        changes(
            &mut host(mode),
            &[
                ("group editors", old, new),
                ("gid 20009", "none", new),
                ("gid 20002", old, "none"),
                ("groups alice", "1 20001 20002", "1 20001 20009"),
            ],
            |directory| {
                directory.replace(&format!("cn=editors,ou=groups,{BASE}"), "gidNumber", &["20009"]);
            },
        );
    }

    /// The attribute that tells when an entry was changed has a resolution of a second.
    fn two_changes_within_a_second_are_both_seen(mode: Mode) {
        let mut host = host(mode);
        let mut probe = Running::start(&host);
        for n in 0..5 {
            let shells = [format!("/bin/first{n}"), format!("/bin/second{n}")];
            host.directory().replace(ALICE_DN, "loginShell", &[&shells[0]]);
            until(PATIENCE, || probe.ask("user alice").ends_with(&shells[0]).then_some(()))
                .expect("the first change is seen");
            host.directory().replace(ALICE_DN, "loginShell", &[&shells[1]]);
            until(PATIENCE, || probe.ask("user alice").ends_with(&shells[1]).then_some(()))
                .expect("the second change is seen");
        }
        probe.end();
    }

    fn a_daemon_that_was_killed_in_between_hands_out_nothing_old(mode: Mode) {
        let mut host = host(mode);
        let mut probe = Running::start(&host);
        assert_eq!(probe.ask("user alice"), ALICE);
        host.daemon().kill();
        host.directory().replace(ALICE_DN, "loginShell", &["/bin/zsh"]);
        host.daemon().start();
        until(PATIENCE, || probe.ask("user alice").ends_with("/bin/zsh").then_some(()))
            .expect("the change is seen");
        probe.end();
    }
}

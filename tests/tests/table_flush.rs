//! `rollcall flush`: the very next lookup sees what is in the directory.

#[macro_use]
mod modes;
mod probe;

use std::time::Duration;

use harness::{Host, PATIENCE};
use modes::Mode;
use probe::{Running, ask_until_kept, install, people};

const ALICE: &str = "alice:10001:20001:alice:/home/alice:/bin/sh";
const ALICE_DN: &str = "uid=alice,ou=people,dc=example,dc=org";
const CREW_DN: &str = "cn=crew,ou=groups,dc=example,dc=org";

/// A host that doesn't look for changes on its own.
fn host(mode: Mode) -> Host {
    install(mode.start_lazy(Host::new().directory(people()).local_user("lou", 2001, "")))
}

modes! { caching:
    fn an_answer_counts_until_it_is_flushed(mode: Mode) {
        let mut host = host(mode);
        let mut probe = Running::start(&host);
        assert_eq!(probe.ask("user alice"), ALICE);
        host.directory().replace(ALICE_DN, "loginShell", &["/bin/zsh"]);
        for _ in 0..5 {
            assert_eq!(probe.ask("user alice"), ALICE);
        }
        probe.end();
    }

    fn a_flushed_user_is_read_again(mode: Mode) {
        let mut host = host(mode);
        let mut probe = Running::start(&host);
        for command in ["user alice", "uid 10001"] {
            assert_eq!(probe.ask(command), ALICE);
        }
        for shell in ["/bin/zsh", "/bin/bash", "/bin/dash"] {
            host.directory().replace(ALICE_DN, "loginShell", &[shell]);
            host.run(["rollcall", "flush", "--user", "alice"]).success();
            for command in ["user alice", "uid 10001", "user alice"] {
                assert_eq!(probe.ask(command), ALICE.replace("/bin/sh", shell), "{command}");
            }
        }
        probe.end();
    }

    fn a_flushed_user_who_was_deleted_is_gone(mode: Mode) {
        let mut host = host(mode);
        let mut probe = Running::start(&host);
        for command in ["user alice", "uid 10001"] {
            assert_eq!(probe.ask(command), ALICE);
        }
        host.directory().delete(ALICE_DN);
        host.run(["rollcall", "flush", "--user", "alice"]).success();
        for command in ["user alice", "uid 10001"] {
            assert_eq!(probe.ask(command), "none", "{command}");
        }
        probe.end();
    }

    fn a_flushed_user_who_is_new_is_found(mode: Mode) {
        let mut host = host(mode);
        let mut probe = Running::start(&host);
        assert_eq!(probe.ask("user carl"), "none");
        host.directory().add_user(&harness::User::new("carl").uid(10_007).gid(20_001));
        host.run(["rollcall", "flush", "--user", "carl"]).success();
        assert!(probe.ask("user carl").starts_with("carl:10007:"));
        probe.end();
    }

    fn a_flushed_group_is_read_again_and_so_are_its_members_groups(mode: Mode) {
        let mut host = host(mode);
        let mut probe = Running::start(&host);
        let before = [("group crew", "crew:20001:alice,bob"), ("gid 20001", "crew:20001:alice,bob"),
            ("groups alice", "1 20001 20002"), ("groups carl", "1")];
        for (command, answer) in before {
            assert_eq!(probe.ask(command), answer);
        }
        host.directory().replace(CREW_DN, "memberUid", &["bob", "carl"]);
        host.run(["rollcall", "flush", "--group", "crew"]).success();
        let after = [("group crew", "crew:20001:bob,carl"), ("gid 20001", "crew:20001:bob,carl"),
            ("groups alice", "1 20002"), ("groups carl", "1 20001")];
        for (command, answer) in after {
            assert_eq!(probe.ask(command), answer, "{command}");
        }
        probe.end();
    }

    fn everything_is_read_again_after_a_flush_of_all(mode: Mode) {
        let mut host = host(mode);
        let mut probe = Running::start(&host);
        for command in ["user alice", "user bob", "group crew", "groups bob", "user carl"] {
            probe.ask(command);
        }
        host.directory().replace(ALICE_DN, "loginShell", &["/bin/zsh"]);
        host.directory().delete("uid=bob,ou=people,dc=example,dc=org");
        host.directory().replace(CREW_DN, "memberUid", &["carl"]);
        host.directory().add_user(&harness::User::new("carl").uid(10_007).gid(20_001));
        host.run(["rollcall", "flush", "--all"]).success();
        assert!(probe.ask("user alice").ends_with("/bin/zsh"));
        assert_eq!(probe.ask("user bob"), "none");
        assert_eq!(probe.ask("uid 10002"), "none");
        assert_eq!(probe.ask("group crew"), "crew:20001:carl");
        assert_eq!(probe.ask("groups bob"), "1");
        assert!(probe.ask("user carl").starts_with("carl:10007:"));
        probe.end();
    }

    /// The old table of a killed daemon promises for some seconds that it lives.
    fn a_flush_after_the_daemon_was_killed_reaches_old_processes(mode: Mode) {
        let mut host = host(mode);
        let mut probe = Running::start(&host);
        assert_eq!(probe.ask("user alice"), ALICE);
        host.daemon().kill();
        host.daemon().start();
        host.directory().replace(ALICE_DN, "loginShell", &["/bin/zsh"]);
        host.run(["rollcall", "flush", "--all"]).success();
        assert!(probe.ask("user alice").ends_with("/bin/zsh"));
        probe.end();
    }

    fn only_root_may_flush(mode: Mode) {
        let mut host = host(mode);
        let mut probe = Running::start(&host);
        assert_eq!(probe.ask("user alice"), ALICE);
        host.directory().replace(ALICE_DN, "loginShell", &["/bin/zsh"]);
        for what in [vec!["--all"], vec!["--user", "alice"], vec!["--group", "crew"]] {
            let output = host.run_as("lou", [vec!["rollcall", "flush"], what].concat());
            assert_ne!(output.status, Some(0), "{output:?}");
            assert!(output.stderr.contains("root"), "{output:?}");
        }
        assert_eq!(probe.ask("user alice"), ALICE);
        probe.end();
    }

    fn a_flush_while_the_directory_is_down_loses_nothing_that_was_known(mode: Mode) {
        let mut host = host(mode);
        let mut probe = Running::start(&host);
        assert_eq!(probe.ask("user alice"), ALICE);
        host.directory().stop();
        host.run(["rollcall", "flush", "--all"]);
        let answer = probe.ask("user alice");
        assert!(answer == ALICE || answer == probe::UNAVAILABLE, "{answer}");
        host.directory().start();
        harness::until(PATIENCE, || (probe.ask("user alice") == ALICE).then_some(()))
            .expect("she is found again");
        probe.end();
    }
}

/// An answer takes a second and a half.
#[test]
fn the_first_one_who_asks_after_a_flush_waits_for_a_slow_server() {
    let builder = Host::new().directory(people()).relay("127.0.0.9").uri("\"ldap://127.0.0.9\"");
    let mut host = install(Mode::OnDemand.start_lazy(builder));
    let mut probe = Running::start(&host);
    ask_until_kept(&host, 1, || assert_eq!(probe.ask("user alice"), ALICE));
    host.relay().delay(Duration::from_millis(750));
    host.directory().replace(ALICE_DN, "loginShell", &["/bin/zsh"]);
    host.run(["rollcall", "flush", "--all"]).success();
    assert_eq!(probe.ask("user alice"), ALICE.replace("/bin/sh", "/bin/zsh"));
    probe.end();
}

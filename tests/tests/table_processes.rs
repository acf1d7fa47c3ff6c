//! What programs do to a process in which the table is mapped.

#[macro_use]
mod modes;
mod probe;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use harness::{BASE, Host, PATIENCE, until};
use modes::Mode;
use probe::{CROWD, Running, ask_until_kept, crowd, install, people, probe};

const ALICE: &str = "alice:10001:20001:alice:/home/alice:/bin/sh";
const BOB: &str = "bob:10002:20001:bob:/home/bob:/bin/sh";

fn people_host(mode: Mode) -> Host {
    install(mode.start(Host::new().directory(people())))
}

modes! { caching:
    /// By a signal's handler, so that a lookup is cut in two anywhere.
    fn a_fork_in_the_middle_of_a_lookup_harms_neither_side(mode: Mode) {
        let host = people_host(mode);
        // Until they are kept two sides would share a conversation with the daemon.
        ask_until_kept(&host, 2, || {
            assert_eq!(probe(&host, ["user alice", "uid 10002"]), [ALICE, BOB]);
        });
        assert_eq!(probe(&host, ["fork-within-lookups 300"]), ["right"]);
    }

    fn both_sides_of_a_fork_look_up(mode: Mode) {
        let host = people_host(mode);
        let lines = probe(&host, ["user alice", "fork", "user bob", "uid 10001", "user alice"]);
        for side in ["child: ", "parent: "] {
            let lines: Vec<_> = lines.iter().filter_map(|line| line.strip_prefix(side)).collect();
            assert_eq!(lines[..3], [BOB, ALICE, ALICE], "{side}");
        }
        assert_eq!(lines.last().expect("it said something"), "parent: the child ended with 0");
    }

    /// A child whose parent held the table sees the next one as well.
    fn a_child_follows_a_table_that_is_replaced(mode: Mode) {
        let mut host = people_host(mode);
        let mut probe = Running::start(&host);
        assert_eq!(probe.ask("user alice"), ALICE);
        probe.tell("output /tmp/said");
        probe.tell("fork");
        host.daemon().stop();
        host.daemon().start();
        if mode == Mode::Replica {
            host.daemon().wait_until_complete();
        }
        // Only one of both reads on standard input, whichever it is.
        probe.tell("user bob");
        let said = until(PATIENCE, || fs::read_to_string(host.path("/tmp/said")).ok());
        assert!(said.expect("one of them answers").contains(BOB));
        drop(probe);
    }

    fn each_of_many_threads_gets_its_own_user(mode: Mode) {
        let host = install(mode.start(Host::new().directory(crowd())));
        let threads = format!("lookup-threads {CROWD}");
        assert_eq!(probe(&host, [threads.as_str(), threads.as_str()]), ["right", "right"]);
    }

    fn threads_that_enumerate_do_not_disturb_each_other(mode: Mode) {
        let host = install(mode.start(Host::new().directory(crowd())));
        assert_eq!(probe(&host, ["enumeration-threads 4"]), ["right"]);
    }

    fn a_program_that_closes_all_descriptors_is_answered(mode: Mode) {
        let host = people_host(mode);
        let commands = ["user alice", "closefrom 3", "user bob", "closefrom 3", "user alice"];
        assert_eq!(probe(&host, commands), [ALICE, BOB, ALICE]);
    }

    fn a_program_that_uses_descriptors_again_keeps_its_files(mode: Mode) {
        let mut host = people_host(mode);
        let mut probe = Running::start(&host);
        assert_eq!(probe.ask("user alice"), ALICE);
        probe.tell("closefrom 3");
        probe.tell("reuse /tmp/files");
        assert_eq!(probe.ask("user bob"), BOB);
        probe.tell("write");
        host.daemon().stop();
        host.daemon().start();
        assert_eq!(probe.ask("user alice"), ALICE);
        probe.tell("write");
        assert_eq!(probe.ask("check"), "intact");
        probe.end();
    }

    fn a_program_with_5000_descriptors_is_answered(mode: Mode) {
        let host = people_host(mode);
        let commands = ["descriptors 5000", "user alice", "group crew", "user alice"];
        assert_eq!(probe(&host, commands), [ALICE, "crew:20001:alice,bob", ALICE]);
    }

    fn a_process_that_lives_through_many_tables_holds_one(mode: Mode) {
        let mut host = people_host(mode);
        let mut probe = Running::start(&host);
        for round in 0..25 {
            assert_eq!(probe.ask("user alice"), ALICE, "round {round}");
            // By turns, since one leaves no retired table behind.
            if round % 2 == 0 {
                host.daemon().stop();
            } else {
                host.daemon().kill();
            }
            host.daemon().start();
            until(PATIENCE, || {
                assert_eq!(probe.ask("user bob"), BOB, "round {round}");
                (probe.ask("table") == "maps=1 gone=0 open=0").then_some(())
            })
            .unwrap_or_else(|| panic!("round {round}: {}", probe.ask("table")));
        }
        probe.end();
    }

    /// There is no room for the mapping; the daemon is asked.
    fn a_program_with_hardly_any_memory_is_answered(mode: Mode) {
        let host = people_host(mode);
        for bytes in [0, 100_000, 400_000, 1_000_000, 4_000_000] {
            let limit = format!("limit-memory {bytes}");
            // The library is loaded by a first lookup; what is short is room for the rest.
            let lines = probe(&host, ["user alice", &limit, "user bob", "uid 10001", "group crew"]);
            assert_eq!(lines, [ALICE, BOB, ALICE, "crew:20001:alice,bob"], "{bytes}");
        }
        let lines = probe(&host, ["limit-memory 6000000", "user bob", "uid 10001"]);
        assert_eq!(lines, [BOB, ALICE]);
    }

    /// In the new root there is neither table nor socket; what is mapped goes on to answer
    /// as long as it is fresh, and nothing else is made of what isn't there.
    fn a_program_that_changes_its_root_is_answered_or_told_that_nobody_knows(mode: Mode) {
        let mut host = people_host(mode);
        host.run(["sh", "-c", "mkdir -p /jail/etc /jail/run && cp /etc/nsswitch.conf /jail/etc/"]).success();
        let mut probe = Running::start(&host);
        assert_eq!(probe.ask("user alice"), ALICE);
        probe.tell("chroot /jail");
        for _ in 0..20 {
            let answer = probe.ask("user alice");
            assert!(answer == ALICE || answer == probe::UNAVAILABLE, "{answer}");
        }
        host.daemon().stop();
        host.daemon().start();
        for _ in 0..20 {
            let answer = probe.ask("user alice");
            assert!(answer == ALICE || answer == probe::UNAVAILABLE, "{answer}");
            let answer = probe.ask("user nobody-here");
            assert!(answer == "none" || answer == probe::UNAVAILABLE, "{answer}");
        }
        probe.end();
    }

    fn a_program_with_the_set_user_id_bit_is_answered_as_others(mode: Mode) {
        let host = people_host(mode);
        let program = "/usr/local/bin/privileged-probe";
        host.install(Path::new(env!("CARGO_BIN_EXE_probe")), program);
        fs::set_permissions(host.path(program), fs::Permissions::from_mode(0o4755)).expect("ours");
        host.run(["install", "-d", "-m", "777", "/tmp/attacker"]).success();
        let output = host.run([
            "nsenter", "--setgid=2001", "--setuid=2001", "--", "env",
            "ROLLCALL_TABLE=/tmp/attacker/table", "TMPDIR=/tmp/attacker", "HOME=/tmp/attacker",
            program, "user alice", "uid 10002", "user alice", "table",
        ]);
        assert_eq!(output.success(), format!("{ALICE}\n{BOB}\n{ALICE}\nmaps=1 gone=0 open=0\n"));
    }

    fn anybody_may_read_the_table_and_nobody_may_write_it(mode: Mode) {
        let host = people_host(mode);
        let output = host.run(["nsenter", "--setgid=2001", "--setuid=2001", "--", "sh", "-c",
            "test -r /run/rollcall/table && ! test -w /run/rollcall/table && ! test -w /run/rollcall"]);
        assert_eq!(output.status, Some(0), "{output:?}");
    }
}

/// Only what getent would show is in the files.
#[test]
fn no_password_hash_is_in_the_files() {
    let eve = harness::User::new("eve").uid(10_009).password("{CRYPT}$6$abcdefgh$HASHHASHHASH");
    let mut host = Mode::Replica.start(Host::new().directory(people().user(eve)));
    let _ = BASE;
    host.run(["getent", "shadow", "eve"]);
    host.daemon().stop();
    for path in [common::paths::TABLE, common::paths::SEALED_TABLE] {
        let bytes = fs::read(host.path(path)).expect("it is there");
        assert!(bytes.windows(3).any(|part| part == b"eve"), "{path}");
        assert!(!bytes.windows(4).any(|part| part == b"HASH" || part == b"$6$a"), "{path}");
    }
}

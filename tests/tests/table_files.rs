//! What may become of the table's file, by accident or by somebody's will: no crash,
//! no hang, and no answer by somebody who may not give one.
//!
//! What a clock that was set back would do can't be tried here: the time of day is the
//! whole machine's (`time_namespaces(7)` have no `CLOCK_REALTIME`). Freshness is counted on a clock
//! that nobody can set, and the age of old answers is tried in the table's own tests.

#[macro_use]
mod modes;
mod probe;

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::{FileExt, MetadataExt};

use common::table::Now;
use common::table::layout::header;
use harness::{Host, PATIENCE, until};
use modes::Mode;
use probe::{Running, UNAVAILABLE, ask_until_kept, install, people};

const ALICE: &str = "alice:10001:20001:alice:/home/alice:/bin/sh";
const TABLE: &str = "/run/rollcall/table";
const SEALED: &str = "/var/cache/rollcall/table";

fn host(mode: Mode) -> Host {
    let host = install(mode.start(Host::new().directory(people())));
    // That somebody is nobody is kept elsewhere.
    ask_until_kept(&host, 4, || assert_right(&mut Running::start(&host)));
    host
}

#[track_caller]
fn assert_right(probe: &mut Running) {
    assert_eq!(probe.ask("user alice"), ALICE);
    assert_eq!(probe.ask("uid 10001"), ALICE);
    assert_eq!(probe.ask("group crew"), "crew:20001:alice,bob");
    assert_eq!(probe.ask("groups alice"), "1 20001 20002");
    assert_eq!(probe.ask("user nobody-here"), "none");
}

fn inode(host: &Host) -> Option<u64> {
    fs::metadata(host.path(TABLE)).ok().map(|data| data.ino())
}

/// A shell command that damages the table, or puts something in its place.
const DEEDS: [(&str, &str); 14] = [
    ("removed", "rm $T"),
    ("with its folder's files removed", "rm -f /run/rollcall/table*"),
    ("empty", "truncate -s 0 $T"),
    ("a page long", "truncate -s 4096 $T"),
    ("a part of a word long", "truncate -s 4099 $T"),
    ("cut in its middle", "truncate -s $(( $(stat -c %s $T) / 2 )) $T"),
    ("of an older version", "printf '\\000' | dd of=$T bs=1 seek=8 conv=notrunc status=none"),
    ("of a newer version", "printf '\\377' | dd of=$T bs=1 seek=8 conv=notrunc status=none"),
    ("of another user", "chown 4242 $T"),
    ("writable by its group", "chmod 664 $T"),
    ("writable by everybody", "chmod 646 $T"),
    ("a link to itself", "mv $T /run/rollcall/elsewhere && ln -s elsewhere $T"),
    ("a pipe", "rm $T && mkfifo -m 644 $T"),
    ("a folder", "rm $T && mkdir $T"),
];

fn damage(host: &Host, deed: &str) {
    host.run(["sh", "-c", &format!("T={TABLE}; {deed}")]).success();
}

modes! { caching:
    /// Processes old and new are answered right, by the daemon if by nobody else, and
    /// in the end there is a table again.
    fn whatever_becomes_of_the_file_answers_stay_right_while_there_is_a_daemon(mode: Mode) {
        for (what, deed) in DEEDS {
            println!("{what}");
            let mut host = host(mode);
            let mut old = Running::start(&host);
            assert_right(&mut old);
            damage(&host, deed);
            let mut new = Running::start(&host);
            assert_right(&mut new);
            // A process that holds a file which was cut short looks at its length
            // once in a moment only; what it gets until then is a signal (`table/map.rs`).
            if !deed.contains("truncate") {
                assert_right(&mut old);
                assert_right(&mut old);
                old.end();
            }
            let healed = until(PATIENCE, || {
                assert_right(&mut new);
                let file = fs::symlink_metadata(host.path(TABLE)).ok()?;
                let trusted = file.is_file() && file.mode() & 0o022 == 0 && file.uid() == 990;
                // Opening a pipe would wait for its other end.
                let alive = trusted.then(|| host.table_word(header::ALIVE_UNTIL)).flatten()?;
                (alive > u64::from(Now::read().0)).then_some(())
            });
            assert!(healed.is_some(), "{what}: no table again\n{}", host.log().join("\n"));
            assert_right(&mut new);
            new.end();
            host.daemon().stop();
        }
    }

    /// Without a daemon the file is all there is: what isn't to be believed is not there.
    fn a_file_that_is_not_to_be_believed_answers_nothing(mode: Mode) {
        let mut host = host(mode);
        host.daemon().kill();
        host.run(["rm", "-f", SEALED]).success();
        host.run(["sh", "-c", "mkdir /root/keep && cp -a /run/rollcall/table /root/keep/"]).success();
        let restore = || {
            host.run(["sh", "-c", "rm -rf /run/rollcall/table* /run/rollcall/elsewhere \
                && cp -a /root/keep/table /run/rollcall/ && chmod 755 /run/rollcall \
                && chown rollcall /run/rollcall"]).success();
        };
        let others = [
            ("in a folder that others may write to", "chmod 777 /run/rollcall"),
            ("in a folder of another user", "chown 4242 /run/rollcall"),
            ("of noise", "head -c 100000 /dev/urandom >$T.new && mv $T.new $T && chown rollcall $T"),
        ];
        // "cut in its middle" is still a table in its first half: what is there is right.
        let deeds = DEEDS.into_iter().filter(|(what, _)| !what.contains("middle"));
        for (what, deed) in deeds.chain(others) {
            damage(&host, deed);
            let mut probe = Running::start(&host);
            for question in ["user alice", "uid 10001", "group crew", "user nobody-here"] {
                assert_eq!(probe.ask(question), UNAVAILABLE, "{what}: {question}");
            }
            probe.end();
            restore();
            let mut probe = Running::start(&host);
            assert_eq!(probe.ask("user alice"), ALICE, "after it was {what}");
            probe.end();
        }
    }

    /// Noise that somebody writes over the file in its place, which only root or the
    /// daemon's user can: no crash and no hang, and it passes.
    fn noise_in_the_file_crashes_nobody(mode: Mode) {
        let host = host(mode);
        let mut old = Running::start(&host);
        assert_right(&mut old);
        let mut noise = vec![0; 4096];
        let mut random = File::open("/dev/urandom").expect("there is noise");
        for from in [4096_u64, 8192, 65_536, 0] {
            random.read_exact(&mut noise).expect("there is noise");
            let path = host.path(TABLE);
            let file = File::options().write(true).open(&path).expect("it is there");
            let size = file.metadata().expect("it is there").len();
            for at in (from..size.min(from + 300_000)).step_by(4096) {
                file.write_all_at(&noise, at).expect("it can be written");
            }
            for question in ["user alice", "uid 10001", "group crew", "groups alice", "user nobody-here"] {
                old.ask(question);
            }
            let listed = host.run(["getent", "passwd"]);
            assert!(listed.status.is_some(), "{listed:?}");
            host.run(["rollcall", "flush", "--all"]);
        }
        until(PATIENCE, || {
            let mut new = Running::start(&host);
            let right = new.ask("user alice") == ALICE && new.ask("user nobody-here") == "none";
            new.end();
            right.then_some(())
        })
        .expect("it passes");
        old.end();
    }

    fn a_removed_file_is_let_go_of_and_comes_back(mode: Mode) {
        let mut host = host(mode);
        let mut probe = Running::start(&host);
        assert_right(&mut probe);
        assert_eq!(probe.ask("table"), "maps=1 gone=0 open=0");
        let before = inode(&host);
        host.run(["rm", TABLE]).success();
        until(PATIENCE, || {
            let now = inode(&host)?;
            (Some(now) != before).then_some(())
        })
        .expect("the daemon puts it back");
        until(PATIENCE, || {
            assert_right(&mut probe);
            (probe.ask("table") == "maps=1 gone=0 open=0").then_some(())
        })
        .unwrap_or_else(|| panic!("the old file is still held: {}", probe.ask("table")));
        host.daemon().stop();
        probe.end();
    }

    /// A small file system in the table's place, which something else fills.
    fn a_full_run_changes_no_answer(mode: Mode) {
        let builder = Host::new().directory(people());
        let mut host = mode.start(builder);
        host.daemon().stop();
        host.run(["sh", "-c", "rm -rf /run/rollcall/*; \
            mount -t tmpfs -o size=64k,mode=755 tmpfs /run/rollcall && chown rollcall /run/rollcall \
            && head -c 65536 /dev/zero >/run/rollcall/filler; rm -f /var/cache/rollcall/table; true"]).success();
        // The socket needs no block.
        host.daemon().start();
        let mut host = install(host);
        let mut probe = Running::start(&host);
        assert_right(&mut probe);
        assert_right(&mut probe);
        // A replica makes another table as soon as there is something to write. Otherwise that
        // is tried every minute, which a test doesn't wait for.
        host.run(["sh", "-c", "rm /run/rollcall/filler; mount -o remount,size=64m /run/rollcall"]).success();
        if mode == Mode::Replica {
            until(PATIENCE, || {
                assert_right(&mut probe);
                host.table_word(header::ALIVE_UNTIL)
            })
            .unwrap_or_else(|| panic!("no table\n{}", host.log().join("\n")));
        }
        assert_right(&mut probe);
        probe.end();
        host.daemon().stop();
    }

    /// It becomes full while the table grows in it.
    fn a_run_that_becomes_full_changes_no_answer(mode: Mode) {
        let crowd = (0..2000).map(|n| harness::User::new(&format!("u{n}")).uid(11_000 + n));
        let mut host = mode.start(Host::new().directory(people().people(crowd)));
        host.daemon().stop();
        host.run(["sh", "-c", "rm -rf /run/rollcall/*; rm -f /var/cache/rollcall/table; \
            mount -t tmpfs -o size=160k,mode=755 tmpfs /run/rollcall && chown rollcall /run/rollcall"]).success();
        host.daemon().start();
        let host = install(host);
        let mut probe = Running::start(&host);
        assert_right(&mut probe);
        for n in (0..2000).step_by(7) {
            let answer = probe.ask(&format!("user u{n}"));
            assert!(answer.starts_with(&format!("u{n}:{}:", 11_000 + n)), "{answer}");
        }
        assert_right(&mut probe);
        probe.end();
    }
}

#[test]
fn a_table_in_the_place_of_a_daemons_by_another_user_is_refused() {
    let mut host = host(Mode::Replica);
    host.daemon().kill();
    host.run(["rm", "-f", SEALED]).success();
    // Somebody else's table, in a folder that is the daemon's.
    host.run(["chown", "4242:4242", TABLE]).success();
    let mut probe = Running::start(&host);
    assert_eq!(probe.ask("user alice"), UNAVAILABLE);
    probe.end();
    // The same by root's hand is believed.
    host.run(["chown", "root:root", TABLE]).success();
    let mut probe = Running::start(&host);
    assert_eq!(probe.ask("user alice"), ALICE);
    probe.end();
}

#[test]
fn a_damaged_sealed_copy_is_no_answer_and_no_harm() {
    let mut host = host(Mode::Replica);
    host.daemon().stop();
    host.directory().stop();
    host.run(["rm", "-rf", "/run/rollcall"]).success();
    let path = host.path(SEALED);
    let good = fs::read(&path).expect("it was sealed");
    let mut random = File::open("/dev/urandom").expect("there is noise");
    for round in 0..20 {
        let mut bad = good.clone();
        // Noise behind the header, then shorter files, then noise everywhere.
        let from = if round < 15 { 4096 } else { 0 };
        random.read_exact(&mut bad[from..]).expect("there is noise");
        if round % 3 == 1 {
            bad.truncate(bad.len() / (round + 2));
        }
        File::options()
            .write(true)
            .truncate(true)
            .open(&path)
            .expect("it is ours")
            .write_all(&bad)
            .expect("there is room");
        let mut probe = Running::start(&host);
        for question in ["user alice", "uid 10001", "group crew", "gid 20002", "user nobody-here"] {
            assert_eq!(probe.ask(question), UNAVAILABLE, "round {round}: {question}");
        }
        probe.end();
        // The daemon survives it as well.
        host.daemon().start();
        let mut probe = Running::start(&host);
        assert_eq!(probe.ask("user alice"), UNAVAILABLE);
        probe.end();
        host.daemon().kill();
        host.run(["rm", "-rf", "/run/rollcall"]).success();
    }
    fs::write(&path, good).expect("it is ours");
    let mut probe = Running::start(&host);
    assert_eq!(probe.ask("user alice"), ALICE);
    probe.end();
}

//! Right answers under fire: every answer is a state that existed, whatever is being
//! changed, replaced and killed.

#[macro_use]
mod modes;
mod probe;
mod watchers;

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use common::table::layout::header;
use harness::{Host, PATIENCE, until};
use modes::Mode;
use probe::install;
use watchers::{TableWriter, Watchers, change_all, go_on, spread, watched};

const READERS: usize = 16;
const ACCOUNTS: u64 = 40;
/// For how long there is fire.
const FIRE: Duration = Duration::from_secs(12);
/// How often the daemon is killed in `make test`, and by `make test-long`.
const KILLS: u64 = 100;
const MANY_KILLS: u64 = 1000;
/// The daemon's load, polls and publications lie within this time after its start.
const LIFE: Duration = Duration::from_millis(400);

/// How strictly a process sees no version older than one that it has seen. On demand name
/// and id are asked for on their own, and of two searches that are under way at the
/// same time one may see what the other doesn't yet.
fn what_to_watch(mode: Mode) -> String {
    let scope = if mode == Mode::Replica { "each" } else { "key" };
    format!("{scope} {ACCOUNTS}")
}

modes! { caching:
    fn every_answer_is_a_state_that_existed_while_everything_is_being_changed(mode: Mode) {
        let mut host = install(mode.start(Host::new().directory(watched(ACCOUNTS))));
        let watchers = Watchers::start(&host, READERS, &what_to_watch(mode));
        let (stop, made) = (AtomicBool::new(false), AtomicU64::new(0));
        let changes = host.directory().changes();
        thread::scope(|scope| {
            scope.spawn(|| change_all(changes, ACCOUNTS, &stop, &made));
            go_on(FIRE);
            stop.store(true, Ordering::Relaxed);
        });
        let seen = watchers.finish();
        let made = made.load(Ordering::Relaxed);
        println!("{mode:?}: {} changes a second, {seen:?}", made / FIRE.as_secs());
        assert_eq!(seen.unavailable, 0);
        assert!(seen.versions > 2 * ACCOUNTS, "they saw too few changes of {made}: {seen:?}");
    }
}

/// A host without a daemon, where the table's writer is a process of ours.
fn bare_host() -> Host {
    let host = install(Host::new().without_daemon().whole_configuration("").start());
    host.install(Path::new(env!("CARGO_BIN_EXE_table_writer")), "/usr/bin/table-writer");
    host.run(["install", "-d", "-o", "root", "/run/rollcall"]).success();
    host
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    u64::try_from(since.as_millis()).expect("a number")
}

#[test]
fn thousands_of_publications_a_second_are_each_seen_whole_or_not_at_all() {
    let host = bare_host();
    let writer = TableWriter::start(&host, 5, now_ms());
    let watchers = Watchers::start(&host, READERS, "together 5");
    go_on(FIRE);
    let seen = watchers.finish();
    println!("{} {seen:?}", writer.finish().trim_end());
    assert_eq!(seen.unavailable, 0);
    assert!(seen.versions > 10, "{seen:?}");
}

#[test]
fn a_writer_that_is_killed_1000_times_leaves_nothing_torn() {
    let host = bare_host();
    let zero = now_ms();
    let mut writer = TableWriter::start(&host, 5, zero);
    let mut watchers = Watchers::start(&host, 4, "together 5");
    for n in 0..1000 {
        go_on(spread(n, Duration::from_millis(20)));
        writer.kill(&host);
        writer = TableWriter::start(&host, 5, zero);
        assert!(n % 50 != 0 || !watchers.one_has_ended(), "{:?}", watchers.finish());
    }
    let seen = watchers.finish();
    println!("{seen:?}");
    writer.finish();
    assert_eq!(seen.unavailable, 0);
    assert!(seen.versions > 100, "{seen:?}");
}

/// Kills the daemon so often, at times that spread over its load, its polls and its
/// publications, while the directory changes.
fn kill_the_daemon(mode: Mode, times: u64) {
    let mut host = install(mode.start(Host::new().directory(watched(ACCOUNTS))));
    // Once everything has been asked for, on demand as well.
    let all: Vec<_> = (0..ACCOUNTS)
        .flat_map(|n| {
            [
                format!("user w{n}"),
                format!("uid {}", 12_000 + n),
                format!("group g{n}"),
                format!("gid {}", 22_000 + n),
            ]
        })
        .chain(["groups mover".to_owned()])
        .collect();
    host.run(["/usr/bin/probe".to_owned()].into_iter().chain(all)).success();
    // A daemon that is loading asks the directory for each answer, and may publish
    // afterwards what it has read before: older by a poll at most.
    let mut watchers = Watchers::start(&host, 4, &format!("state {ACCOUNTS}"));
    let (stop, count) = (AtomicBool::new(false), AtomicU64::new(0));
    let changes = host.directory().changes();
    let start = Instant::now();
    thread::scope(|scope| {
        scope.spawn(|| change_all(changes, ACCOUNTS, &stop, &count));
        for n in 0..times {
            go_on(spread(n, LIFE));
            host.daemon().kill();
            host.daemon().start();
            if watchers.one_has_ended() {
                break;
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
    let took = start.elapsed();
    let before = host.table_word(header::CHANGE);
    let seen = watchers.finish();
    println!("{mode:?}: {times} kills in {took:?}, {} changes, {seen:?}", count.into_inner());
    assert!(seen.versions > ACCOUNTS, "{seen:?}");
    // It is well again, without any help.
    until(PATIENCE, || (host.table_word(header::CHANGE) != before).then_some(())).or_else(|| {
        // Nothing may be left to change.
        host.run(["getent", "passwd", "w0"]).success();
        Some(())
    });
    host.run(["getent", "passwd", "w0"]).success();
}

modes! { caching:
    fn a_daemon_that_is_killed_at_any_moment_leaves_right_answers(mode: Mode) {
        kill_the_daemon(mode, KILLS);
    }
}

#[test]
#[ignore = "takes minutes: make test-long"]
fn a_daemon_that_is_killed_1000_times_leaves_right_answers() {
    kill_the_daemon(Mode::Replica, MANY_KILLS);
}

//! Tables that come and go under a process's hands.

use std::cell::Cell;
use std::fs::{self, OpenOptions};
use std::path::PathBuf;

use tempfile::TempDir;

use super::*;
use crate::account::{AbsolutePath, Field, Gid, Name, Uid, User};
use crate::table::layout::FURTHEST_PROMISE;
use crate::table::writer::{Fact, Heartbeat, Room, Writer};
use crate::table::{Answer, Key, NEVER};

/// A host's folder for tables, and a process's view of it.
struct Place {
    folder: TempDir,
    shared: &'static Shared,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| -> &'static str {
            Box::leak(folder.path().join(name).to_str().unwrap().to_owned().into_boxed_str())
        };
        let shared = Box::leak(Box::new(Shared::new(path("table"), path("sealed"))));
        Self { folder, shared }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("table")
    }

    /// Puts a table in place, with one user of this uid.
    fn publish(&self, uid: u32) -> Writer {
        let mut writer = Writer::create(&self.path(), Room::default()).unwrap();
        let user = User {
            name: Name::parse("alice").unwrap(),
            uid: Uid::new(uid).unwrap(),
            gid: Gid::new(100).unwrap(),
            gecos: Field::cleaned(""),
            home: AbsolutePath::parse("/").unwrap(),
            shell: AbsolutePath::parse("/bin/sh").unwrap(),
        };
        let mut change = writer.change();
        change.put(Fact::User(&user, None), &[Key::UserName(b"alice")], NEVER).unwrap();
        change.commit().unwrap();
        // Not the furthest: whoever has just read the clock may be a second behind.
        beat(&mut writer, FURTHEST_PROMISE / 2);
        writer.publish().unwrap();
        writer
    }

    /// The same, and the file has so many bytes. A writer leaves no room for nothing.
    fn publish_long(&self, uid: u32, bytes: u64) -> Writer {
        let writer = self.publish(uid);
        self.let_its_owner_write();
        let file = OpenOptions::new().write(true).open(self.path()).unwrap();
        assert!(file.metadata().unwrap().len() <= bytes);
        file.set_len(bytes).unwrap();
        writer
    }

    /// Where this runs without root, the file is its owner's all the same.
    fn let_its_owner_write(&self) {
        let mut mode = fs::metadata(self.path()).unwrap().permissions();
        std::os::unix::fs::PermissionsExt::set_mode(&mut mode, 0o644);
        fs::set_permissions(self.path(), mode).unwrap();
    }

    /// The mappings of this process that are of this folder.
    fn maps(&self) -> usize {
        let maps = fs::read_to_string("/proc/self/maps").unwrap();
        maps.lines().filter(|line| line.contains(self.folder.path().to_str().unwrap())).count()
    }

    /// The uid of the one user, from a fresh table.
    fn fresh(&self) -> Option<u32> {
        self.shared.with_fresh(uid).flatten()
    }
}

/// A heartbeat that lasts this long.
fn beat(writer: &mut Writer, seconds: u32) {
    let Now(now) = Now::read();
    let heard = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let alive_until = Now(now + seconds);
    writer.beat(Heartbeat { alive_until, complete_until: alive_until, heard, max_stale: 3600 });
}

/// The uid of the one user.
fn uid(view: View<'_>) -> Option<u32> {
    match view.user_by_name(b"alice") {
        Answer::Found(user) => Some(user.uid),
        _ => None,
    }
}

/// Waits until the length of a file is due to be looked at again.
fn next_moment() {
    let before = Now::with_moment().1;
    while Now::with_moment().1 == before {
        std::thread::yield_now();
    }
}

#[test]
fn without_a_table_there_is_nothing_to_read() {
    let place = Place::new();
    assert_eq!(place.fresh(), None);
    assert_eq!(place.shared.glance(uid), None);
    assert_eq!(place.shared.of_any_age(uid), None);
}

#[test]
fn a_table_is_mapped_once_and_no_descriptor_stays() {
    let place = Place::new();
    let _writer = place.publish(2000);
    let before = place.maps();
    assert_eq!((place.fresh(), place.fresh()), (Some(2000), Some(2000)));
    assert_eq!(place.maps(), before + 1);
    let of_table = |link: &PathBuf| *link == place.path();
    let open = fs::read_dir("/proc/self/fd").unwrap().flatten();
    let open = open.filter_map(|fd| fs::read_link(fd.path()).ok()).filter(of_table).count();
    // The writer may have one.
    assert!(open <= 1, "{open}");
}

#[test]
fn a_table_that_appears_later_is_found() {
    let place = Place::new();
    assert_eq!(place.fresh(), None);
    let _writer = place.publish(2000);
    assert_eq!(place.fresh(), Some(2000));
}

#[test]
fn a_replaced_file_is_let_go_of() {
    let place = Place::new();
    for round in 0..10 {
        let mut writer = place.publish(2000 + round);
        assert_eq!(place.fresh(), Some(2000 + round));
        writer.retire();
        drop(writer);
        assert_eq!(place.maps(), 1, "{round}");
    }
}

#[test]
fn a_removed_file_is_let_go_of_when_its_daemon_is_silent() {
    let place = Place::new();
    let mut writer = place.publish(2000);
    assert_eq!(place.fresh(), Some(2000));
    fs::remove_file(place.path()).unwrap();
    assert_eq!(place.fresh(), Some(2000), "as long as it is fresh it is right");
    writer.retire();
    drop(writer);
    assert_eq!(place.fresh(), None);
    assert_eq!(place.maps(), 0);
}

#[test]
fn a_file_that_cannot_be_used_takes_no_table_s_place_for_long() {
    let place = Place::new();
    place.publish(2000).retire();
    assert_eq!(place.fresh(), None);
    fs::write(place.path(), [7; 8192]).unwrap();
    assert_eq!(place.fresh(), None);
    assert_eq!(place.maps(), 0);
    fs::remove_file(place.path()).unwrap();
    let _writer = place.publish(2001);
    assert_eq!(place.fresh(), Some(2001));
}

#[test]
fn a_table_that_outgrows_its_range_gets_another_one() {
    let place = Place::new();
    for (uid, bits) in (2000..).zip([17, 20, 18, 24, 21]) {
        let mut writer = place.publish_long(uid, 1 << bits);
        assert_eq!(place.fresh(), Some(uid));
        let live = place.shared.place(place.shared.swaps.load(Ordering::Relaxed)).load().unwrap();
        assert!(live.bytes() >= 1 << bits, "{bits}");
        writer.retire();
    }
    let reserved = range::RESERVED.get();
    for uid in 2010..2020 {
        let mut writer = place.publish_long(uid, 1 << 18);
        assert_eq!(place.fresh(), Some(uid));
        writer.retire();
    }
    assert_eq!(range::RESERVED.get(), reserved, "they fit into those that there are");
}

#[test]
fn a_file_that_cannot_be_mapped_costs_no_addresses() {
    // A file of root's, of a page, that the kernel maps for nobody.
    let path = "/sys/kernel/uevent_seqnum";
    if map::open(Path::new(path)).is_err() {
        eprintln!("not checked: there is no {path}");
        return;
    }
    let shared = Box::leak(Box::new(Shared::new(path, "/nowhere")));
    let reserved = range::RESERVED.get();
    for _ in 0..3 {
        shared.failed.store(0, Ordering::Relaxed);
        assert_eq!(shared.with_fresh(uid), None);
        assert_ne!(shared.failed.load(Ordering::Relaxed), 0, "the second is remembered");
    }
    assert_eq!(range::RESERVED.get(), reserved);
}

#[test]
fn a_process_has_looked_whatever_the_moment_is() {
    let place = Place::new();
    let _writer = place.publish(2000);
    assert_eq!(place.fresh(), Some(2000));
    // Half of all numbers lie behind any other one.
    for away in [1, 1 << 30, 1 << 31, 3 << 30, u32::MAX] {
        let looked = Now::with_moment().1.0.wrapping_add(away).wrapping_add(1 << 20);
        place.shared.looked.store(looked, Ordering::Relaxed);
        assert_eq!(place.shared.glance(uid), None, "{away}");
    }
}

#[test]
fn a_table_that_became_zeros_is_mapped_again() {
    let place = Place::new();
    let _writer = place.publish(2000);
    assert_eq!(place.fresh(), Some(2000));
    // As a child with our memory does that takes over from a living thread.
    let live = place.shared.place(place.shared.swaps.load(Ordering::Relaxed)).load().unwrap();
    live.clear().unwrap();
    assert_eq!(place.fresh(), Some(2000));
}

#[test]
fn a_file_that_was_cut_while_the_daemon_was_asked_is_not_read() {
    let place = Place::new();
    let writer = place.publish(2000);
    assert_eq!(place.fresh(), Some(2000));
    place.let_its_owner_write();
    OpenOptions::new().write(true).open(place.path()).unwrap().set_len(0).unwrap();
    next_moment();
    assert_eq!(place.shared.of_any_age(uid), None);
    // The writer would not survive another look at it.
    std::mem::forget(writer);
}

#[test]
fn what_was_read_during_an_exchange_is_read_again() {
    let place = Place::new();
    let mut first = place.publish(2000);
    assert_eq!(place.fresh(), Some(2000));
    let writer = Cell::new(None);
    let mut calls = 0;
    let read = place.shared.with_fresh(|view| {
        calls += 1;
        if calls == 1 {
            // A second exchange would use the range that this view is of.
            for uid in [2001, 2002] {
                first.retire();
                let next = place.publish(uid);
                assert_eq!(place.fresh(), Some(uid));
                drop(writer.replace(Some(std::mem::replace(&mut first, next))));
            }
        }
        uid(view)
    });
    assert_eq!((read, calls), (Some(Some(2002)), 2));
}

#[test]
fn a_lookup_that_meets_some_new_files_in_a_row_finds_the_last_one() {
    const IN_A_ROW: u32 = 5;
    let place = Place::new();
    let mut writer = place.publish(2000);
    let lookups = AtomicU32::new(0);
    std::thread::scope(|scope| {
        let files = scope.spawn(|| {
            for _ in 0..200 {
                for uid in 2000..2000 + IN_A_ROW {
                    let mut old = std::mem::replace(&mut writer, place.publish(uid));
                    old.retire();
                }
                // No lookup meets more of them than these.
                let before = lookups.load(Ordering::Acquire);
                while lookups.load(Ordering::Acquire) == before {
                    std::thread::yield_now();
                }
            }
        });
        let mut missed = 0;
        while !files.is_finished() {
            missed += u32::from(place.fresh().is_none());
            missed += u32::from(place.shared.complete().is_none());
            lookups.fetch_add(1, Ordering::Release);
        }
        assert_eq!(missed, 0);
    });
}

#[test]
fn a_lookup_within_an_exchange_neither_waits_nor_fails() {
    let place = Place::new();
    let _writer = place.publish(2000);
    // As a signal handler, or another thread, finds it.
    place.shared.swapper.store(std::process::id(), Ordering::Relaxed);
    assert_eq!(place.fresh(), None);
    assert_eq!(place.shared.of_any_age(uid), Some(Some(2000)));
}

#[test]
fn what_a_fork_left_in_the_middle_is_taken_over() {
    let place = Place::new();
    let mut first = place.publish(2000);
    assert_eq!(place.fresh(), Some(2000));
    let _second = place.publish(2001);
    first.retire();
    drop(first);
    // The other process had mapped the new file, and had not yet said so.
    let (file, identity) = map::open(&place.path()).unwrap();
    let range = Range::reserve(identity.bytes).unwrap();
    place.shared.place(place.shared.swaps.load(Ordering::Relaxed) + 1).store(Some(range));
    range.map(&file, identity.bytes).unwrap();
    place.shared.swapper.store(u32::MAX, Ordering::Relaxed);
    assert_eq!(place.maps(), 3, "the live one, the one that was left, and the writer's");
    assert_eq!(place.fresh(), Some(2001));
    assert_eq!(place.maps(), 2, "nothing of the other process is left");
    assert_eq!(place.shared.swapper.load(Ordering::Relaxed), 0);
}

#[test]
fn a_file_that_is_cut_short_is_noticed_in_the_next_moment() {
    let place = Place::new();
    let writer = place.publish(2000);
    assert_eq!(place.fresh(), Some(2000));
    place.let_its_owner_write();
    let copy = fs::read(place.path()).unwrap();
    OpenOptions::new().write(true).open(place.path()).unwrap().set_len(0).unwrap();
    next_moment();
    assert_eq!(place.shared.glance(uid), None);
    assert_eq!(place.fresh(), None);
    assert_eq!(place.shared.of_any_age(uid), None);
    // What is written there again counts again.
    fs::write(place.path(), copy).unwrap();
    assert_eq!(place.fresh(), Some(2000));
    // The writer has it mapped as well, and would not survive another look at it.
    std::mem::forget(writer);
}

#[test]
fn a_table_without_a_daemon_answers_at_any_age_but_is_not_fresh() {
    let place = Place::new();
    let mut writer = place.publish(2000);
    beat(&mut writer, 0);
    assert_eq!(place.fresh(), None);
    assert_eq!(place.shared.of_any_age(uid), Some(Some(2000)));
}

#[test]
fn the_sealed_copy_answers_where_there_is_no_live_file() {
    let place = Place::new();
    let mut writer = place.publish(2000);
    writer.seal(&place.folder.path().join("sealed")).unwrap();
    assert_eq!(place.fresh(), Some(2000));
    fs::remove_file(place.path()).unwrap();
    writer.retire();
    assert_eq!(place.fresh(), None);
    assert_eq!(place.shared.of_any_age(uid), Some(Some(2000)));
}

#[test]
fn an_enumeration_has_the_table_only_where_it_is_complete() {
    let place = Place::new();
    assert!(place.shared.complete().is_none());
    let mut writer = place.publish(2000);
    assert!(place.shared.complete().is_some());
    let alive_until = Now(Now::read().0 + FURTHEST_PROMISE);
    let heartbeat = Heartbeat { alive_until, complete_until: Now(0), heard: 1, max_stale: 1 };
    writer.beat(heartbeat);
    assert!(place.shared.complete().is_none());
}

//! Readers in other threads than the writer's see whole changes, in their order.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread;

use super::super::Table;
use super::super::writer::Memory;
use super::*;

const VERSIONS: u32 = if cfg!(miri) { 20 } else { 3000 };
const READERS: usize = if cfg!(miri) { 2 } else { 3 };

/// In version `v`, alice has the id 2000 + v, the group staff has the id 3000 + v, odd
/// or even is there, and nobody else changes.
fn write(writer: &mut Writer, version: u32) {
    let alice = user("alice", 2000 + version);
    let staff = group("staff", 3000 + version, &["alice"]);
    let [here, gone] = if version.is_multiple_of(2) { ["even", "odd"] } else { ["odd", "even"] };
    let here = user(here, 500);
    let mut change = writer.change();
    change.remove(Key::Uid(2000 + version - 1)).unwrap();
    change.remove(Key::Gid(3000 + version - 1)).unwrap();
    change.remove(Key::UserName(gone.as_bytes())).unwrap();
    let groups = gids(&[3000 + version]);
    change.put(Fact::User(&alice, Some(&groups)), &keys(&alice), NEVER).unwrap();
    // Changes its mind now and then.
    change.put(Fact::Absent, &[Key::UserName(b"even")], NEVER).unwrap();
    change.remove(Key::UserName(b"even")).unwrap();
    change.put(Fact::User(&here, None), &keys(&here), NEVER).unwrap();
    change.put(Fact::Group(&staff), &group_keys(&staff), NEVER).unwrap();
    if version.is_multiple_of(7) {
        drop(change);
        return write_again(writer, version);
    }
    change.commit().unwrap();
}

fn write_again(writer: &mut Writer, version: u32) {
    let mut change = writer.change();
    change.put(Fact::Absent, &[Key::UserName(b"alice"), Key::Gid(1)], NEVER).unwrap();
    drop(change);
    let alice = user("alice", 2000 + version);
    let staff = group("staff", 3000 + version, &["alice"]);
    let [here, gone] = if version.is_multiple_of(2) { ["even", "odd"] } else { ["odd", "even"] };
    let here = user(here, 500);
    let mut change = writer.change();
    let groups = gids(&[3000 + version]);
    change.put(Fact::Group(&staff), &group_keys(&staff), NEVER).unwrap();
    change.put(Fact::User(&here, None), &keys(&here), NEVER).unwrap();
    change.remove(Key::UserName(gone.as_bytes())).unwrap();
    change.remove(Key::Gid(3000 + version - 1)).unwrap();
    change.remove(Key::Uid(2000 + version - 1)).unwrap();
    change.put(Fact::User(&alice, Some(&groups)), &keys(&alice), NEVER).unwrap();
    change.commit().unwrap();
}

/// The version of alice.
fn version(view: &View<'_>) -> u32 {
    let Answer::Found(alice) = view.user_by_name(b"alice") else { panic!("alice is gone") };
    alice.uid - 2000
}

/// Looks once; gives the newest version that was seen.
fn look(view: &View<'_>, least: u32) -> u32 {
    let first = version(view);
    assert!(first >= least, "{first} after {least}");
    match view.user_by_id(2000 + first) {
        Answer::Found(alice) => assert_eq!(alice.uid, 2000 + first),
        // Then it is another one by now.
        missing => {
            assert!(matches!(missing, Answer::NotFound));
            assert!(version(view) > first);
        }
    }
    let Answer::Found(staff) = view.group_by_name(b"staff") else { panic!("staff is gone") };
    assert!(staff.gid - 3000 >= first, "half of a change");
    let Answer::Found(groups) = view.groups_of(b"alice") else { panic!("no groups") };
    let group = groups.iter().next().unwrap();
    assert!(group >= staff.gid, "half of a change");
    let steady = view.user_by_name(b"steady");
    let Answer::Found(steady) = steady else { panic!("steady is gone") };
    assert_eq!(steady.to_user().unwrap(), user("steady", 1));
    assert!(matches!(view.user_by_id(500), Answer::Found(_)));
    assert!(matches!(view.user_by_name(b"nobody-else"), Answer::NotFound));
    let newest = group - 3000;
    // The one that is gone may come back only with a later version.
    let gone = if newest.is_multiple_of(2) { b"odd".as_slice() } else { b"even" };
    if !matches!(view.user_by_name(gone), Answer::NotFound) {
        assert!(version(view) > newest);
    }
    newest
}

#[test]
fn readers_see_whole_changes_in_their_order() {
    let mut writer = published();
    put(&mut writer, &user("steady", 1), None);
    write(&mut writer, 1);
    let current: Mutex<Arc<Memory>> = Mutex::new(writer.memory());
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..READERS {
            scope.spawn(|| {
                let mut least = 1;
                let mut rounds = 0;
                while !done.load(Relaxed) || rounds == 0 {
                    let memory = Arc::clone(&current.lock().unwrap());
                    let table = Table::new(memory.words()).unwrap();
                    while let Some(view) = table.fresh(NOW) {
                        least = look(&view, least);
                        rounds += 1;
                        if done.load(Relaxed) {
                            break;
                        }
                    }
                    thread::yield_now();
                }
                assert!(least > 0);
            });
        }
        for version in 2..=VERSIONS {
            write(&mut writer, version);
            let memory = writer.memory();
            let mut current = current.lock().unwrap();
            if !Arc::ptr_eq(&current, &memory) {
                *current = memory;
            }
        }
        done.store(true, Relaxed);
    });
    assert_eq!(version(&fresh(&writer)), VERSIONS);
}

/// Somebody whose groups move between the user's record and a record of their own
/// has groups at every moment, so nobody may be told that there are none.
#[test]
fn groups_that_move_between_records_are_never_missing() {
    let mut writer = published();
    let mover = user("mover", 7);
    let groups = gids(&[3000]);
    let turn = |writer: &mut Writer, inside: bool| {
        let mut change = writer.change();
        if inside {
            change.put(Fact::User(&mover, Some(&groups)), &keys(&mover), NEVER).unwrap();
            change.put(Fact::Absent, &[Key::GidsOf(b"mover")], NEVER).unwrap();
        } else {
            change.put(Fact::User(&mover, None), &keys(&mover), NEVER).unwrap();
            change.put(Fact::Gids(&groups), &[Key::GidsOf(b"mover")], NEVER).unwrap();
        }
        change.commit().unwrap();
    };
    turn(&mut writer, false);
    let current: Mutex<Arc<Memory>> = Mutex::new(writer.memory());
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..READERS {
            scope.spawn(|| {
                while !done.load(Relaxed) {
                    let memory = Arc::clone(&current.lock().unwrap());
                    let table = Table::new(memory.words()).unwrap();
                    while let Some(view) = table.fresh(NOW)
                        && !done.load(Relaxed)
                    {
                        let answer = view.groups_of(b"mover");
                        if matches!(answer, Answer::NotFound) {
                            done.store(true, Relaxed);
                            panic!("half of a change");
                        }
                    }
                    thread::yield_now();
                }
            });
        }
        for version in 0..if cfg!(miri) { 20 } else { 50_000 } {
            turn(&mut writer, version % 2 == 0);
            let memory = writer.memory();
            let mut current = current.lock().unwrap();
            if !Arc::ptr_eq(&current, &memory) {
                *current = memory;
            }
        }
        done.store(true, Relaxed);
    });
}

//! Files that no writer has made.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use proptest::prelude::*;

use super::super::layout::{MAGIC, VERSION, header, pair};
use super::super::{GroupRecord, Table, UserRecord};
use super::*;

/// Reads all that can be read, in every way.
pub(super) fn read_everything(words: &[AtomicU64]) {
    let Some(table) = Table::new(words) else { return };
    table.entries(|_, found, _| match found {
        Found::User(user) => read_user(&user),
        Found::Group(group) => read_group(&group),
        Found::Gids(gids) => gids.iter().for_each(check_id),
        Found::Absent => {}
    });
    let views = [table.fresh(NOW), table.of_any_age(1), table.timeless()];
    for view in views.into_iter().flatten() {
        for (name, id) in [(&b"alice"[..], 1000), (b"staff", 50), (b"", 0), (&[7; 300], 65534)] {
            for found in [view.user_by_name(name), view.user_by_id(id)] {
                if let Answer::Found(user) = found {
                    read_user(&user);
                }
            }
            for found in [view.group_by_name(name), view.group_by_id(id)] {
                if let Answer::Found(group) = found {
                    read_group(&group);
                }
            }
            if let Answer::Found(gids) = view.groups_of(name) {
                gids.iter().for_each(check_id);
            }
        }
        let mut slot = 0;
        while let Some((user, next)) = view.next_user(slot) {
            read_user(&user);
            slot = next;
        }
        slot = 0;
        while let Some((group, next)) = view.next_group(slot) {
            read_group(&group);
            slot = next;
        }
    }
}

fn check_id(id: u32) {
    assert!(Gid::new(id).is_ok(), "a reserved id came out: {id}");
}

fn read_user(user: &UserRecord<'_>) {
    check_id(user.uid);
    check_id(user.gid);
    if let Ok(text) = text(user.text_bytes(), |to| user.copy_text(to)) {
        for start in user.starts().into_iter().chain([0, user.lengths[0] + 1]) {
            assert!(text[start..].contains(&0), "a string without its end");
        }
    }
    let _ = user.to_user();
    user.gids().into_iter().flat_map(|gids| gids.iter()).for_each(check_id);
}

fn read_group(group: &GroupRecord<'_>) {
    check_id(group.gid);
    if let Ok(text) = text(group.text_bytes(), |to| group.copy_text(to)) {
        for start in [0, group.name_length + 1] {
            assert!(text[start..].contains(&0), "a string without its end");
        }
        assert_eq!(text.last(), Some(&0));
    }
    let _ = (group.to_group(), group.member_lengths());
}

fn atomic(words: &[u64]) -> Vec<AtomicU64> {
    words.iter().map(|word| (*word).into()).collect()
}

/// A table with something of every kind.
fn sample() -> Vec<u64> {
    let mut writer = published();
    let alice = user("alice", 1000);
    let staff = group("staff", 50, &["alice", "bob"]);
    let mut change = writer.change();
    let names = [Key::UserName(b"al"), Key::UserName(b"alice"), Key::Uid(1000)];
    change.put(Fact::User(&alice, Some(&gids(&[5, 6, 7]))), &names, NEVER).unwrap();
    change.put(Fact::Group(&staff), &group_keys(&staff), NEVER).unwrap();
    change.put(Fact::Gids(&gids(&[1, 2])), &[Key::GidsOf(b"")], NEVER).unwrap();
    change.put(Fact::Absent, &[Key::UserName(b"x"), Key::Gid(7)], NEVER).unwrap();
    change.commit().unwrap();
    // Links are a part of what is there.
    let mut change = writer.change();
    change.remove(Key::UserName(b"alice")).unwrap();
    change.put(Fact::Absent, &[Key::Uid(9)], NEVER).unwrap();
    std::mem::forget(change);
    let mut words = words(&writer);
    words.truncate(usize::try_from(words[header::USED]).unwrap() + 30);
    words[header::WORDS] = words.len() as u64;
    words
}

#[test]
fn a_file_of_another_version_or_kind_or_length_is_no_table() {
    let good = sample();
    assert!(Table::new(&atomic(&good)).is_some());
    for (at, word) in [
        (header::MAGIC, MAGIC.swap_bytes()),
        (header::VERSION, VERSION + 1),
        (header::WORDS, good.len() as u64 + 1),
        (header::INDEX, 0),
        (header::INDEX, u64::MAX),
        (header::SLOTS, 0),
        (header::SLOTS, 1 << 30),
        (header::SLOTS, 1 << 63),
    ] {
        let mut bad = good.clone();
        bad[at] = word;
        assert!(Table::new(&atomic(&bad)).is_none(), "{at} {word:x}");
    }
    for length in 0..600 {
        assert!(Table::new(&atomic(&good[..length])).is_none());
    }
}

#[test]
fn a_table_that_leads_only_to_itself_is_read_to_an_end() {
    let mut words = sample();
    // Links to links, aliases of aliases, everywhere.
    let heap = u64::try_from(words.len() - 25).unwrap();
    for (tag, slot) in (0..).zip(&mut words[512..640]) {
        *slot = (heap << 32) | (tag % 8);
    }
    for kind in [4, 6] {
        let at = words.len() - 25;
        words[at..at + 3].copy_from_slice(&[kind, heap, heap << 32 | heap]);
        read_everything(&atomic(&words));
    }
}

#[test]
fn nobody_becomes_root_by_a_file() {
    let good = sample();
    let ids = good.iter().position(|word| *word == pair(1000, 100)).unwrap();
    for word in [pair(0, 100), pair(1000, 0), pair(1000, 65534), pair(u32::MAX, 100)] {
        let mut bad = good.clone();
        bad[ids] = word;
        let words = atomic(&bad);
        let view = Table::new(&words).unwrap().fresh(NOW).unwrap();
        assert_eq!(answer(&view, Key::UserName(b"alice")), Answer::Unknown);
        read_everything(&words);
    }
}

fn cases() -> ProptestConfig {
    ProptestConfig {
        cases: if cfg!(miri) { 1 } else { 256 },
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

/// A word as one that knows the layout would choose it.
fn nasty() -> impl Strategy<Value = u64> {
    let half = prop_oneof![
        0u32..8,
        500u32..760,
        any::<u32>(),
        Just(u32::MAX),
        (0u32..7, any::<u16>(), any::<u8>()).prop_map(|(kind, detail, name)| {
            kind | u32::from(detail) << 16 | u32::from(name & 7) << 8
        }),
    ];
    (half.clone(), half).prop_map(|(low, high)| u64::from(low) | u64::from(high) << 32)
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn noise_is_read_without_harm(bytes in prop::collection::vec(any::<u64>(), 0..700)) {
        read_everything(&atomic(&bytes));
        let mut words = bytes;
        words.resize(700, 0);
        words[..6].copy_from_slice(&[MAGIC, VERSION, 700, 5, 512, 64]);
        words[header::ALIVE_UNTIL] = 2000;
        words[header::HEARD] = 1;
        read_everything(&atomic(&words));
    }

    #[test]
    fn a_damaged_table_is_read_without_harm(
        damage in prop::collection::vec((any::<prop::sample::Index>(), nasty()), 1..40),
    ) {
        let mut words = sample();
        for (at, word) in damage {
            let at = at.index(words.len());
            words[at] = word;
        }
        for (at, good) in [(header::MAGIC, MAGIC), (header::VERSION, VERSION)] {
            words[at] = good;
        }
        read_everything(&atomic(&words));
    }

    #[test]
    fn a_torn_table_is_read_without_harm(length in 512usize..800, at in 0usize..800) {
        let mut words = sample();
        words.truncate(length);
        words[header::WORDS] = words.len() as u64;
        read_everything(&atomic(&words));
        let words = atomic(&words);
        words.iter().skip(at).for_each(|word| word.store(0, Relaxed));
        read_everything(&words);
    }
}

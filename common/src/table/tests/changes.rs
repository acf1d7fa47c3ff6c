//! Changes: what they change, and when.

use super::super::layout::header;
use super::*;

/// Asks for all of these.
fn all(writer: &Writer, keys: &[Key<'_>]) -> Vec<Answer<Value>> {
    keys.iter().map(|key| answer(&fresh(writer), *key)).collect()
}

#[test]
fn a_renamed_user_is_found_under_the_new_name_only() {
    let mut writer = published();
    put(&mut writer, &user("alice", 1000), None);
    let alicia = user("alicia", 1000);
    let mut change = writer.change();
    change.remove(Key::UserName(b"alice")).unwrap();
    change.put(Fact::User(&alicia, None), &keys(&alicia), NEVER).unwrap();
    assert!(change.commit().unwrap());
    let found = Answer::Found(Value::User(alicia, None));
    let keys = [Key::UserName(b"alice"), Key::UserName(b"alicia"), Key::Uid(1000)];
    assert_eq!(all(&writer, &keys), [Answer::NotFound, found.clone(), found]);
    assert_eq!(writer.stats().users, 1);
}

#[test]
fn a_user_with_another_uid_is_gone_under_the_old_one() {
    let mut writer = published();
    put(&mut writer, &user("alice", 1000), None);
    let alice = user("alice", 1001);
    let mut change = writer.change();
    change.remove(Key::Uid(1000)).unwrap();
    change.put(Fact::User(&alice, None), &keys(&alice), NEVER).unwrap();
    change.commit().unwrap();
    let found = Answer::Found(Value::User(alice, None));
    let keys = [Key::UserName(b"alice"), Key::Uid(1001), Key::Uid(1000)];
    assert_eq!(all(&writer, &keys), [found.clone(), found, Answer::NotFound]);
}

#[test]
fn a_removed_user_is_gone_under_every_key() {
    let mut writer = published();
    let alice = user("alice", 1000);
    let names = [Key::UserName(b"alice"), Key::UserName(b"al"), Key::Uid(1000)];
    let mut change = writer.change();
    change.put(Fact::User(&alice, None), &names, NEVER).unwrap();
    change.commit().unwrap();
    let mut change = writer.change();
    for key in names {
        change.remove(key).unwrap();
    }
    assert!(change.commit().unwrap());
    assert_eq!(all(&writer, &names), [Answer::NotFound, Answer::NotFound, Answer::NotFound]);
    assert!(fresh(&writer).next_user(0).is_none());
    let stats = writer.stats();
    assert_eq!((stats.users, stats.keys), (0, 0));
}

#[test]
fn a_change_is_seen_by_its_maker_only_until_it_is_published() {
    let mut writer = published();
    let memory = writer.memory();
    let readers = super::super::Table::new(memory.words()).unwrap();
    put(&mut writer, &user("alice", 1000), None);
    let alicia = user("alice", 1001);
    let mut change = writer.change();
    change.put(Fact::User(&alicia, None), &keys(&alicia), NEVER).unwrap();
    change.remove(Key::Uid(1000)).unwrap();
    assert!(matches!(change.get(Key::UserName(b"alice")), Some(Found::User(u)) if u.uid == 1001));
    assert!(change.get(Key::Uid(1000)).is_none());
    let view = readers.fresh(NOW).unwrap();
    assert!(matches!(view.user_by_name(b"alice"), Answer::Found(u) if u.uid == 1000));
    assert!(matches!(view.user_by_id(1000), Answer::Found(_)));
    assert_eq!(answer(&view, Key::Uid(1001)), Answer::NotFound);
    change.commit().unwrap();
    assert!(matches!(view.user_by_name(b"alice"), Answer::Found(u) if u.uid == 1001));
    assert_eq!(answer(&view, Key::Uid(1000)), Answer::NotFound);
}

#[test]
fn a_dropped_change_never_happened() {
    for is_published in [false, true] {
        let mut writer = Writer::in_memory(Room::default()).unwrap();
        if is_published {
            writer.publish().unwrap();
        }
        writer.beat(beating(NOW.0 + 5));
        let alice = user("alice", 1000);
        put(&mut writer, &alice, None);
        let (before, index) = (writer.stats(), words(&writer));
        let mut change = writer.change();
        let other = user("alice", 1001);
        change.put(Fact::User(&other, None), &keys(&other), NEVER).unwrap();
        change.remove(Key::UserName(b"alice")).unwrap();
        change.put(Fact::User(&alice, None), &keys(&alice), 5).unwrap();
        change.put(Fact::Absent, &[Key::Gid(5)], NEVER).unwrap();
        drop(change);
        let after = words(&writer);
        // The heap has more dead words at most.
        let heap = 512 + usize::try_from(index[header::SLOTS]).unwrap();
        assert_eq!(after[512..heap], index[512..heap]);
        assert_eq!(after[header::CHANGE], index[header::CHANGE]);
        let used = usize::try_from(index[header::USED]).unwrap();
        assert_eq!(after[heap..used], index[heap..used]);
        let now = writer.stats();
        assert_eq!((now.users, now.keys), (before.users, before.keys));
        let found = Answer::Found(Value::User(alice, None));
        let keys = [Key::UserName(b"alice"), Key::Uid(1000), Key::Uid(1001)];
        assert_eq!(all(&writer, &keys), [found.clone(), found, Answer::NotFound]);
    }
}

/// A reader may have been stopped with the link of a change that was dropped in hand.
/// The number of that change is published later.
#[test]
fn the_link_of_a_dropped_change_leads_to_the_old_side_for_ever() {
    let mut writer = published();
    put(&mut writer, &user("alice", 1000), None);
    let slot = |words: &[u64]| {
        words[512..].iter().position(|w| *w != 0 && w.trailing_zeros() >= 3).unwrap()
    };
    let at = slot(&words(&writer)) + 512;
    let mut change = writer.change();
    change.remove(Key::UserName(b"alice")).unwrap();
    let link = change_word(&change, at);
    drop(change);
    put(&mut writer, &user("bob", 1001), None);
    let memory = writer.memory();
    // As if the reader had read the slot before.
    memory.words()[at].store(link, std::sync::atomic::Ordering::Relaxed);
    assert!(matches!(fresh(&writer).user_by_name(b"alice"), Answer::Found(_)));
}

fn change_word(change: &super::super::writer::Change<'_>, at: usize) -> u64 {
    change.memory().words()[at].load(std::sync::atomic::Ordering::Relaxed)
}

#[test]
fn a_change_that_was_forgotten_never_happened_either() {
    let mut writer = published();
    put(&mut writer, &user("alice", 1000), None);
    let mut change = writer.change();
    change.remove(Key::UserName(b"alice")).unwrap();
    std::mem::forget(change);
    put(&mut writer, &user("bob", 1001), None);
    assert!(matches!(fresh(&writer).user_by_name(b"alice"), Answer::Found(_)));
}

#[test]
fn an_unchanged_fact_writes_nothing() {
    let mut writer = published();
    let alice = user("alice", 1000);
    let staff = group("staff", 50, &["alice", "bob"]);
    let fill = |writer: &mut Writer| {
        let mut change = writer.change();
        let names = [Key::UserName(b"al"), Key::UserName(b"alice"), Key::Uid(1000)];
        change.put(Fact::User(&alice, Some(&gids(&[5, 6]))), &names, NEVER).unwrap();
        change.put(Fact::Group(&staff), &group_keys(&staff), NEVER).unwrap();
        change.put(Fact::Absent, &[Key::UserName(b"bob"), Key::Uid(9)], 2000).unwrap();
        change.put(Fact::Gids(&gids(&[1])), &[Key::GidsOf(b"bob")], 2000).unwrap();
        change.commit().unwrap()
    };
    assert!(fill(&mut writer));
    let before = words(&writer);
    assert!(!fill(&mut writer));
    assert_eq!(words(&writer), before);
    assert!(!writer.change().commit().unwrap());
    assert_eq!(words(&writer), before);
}

#[test]
fn a_fact_that_was_heard_of_again_writes_its_time_only() {
    let mut writer = published();
    let alice = user("alice", 1000);
    let mut change = writer.change();
    change.put(Fact::User(&alice, None), &keys(&alice), 1010).unwrap();
    change.commit().unwrap();
    let before = words(&writer);
    let mut change = writer.change();
    change.put(Fact::User(&alice, None), &keys(&alice), 1020).unwrap();
    assert!(!change.commit().unwrap());
    let after = words(&writer);
    let changed: Vec<usize> = (0..after.len()).filter(|at| after[*at] != before[*at]).collect();
    assert_eq!(changed.len(), 1);
    assert_eq!(after[changed[0]] >> 32, 1020);
}

#[test]
fn one_record_serves_name_and_id_even_if_they_are_put_one_by_one() {
    let mut writer = published();
    let alice = user("alice", 1000);
    put(&mut writer, &alice, None);
    let both = writer.stats().free;
    let mut writer = published();
    for key in keys(&alice) {
        let mut change = writer.change();
        change.put(Fact::User(&alice, None), &[key], NEVER).unwrap();
        change.commit().unwrap();
    }
    assert_eq!(writer.stats().free, both);
}

#[test]
fn the_later_of_two_puts_counts() {
    let mut writer = published();
    let [first, second] = [user("alice", 1000), user("alice", 1001)];
    let name = [Key::UserName(b"alice")];
    let mut change = writer.change();
    change.put(Fact::User(&first, None), &name, NEVER).unwrap();
    change.put(Fact::Absent, &name, NEVER).unwrap();
    change.remove(name[0]).unwrap();
    change.put(Fact::User(&second, None), &name, NEVER).unwrap();
    change.commit().unwrap();
    assert!(matches!(fresh(&writer).user_by_name(b"alice"), Answer::Found(u) if u.uid == 1001));
    assert_eq!(writer.stats().keys, 1);
}

#[test]
fn a_key_that_is_put_and_removed_is_nothing_to_publish() {
    let mut writer = published();
    let before = writer.stats().keys;
    let mut change = writer.change();
    change.put(Fact::Absent, &[Key::Uid(5)], NEVER).unwrap();
    change.remove(Key::Uid(5)).unwrap();
    assert!(!change.commit().unwrap());
    assert_eq!(writer.stats().keys, before);
}

#[test]
fn a_key_that_cannot_lead_to_a_fact_is_refused() {
    let mut writer = published();
    let alice = user("alice", 1000);
    let mut change = writer.change();
    for key in [Key::Uid(1001), Key::GroupName(b"alice"), Key::Gid(1000), Key::GidsOf(b"alice")] {
        let keys = [Key::UserName(b"alice"), key];
        assert!(change.put(Fact::User(&alice, None), &keys, NEVER).is_err(), "{key:?}");
    }
    let long = [b'x'; 256];
    assert!(change.put(Fact::Absent, &[Key::UserName(&long)], NEVER).is_err());
    assert!(!change.commit().unwrap());
}

#[test]
fn slots_of_keys_that_are_gone_are_used_again() {
    let mut writer = published();
    let bytes = writer.stats().bytes;
    for number in 0..if cfg!(miri) { 20 } else { 1000 } {
        let mut change = writer.change();
        change.put(Fact::Absent, &[Key::Uid(number)], NEVER).unwrap();
        change.commit().unwrap();
        let mut change = writer.change();
        change.remove(Key::Uid(number)).unwrap();
        change.commit().unwrap();
    }
    assert_eq!(writer.stats().keys, 0);
    assert!(writer.stats().bytes <= bytes * 2);
}

#[test]
fn a_table_grows_in_the_middle_of_a_change() {
    for is_published in [false, true] {
        let mut writer = Writer::in_memory(Room::default()).unwrap();
        writer.beat(beating(NOW.0 + 5));
        if is_published {
            writer.publish().unwrap();
        }
        let count = if cfg!(miri) { 150 } else { 2000 };
        let alice = user("alice", 1000);
        put(&mut writer, &alice, None);
        let small = writer.stats().bytes;
        for commit in [false, true] {
            let old = writer.memory();
            let mut change = writer.change();
            change.remove(Key::Uid(1000)).unwrap();
            for number in 0..count {
                let someone = user(&format!("user{number}"), 2000 + number);
                change.put(Fact::User(&someone, None), &keys(&someone), NEVER).unwrap();
            }
            assert!(change.get(Key::Uid(1000)).is_none());
            let before = super::super::Table::new(old.words()).unwrap();
            if is_published {
                let view = before.fresh(NOW).unwrap();
                assert!(matches!(view.user_by_id(1000), Answer::Found(_)));
                assert_eq!(answer(&view, Key::Uid(2000)), Answer::NotFound);
            }
            if !commit {
                drop(change);
                assert_eq!(writer.stats().bytes, small);
                assert!(matches!(fresh(&writer).user_by_id(1000), Answer::Found(_)));
                assert_eq!(writer.stats().users, 1);
                continue;
            }
            assert!(change.commit().unwrap());
            assert!(before.fresh(NOW).is_none(), "the old table lives on");
            assert_eq!(writer.stats().users, count as usize + 1);
            for number in 0..count {
                let found = fresh(&writer).user_by_id(2000 + number);
                assert!(matches!(found, Answer::Found(user) if user.uid == 2000 + number));
            }
            assert_eq!(answer(&fresh(&writer), Key::Uid(1000)), Answer::NotFound);
            assert!(matches!(fresh(&writer).user_by_name(b"alice"), Answer::Found(_)));
        }
    }
}

#[test]
fn a_table_that_is_changed_for_ever_does_not_grow_for_ever() {
    let mut writer = published();
    let mut largest = 0;
    for version in 0..if cfg!(miri) { 50 } else { 2000 } {
        put(&mut writer, &user("alice", 1000 + version % 2), Some(&gids(&[version + 1])));
        largest = largest.max(writer.stats().bytes);
    }
    assert!(largest < 128 * 1024, "{largest}");
}

#[test]
fn expired_absences_are_left_behind_when_a_table_is_rebuilt() {
    let now = Now::read().0;
    let mut writer = published();
    let mut change = writer.change();
    change.put(Fact::Absent, &[Key::Uid(1), Key::Uid(2)], now).unwrap();
    change.put(Fact::Absent, &[Key::Uid(3)], now + 1000).unwrap();
    change.commit().unwrap();
    let mut change = writer.change();
    // Heard of again in the very change.
    change.put(Fact::Absent, &[Key::Uid(2)], now + 1000).unwrap();
    for number in 0..150 {
        change.put(Fact::Absent, &[Key::Gid(number)], NEVER).unwrap();
    }
    change.commit().unwrap();
    assert_eq!(writer.stats().keys, 152);
    assert!(writer.table().timeless().unwrap().look(Key::Uid(1)).is_none());
}

#[test]
fn a_table_is_complete_after_a_rebuild_only_if_nothing_but_absences_was_left_out() {
    let mut writer = published();
    put(&mut writer, &user("alice", 1000), None);
    let mut change = writer.change();
    change.put(Fact::Absent, &[Key::UserName(b"bob")], NEVER).unwrap();
    change.commit().unwrap();
    writer.rebuild(|_, found, _| !matches!(found, Found::Absent)).unwrap();
    assert!(fresh(&writer).is_complete());
    writer.rebuild(|key, _, _| key != Key::Uid(1000)).unwrap();
    assert!(!fresh(&writer).is_complete());
}

#[test]
fn a_rebuilt_table_has_what_was_to_be_kept() {
    let mut writer = published();
    let [alice, bob] = [user("alice", 1000), user("bob", 1001)];
    let mut change = writer.change();
    let names = [Key::UserName(b"al"), Key::Uid(1000), Key::UserName(b"alice")];
    change.put(Fact::User(&alice, Some(&gids(&[5]))), &names, NEVER).unwrap();
    change.put(Fact::User(&bob, None), &keys(&bob), 2000).unwrap();
    change.commit().unwrap();
    let old = writer.memory();
    writer.rebuild(|_, _, expires| expires > 2000).unwrap();
    let found = Answer::Found(Value::User(alice, Some(vec![5])));
    assert_eq!(all(&writer, &names), [found.clone(), found.clone(), found]);
    assert_eq!(all(&writer, &keys(&bob)), [Answer::Unknown, Answer::Unknown]);
    assert!(super::super::Table::new(old.words()).unwrap().fresh(NOW).is_none());
}

#[test]
fn all_keys_of_a_table_can_be_listed() {
    let mut writer = published();
    let alice = user("alice", 1000);
    let staff = group("staff", 50, &["alice"]);
    let names = [Key::UserName(b"al"), Key::UserName(b"alice"), Key::Uid(1000)];
    let mut change = writer.change();
    change.put(Fact::User(&alice, None), &names, 7).unwrap();
    change.put(Fact::Group(&staff), &group_keys(&staff), NEVER).unwrap();
    change.put(Fact::Gids(&gids(&[1])), &[Key::GidsOf(b"bob")], NEVER).unwrap();
    change.put(Fact::Absent, &[Key::UserName(b"x"), Key::Gid(7)], NEVER).unwrap();
    change.commit().unwrap();
    let mut copy = published();
    let mut change = copy.change();
    writer.table().entries(|key, found, expires| match Value::from(found) {
        Value::User(user, None) => change.put(Fact::User(&user, None), &[key], expires).unwrap(),
        Value::User(_, Some(_)) => panic!("groups from nowhere"),
        Value::Group(group) => change.put(Fact::Group(&group), &[key], expires).unwrap(),
        Value::Gids(ids) => change.put(Fact::Gids(&gids(&ids)), &[key], expires).unwrap(),
        Value::Absent => change.put(Fact::Absent, &[key], expires).unwrap(),
    });
    change.commit().unwrap();
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    writer
        .table()
        .entries(|key, found, at| ours.push(format!("{key:?} {:?} {at}", Value::from(found))));
    copy.table()
        .entries(|key, found, at| theirs.push(format!("{key:?} {:?} {at}", Value::from(found))));
    ours.sort();
    theirs.sort();
    assert_eq!(ours.len(), 8);
    assert_eq!(ours, theirs);
}

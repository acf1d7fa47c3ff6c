//! Each kind of record, and each way to an answer.

use super::*;
use crate::table::layout::FURTHEST_PROMISE;

#[test]
fn a_user_is_found_by_name_and_id() {
    let mut writer = published();
    let alice = user("alice", 1000);
    assert!(put(&mut writer, &alice, Some(&gids(&[7, 5, 7]))));
    for key in keys(&alice) {
        let found = Value::User(alice.clone(), Some(vec![5, 7]));
        assert_eq!(answer(&fresh(&writer), key), Answer::Found(found));
    }
}

#[test]
fn a_users_text_is_what_passwd_wants() {
    let mut writer = published();
    put(&mut writer, &user("alice", 1000), None);
    let Answer::Found(found) = fresh(&writer).user_by_name(b"alice") else { panic!() };
    let copied = text(found.text_bytes(), |to| found.copy_text(to)).unwrap();
    assert_eq!(copied, b"alice\0x\0Gecos, of 12\0/home/alice\0/bin/bash\0");
    let [gecos, home, shell] = found.starts();
    assert!(copied[gecos..].starts_with(b"Gecos"));
    assert!(copied[home..].starts_with(b"/home"));
    assert!(copied[shell..].starts_with(b"/bin"));
}

#[test]
fn texts_of_every_length_come_back_as_they_were() {
    let mut writer = published();
    for length in 1..20 {
        let mut someone = user(&"n".repeat(length), 1000);
        someone.gecos = Field::cleaned(&"g".repeat(length % 3));
        put(&mut writer, &someone, None);
        let Answer::Found(found) = fresh(&writer).user_by_id(1000) else { panic!() };
        assert_eq!(found.to_user().unwrap(), someone);
    }
}

#[test]
fn a_group_is_found_by_name_and_id() {
    let mut writer = published();
    for members in [&[][..], &["alice"], &["alice", "bob", "c", "d", "e", "f", "g", "h", "ij"]] {
        let staff = group("staff", 50, members);
        let mut change = writer.change();
        change.put(Fact::Group(&staff), &group_keys(&staff), NEVER).unwrap();
        change.commit().unwrap();
        for key in group_keys(&staff) {
            let found = Answer::Found(Value::Group(staff.clone()));
            assert_eq!(answer(&fresh(&writer), key), found);
        }
    }
}

#[test]
fn a_groups_text_is_what_group_wants() {
    let mut writer = published();
    let staff = group("staff", 50, &["alice", "bo"]);
    let mut change = writer.change();
    change.put(Fact::Group(&staff), &group_keys(&staff), NEVER).unwrap();
    change.commit().unwrap();
    let Answer::Found(found) = fresh(&writer).group_by_id(50) else { panic!() };
    let copied = text(found.text_bytes(), |to| found.copy_text(to)).unwrap();
    assert_eq!(copied, b"staff\0*\0alice\0bo\0");
    let lengths = found.member_lengths().unwrap();
    assert_eq!(lengths.len(), 1);
    let lengths = lengths[0].load(std::sync::atomic::Ordering::Relaxed).to_le_bytes();
    assert_eq!(lengths, [5, 2, 0, 0, 0, 0, 0, 0]);
}

#[test]
fn the_groups_of_a_user_lie_with_the_user() {
    let mut writer = published();
    put(&mut writer, &user("alice", 1000), Some(&gids(&[3, 1, 2])));
    put(&mut writer, &user("bob", 1001), Some(&[]));
    let found = Answer::Found(Value::Gids(vec![1, 2, 3]));
    assert_eq!(answer(&fresh(&writer), Key::GidsOf(b"alice")), found);
    assert_eq!(answer(&fresh(&writer), Key::GidsOf(b"bob")), Answer::NotFound);
}

#[test]
fn the_groups_of_somebody_else_are_found_as_well() {
    let mut writer = published();
    let mut change = writer.change();
    change.put(Fact::Gids(&gids(&[9, 8])), &[Key::GidsOf(b"local")], NEVER).unwrap();
    change.commit().unwrap();
    let found = Answer::Found(Value::Gids(vec![8, 9]));
    assert_eq!(answer(&fresh(&writer), Key::GidsOf(b"local")), found);
    assert_eq!(answer(&fresh(&writer), Key::UserName(b"local")), Answer::NotFound);
}

#[test]
fn every_name_of_a_user_finds_the_same_record() {
    let mut writer = published();
    let alice = user("alice", 1000);
    let names = [Key::UserName(b"al"), Key::UserName(b"alice"), Key::UserName(b"ALICE")];
    let mut change = writer.change();
    change.put(Fact::User(&alice, Some(&gids(&[5]))), &names, NEVER).unwrap();
    change.commit().unwrap();
    for key in names {
        let found = Value::User(alice.clone(), Some(vec![5]));
        assert_eq!(answer(&fresh(&writer), key), Answer::Found(found));
    }
    // The groups of another name aren't those of the main one.
    assert_eq!(answer(&fresh(&writer), Key::GidsOf(b"al")), Answer::NotFound);
    // An enumeration has the user once.
    let (_, next) = fresh(&writer).next_user(0).unwrap();
    assert!(fresh(&writer).next_user(next).is_none());
    assert_eq!(writer.stats().users, 1);
}

#[test]
fn what_is_not_there_is_not_found_only_in_a_complete_table() {
    let mut writer = published();
    put(&mut writer, &user("alice", 1000), None);
    let ask = |writer: &Writer| answer(&fresh(writer), Key::UserName(b"bob"));
    assert_eq!(ask(&writer), Answer::NotFound);
    writer.beat(Heartbeat { complete_until: Now(0), ..beating(NOW.0 + 5) });
    assert_eq!(ask(&writer), Answer::Unknown);
    writer.beat(Heartbeat { complete_until: NOW, ..beating(NOW.0 + 5) });
    assert_eq!(ask(&writer), Answer::Unknown);
}

#[test]
fn an_absence_says_not_found_for_its_time() {
    let mut writer = published();
    let all =
        [Key::UserName(b"x"), Key::Uid(7), Key::GroupName(b"x"), Key::Gid(7), Key::GidsOf(b"x")];
    let mut change = writer.change();
    change.put(Fact::Absent, &all, NOW.0 + 1).unwrap();
    change.commit().unwrap();
    writer.beat(Heartbeat { complete_until: Now(0), ..beating(NOW.0 + 5) });
    for key in all {
        let ask = |now| answer(&writer.table().fresh(now).unwrap(), key);
        assert_eq!(ask(NOW), Answer::NotFound, "{key:?}");
        assert_eq!(ask(Now(NOW.0 + 1)), Answer::Unknown, "{key:?}");
        // Of any age it would be an outage that looks like "no such entry".
        let aged = writer.table().of_any_age(1).unwrap();
        assert_eq!(answer(&aged, key), Answer::Unknown, "{key:?}");
    }
    for key in [Key::Uid(8), Key::UserName(b"y")] {
        assert_eq!(answer(&fresh(&writer), key), Answer::Unknown);
    }
}

#[test]
fn what_has_expired_is_unknown_to_a_fresh_table_and_found_in_an_aged_one() {
    let mut writer = published();
    let alice = user("alice", 1000);
    let names = [Key::UserName(b"alice"), Key::UserName(b"al"), Key::Uid(1000)];
    let mut change = writer.change();
    change.put(Fact::User(&alice, None), &names, NOW.0).unwrap();
    change.commit().unwrap();
    for key in names {
        assert_eq!(answer(&fresh(&writer), key), Answer::Unknown);
        let aged = writer.table().of_any_age(1).unwrap();
        assert!(matches!(answer(&aged, key), Answer::Found(_)));
        assert!(matches!(aged.look(key), Some((Found::User(_), 1000))));
    }
}

#[test]
fn a_table_is_fresh_until_its_heart_stops() {
    let mut writer = published();
    assert!(writer.table().fresh(NOW).is_some());
    assert!(writer.table().fresh(Now(NOW.0 + 5)).is_none());
    writer.retire();
    assert!(writer.table().fresh(NOW).is_none());
    writer.beat(beating(NOW.0 + 5));
    assert!(writer.table().fresh(NOW).is_none(), "a retired table lives again");
}

#[test]
fn an_aged_table_counts_for_a_while() {
    let mut writer = published();
    writer.beat(Heartbeat { heard: 10_000, max_stale: 100, ..beating(0) });
    assert!(writer.table().of_any_age(10_100).is_some());
    assert!(writer.table().of_any_age(10_101).is_none());
    assert!(writer.table().of_any_age(0).is_some(), "a clock that was set back");
    writer.beat(Heartbeat { heard: 0, ..beating(0) });
    assert!(writer.table().of_any_age(0).is_none(), "the directory was never heard of");
}

#[test]
fn users_and_groups_are_enumerated_without_what_else_there_is() {
    let mut writer = published();
    let mut change = writer.change();
    let users: Vec<User> = (0..20).map(|n| user(&format!("u{n}"), 2000 + n)).collect();
    for user in &users {
        change.put(Fact::User(user, None), &keys(user), NEVER).unwrap();
    }
    let staff = group("staff", 50, &["alice"]);
    change.put(Fact::Group(&staff), &group_keys(&staff), NEVER).unwrap();
    change.put(Fact::User(&users[0], None), &[Key::UserName(b"zero")], NEVER).unwrap();
    change.put(Fact::Absent, &[Key::UserName(b"nobody-here")], NEVER).unwrap();
    change.put(Fact::Gids(&gids(&[50])), &[Key::GidsOf(b"alice")], NEVER).unwrap();
    change.commit().unwrap();
    let view = fresh(&writer);
    let mut found = Vec::new();
    let mut slot = 0;
    while let Some((user, next)) = view.next_user(slot) {
        found.push(user.uid);
        slot = next;
    }
    found.sort_unstable();
    assert_eq!(found, (2000..2020).collect::<Vec<_>>());
    let (found, next) = view.next_group(0).unwrap();
    assert_eq!(found.gid, 50);
    assert!(view.next_group(next).is_none());
    let stats = writer.stats();
    assert_eq!((stats.users, stats.groups, stats.keys), (20, 1, 45));
}

#[test]
fn a_promise_from_another_clock_is_not_believed() {
    let mut writer = published();
    for (ahead, fresh) in [(FURTHEST_PROMISE, true), (FURTHEST_PROMISE + 1, false), (9999, false)] {
        writer.beat(beating(NOW.0 + ahead));
        assert_eq!(writer.table().fresh(NOW).is_some(), fresh, "{ahead}");
    }
}

#[test]
fn of_any_age_nobody_is_told_to_be_in_no_group() {
    let mut writer = published();
    put(&mut writer, &user("alice", 1000), Some(&[]));
    assert!(matches!(fresh(&writer).groups_of(b"alice"), Answer::NotFound));
    let view = writer.table().of_any_age(1).unwrap();
    assert!(matches!(view.groups_of(b"alice"), Answer::Unknown));
}

#[test]
fn a_view_of_a_table_that_is_no_longer_complete_knows_of_no_absence() {
    let mut writer = published();
    let memory = writer.memory();
    let view = super::super::Table::new(memory.words()).unwrap().fresh(NOW).unwrap();
    assert!(matches!(view.user_by_name(b"bob"), Answer::NotFound));
    writer.beat(Heartbeat { complete_until: Now(0), ..beating(NOW.0 + 5) });
    assert!(matches!(view.user_by_name(b"bob"), Answer::Unknown));
}

/// Where in the table each user's name is, in the order of an enumeration.
fn places(writer: &Writer) -> Vec<usize> {
    let words = words(writer).into_iter().flat_map(u64::to_le_bytes).collect::<Vec<_>>();
    let (view, mut slot, mut places) = (fresh(writer), 0, Vec::new());
    while let Some((user, next)) = view.next_user(slot) {
        let name = format!("{}\0x\0", user.to_user().unwrap().name);
        let at = words.windows(name.len()).position(|bytes| bytes == name.as_bytes());
        places.push(at.unwrap());
        slot = next;
    }
    places
}

/// How often the next one lies before the one before.
fn falls(places: &[usize]) -> usize {
    places.windows(2).filter(|pair| pair[0] > pair[1]).count()
}

#[test]
fn an_enumeration_walks_through_memory_from_one_end_to_the_other() {
    let mut writer = Writer::in_memory(Room { keys: 400, words: 4000 }).unwrap();
    writer.publish().unwrap();
    writer.beat(beating(NOW.0 + 5));
    let mut change = writer.change();
    let mut users: Vec<User> =
        (0..200).map(|uid| user(&format!("user{uid}"), 1000 + uid)).collect();
    users.sort_by_cached_key(|user| change.order_of(keys(user)[0]));
    for user in &users {
        change.put(Fact::User(user, None), &keys(user), NEVER).unwrap();
    }
    change.commit().unwrap();
    // But for those that another key has displaced, and once around the end.
    let filled = falls(&places(&writer));
    assert!(filled <= 200 / 4, "{filled}");
    assert!(writer.rebuild(|_, _, _| true).is_ok());
    writer.beat(beating(NOW.0 + 5));
    let rebuilt = falls(&places(&writer));
    assert!(rebuilt <= 200 / 4, "{rebuilt}");
}

//! What a table has after some answers.

use std::path::Path;
use std::time::Duration;

use super::*;
use crate::daemon::cache::age::{LONG_AGO, OUTDATED};
use crate::daemon::replica::Population;
use crate::daemon::table::Files;
use common::account::{AbsolutePath, Field, Gid, Group, Name, Uid, User};
use common::config::CacheMode;
use common::protocol::Flush;
use common::table::writer::Room;

fn keeper() -> Keeper {
    let mut keeper =
        Keeper::new(Files::beside(Path::new("/nonexistent/socket"), Path::new("/nonexistent")));
    keeper.cache = Some(CacheConfig {
        mode: CacheMode::OnDemand,
        max_replica: 0,
        push: true,
        refresh: Duration::from_secs(30),
        lifetime: Duration::from_secs(60),
        negative_lifetime: Duration::from_secs(10),
        max_entries: 100,
        max_stale: Duration::from_secs(1000),
    });
    let mut writer = Writer::in_memory(Room::default()).unwrap();
    writer.publish().unwrap();
    keeper.writer = Some(writer);
    keeper
}

fn learn(keeper: &mut Keeper, asked: Asked, known: Known, started: u32) {
    let epoch = keeper.epoch();
    keeper.learn(&Lesson { asked, known, started: Now(started), epoch });
}

fn get(keeper: &Keeper, asked: &Asked) -> Option<(Known, u32)> {
    Known::look(&keeper.writer.as_ref()?.table().timeless()?, asked)
}

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn group(members: &[&str]) -> Known {
    let members: Vec<Name> = members.iter().map(|member| name(member)).collect();
    let gid = Gid::new(3001).unwrap();
    Known::Group(Group { name: name("staff"), gid, members: members.iter().collect() })
}

fn staff() -> Asked {
    Asked::GroupByName(name("staff"))
}

fn gid() -> Asked {
    Asked::GroupById(Gid::new(3001).unwrap())
}

fn absent(number: usize) -> Asked {
    Asked::UserById(Uid::new(5000 + u32::try_from(number).unwrap()).unwrap())
}

fn count(keeper: &Keeper) -> (usize, usize) {
    let (mut found, mut absent) = (0, 0);
    keeper.writer.as_ref().unwrap().table().entries(|_, what, _| match what {
        Found::Absent => absent += 1,
        _ => found += 1,
    });
    (found, absent)
}

#[test]
fn an_answer_is_kept_for_its_lifetime() {
    let mut keeper = keeper();
    learn(&mut keeper, staff(), group(&["alice"]), 1000);
    learn(&mut keeper, absent(1), Known::Absent, 1000);
    assert_eq!(get(&keeper, &staff()), Some((group(&["alice"]), 1060)));
    assert_eq!(get(&keeper, &absent(1)), Some((Known::Absent, 1010)));
}

#[test]
fn a_daemon_that_is_killed_after_its_first_answer_leaves_a_table_to_believe() {
    let mut keeper = keeper();
    learn(&mut keeper, staff(), group(&["alice"]), 1000);
    let table = keeper.writer.as_ref().unwrap().table();
    assert!(table.of_any_age(wall()).is_some());
}

#[test]
fn an_answer_takes_with_it_what_it_contradicts() {
    let mut keeper = keeper();
    let of_alice = Asked::GroupsOf(name("alice"));
    learn(&mut keeper, staff(), group(&["alice"]), 1000);
    learn(&mut keeper, of_alice.clone(), Known::Gids(vec![Gid::new(3001).unwrap()]), 1000);
    learn(&mut keeper, gid(), group(&[]), 1001);
    assert_eq!(get(&keeper, &gid()).unwrap().0, group(&[]));
    assert_eq!((get(&keeper, &staff()), get(&keeper, &of_alice)), (None, None));
}

#[test]
fn of_two_searches_at_the_same_time_that_disagree_neither_is_kept() {
    let mut keeper = keeper();
    learn(&mut keeper, staff(), group(&["alice"]), 1001);
    learn(&mut keeper, gid(), group(&[]), 1000);
    assert_eq!(count(&keeper), (0, 0));
}

#[test]
fn what_was_asked_before_a_flush_is_not_kept_after_it() {
    let mut keeper = keeper();
    let epoch = keeper.epoch();
    keeper.forget_group(&name("staff"));
    let lesson = Lesson { asked: staff(), known: group(&[]), started: Now(1000), epoch };
    keeper.learn(&lesson);
    assert_eq!(get(&keeper, &staff()), None);
}

#[test]
fn a_name_that_does_not_exist_is_not_put_into_the_table() {
    let mut keeper = keeper();
    learn(&mut keeper, Asked::UserByName(name("hunter2")), Known::Absent, 1000);
    learn(&mut keeper, Asked::GroupByName(name("hunter2")), Known::Absent, 1000);
    assert_eq!(count(&keeper), (0, 0));
}

fn user(text: &str, uid: u32) -> Known {
    Known::User(User {
        name: name(text),
        uid: Uid::new(uid).unwrap(),
        gid: Gid::new(3001).unwrap(),
        gecos: Field::cleaned(""),
        home: AbsolutePath::parse("/").unwrap(),
        shell: AbsolutePath::parse("/bin/sh").unwrap(),
    })
}

#[test]
fn a_flushed_user_is_gone_under_every_id_that_the_user_had() {
    let mut keeper = keeper();
    let by_id = |uid| Asked::UserById(Uid::new(uid).unwrap());
    // Learned in another order than they came about, so that nothing contradicts.
    for (asked, known) in [
        (by_id(2001), user("alice", 2001)),
        (by_id(2002), user("alice", 2002)),
        (Asked::UserByName(name("alias")), user("alice", 2003)),
        (Asked::UserByName(name("bob")), user("bob", 2004)),
    ] {
        learn(&mut keeper, asked, known, 1000);
    }
    assert!(keeper.flush(&Flush::User(name("alice"))));
    assert_eq!(count(&keeper), (1, 0), "bob");
}

#[test]
fn what_has_changed_is_outdated_and_the_rest_is_not() {
    let mut keeper = keeper();
    let (alice, bob) = (Asked::UserByName(name("alice")), Asked::UserByName(name("bob")));
    learn(&mut keeper, alice.clone(), user("alice", 2001), 1000);
    learn(&mut keeper, bob.clone(), user("bob", 2004), 1000);
    keeper.doubt_users([name("alice")].into(), BTreeSet::new());
    assert_eq!(get(&keeper, &alice).unwrap().1, OUTDATED);
    assert_eq!(get(&keeper, &bob).unwrap().1, 1060);
}

/// What is learned while a server is asked where its history stands may have changed by then.
#[test]
fn what_was_learned_up_to_a_moment_is_doubted_and_later_answers_are_not() {
    let mut keeper = keeper();
    let (alice, bob) = (Asked::UserByName(name("alice")), Asked::UserByName(name("bob")));
    learn(&mut keeper, alice.clone(), user("alice", 2001), 1000);
    learn(&mut keeper, absent(1), Known::Absent, 1000);
    learn(&mut keeper, bob.clone(), user("bob", 2004), 1001);
    keeper.doubt_what_was_learned(Now(1000));
    assert_eq!(get(&keeper, &alice).unwrap().1, LONG_AGO);
    assert_eq!(get(&keeper, &absent(1)), None);
    assert_eq!(get(&keeper, &bob).unwrap().1, 1061);
    keeper.doubt_users([name("alice")].into(), BTreeSet::new());
    keeper.doubt_what_was_learned(Now(1000));
    assert_eq!(get(&keeper, &alice).unwrap().1, OUTDATED, "she is known to have changed");
}

#[test]
fn with_a_flushed_user_go_groups_that_may_list_the_user_by_now() {
    let mut keeper = keeper();
    learn(&mut keeper, staff(), group(&[]), 1000);
    assert!(keeper.flush(&Flush::User(name("alice"))));
    assert_eq!(count(&keeper), (0, 0));
}

#[test]
fn while_a_replica_keeps_the_table_a_flush_says_that_nothing_is_forgotten() {
    let mut keeper = keeper();
    learn(&mut keeper, staff(), group(&[]), 1000);
    keeper.population = Some(Population::default());
    assert!(!keeper.flush(&Flush::Group(name("staff"))));
    assert!(get(&keeper, &staff()).is_some());
}

#[test]
fn what_expired_longer_ago_than_it_could_count_makes_room_first() {
    let mut keeper = keeper();
    learn(&mut keeper, gid(), group(&[]), 1000);
    for number in 0..26 {
        learn(&mut keeper, absent(number), Known::Absent, 5000);
    }
    assert_eq!(get(&keeper, &gid()), None);
}

#[test]
fn a_flushed_group_is_gone_with_what_its_members_have() {
    let mut keeper = keeper();
    let (of_alice, of_bob) = (Asked::GroupsOf(name("alice")), Asked::GroupsOf(name("bob")));
    learn(&mut keeper, staff(), group(&["alice"]), 1000);
    learn(&mut keeper, of_alice, Known::Gids(vec![Gid::new(3001).unwrap()]), 1000);
    learn(&mut keeper, of_bob, Known::Gids(vec![Gid::new(3002).unwrap()]), 1000);
    keeper.forget_group(&name("staff"));
    // Who knows whether bob was added?
    assert_eq!(count(&keeper), (0, 0));
}

#[test]
fn nobody_fills_the_table_with_what_does_not_exist() {
    let mut keeper = keeper();
    learn(&mut keeper, staff(), group(&[]), 1);
    for number in 0..1000 {
        learn(&mut keeper, absent(number), Known::Absent, 1000);
        assert!(count(&keeper).1 <= 25, "a quarter of all");
    }
    assert!(get(&keeper, &staff()).is_some(), "older, but not pushed out");
}

#[test]
fn those_leave_first_whom_nobody_has_asked_for() {
    let mut keeper = keeper();
    for number in 0..101 {
        let asked = Asked::GroupsOf(name(&format!("u{number}")));
        learn(&mut keeper, asked, Known::Gids(vec![Gid::new(3001).unwrap()]), 1000 + number);
    }
    assert_eq!(count(&keeper).0, 90);
    assert_eq!(get(&keeper, &Asked::GroupsOf(name("u10"))), None);
    assert!(get(&keeper, &Asked::GroupsOf(name("u11"))).is_some());
}

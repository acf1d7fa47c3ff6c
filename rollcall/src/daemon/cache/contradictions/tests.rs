//! What goes with an answer.

use std::collections::HashMap;

use super::*;
use common::account::{AbsolutePath, Field, Uid};

/// What the table has.
#[derive(Default)]
struct Kept(HashMap<Asked, Known>, Names);

impl Kept {
    fn with(mut self, asked: Asked, known: Known) -> Self {
        self.1.note(&asked, &known);
        self.0.insert(asked, known);
        self
    }

    /// What goes when this is answered, in a fixed order.
    fn gone(&self, asked: &Asked, new: &Known) -> Vec<Asked> {
        contradicted(asked, new, &self.1, |key| self.0.get(key).cloned()).into_iter().collect()
    }
}

fn name(name: &str) -> Name {
    Name::parse(name).unwrap()
}

fn by_name(text: &str) -> Asked {
    Asked::UserByName(name(text))
}

fn by_id(uid: u32) -> Asked {
    Asked::UserById(Uid::new(uid).unwrap())
}

fn group_by_name(text: &str) -> Asked {
    Asked::GroupByName(name(text))
}

fn group_by_id(id: u32) -> Asked {
    Asked::GroupById(gid(id))
}

fn groups_of(text: &str) -> Asked {
    Asked::GroupsOf(name(text))
}

fn gid(gid: u32) -> Gid {
    Gid::new(gid).unwrap()
}

fn gids(list: &[u32]) -> Known {
    Known::Gids(list.iter().map(|id| gid(*id)).collect())
}

fn user(text: &str, uid: u32) -> Known {
    Known::User(User {
        name: name(text),
        uid: Uid::new(uid).unwrap(),
        gid: gid(3000),
        gecos: Field::default(),
        home: AbsolutePath::nonexistent(),
        shell: AbsolutePath::bin_sh(),
    })
}

fn group(text: &str, id: u32, members: &[&str]) -> Known {
    let members: Vec<Name> = members.iter().map(|member| name(member)).collect();
    Known::Group(Group { name: name(text), gid: gid(id), members: members.iter().collect() })
}

fn alice() -> Kept {
    Kept::default()
        .with(by_name("alice"), user("alice", 2000))
        .with(by_name("ally"), user("alice", 2000))
        .with(by_id(2000), user("alice", 2000))
        .with(groups_of("alice"), gids(&[3001]))
}

#[test]
fn an_unchanged_answer_contradicts_nothing() {
    assert!(alice().gone(&by_name("alice"), &user("alice", 2000)).is_empty());
    assert!(alice().gone(&groups_of("alice"), &gids(&[3001])).is_empty());
}

#[test]
fn a_removed_user_is_gone_under_every_key() {
    let gone = alice().gone(&by_id(2000), &Known::Absent);
    assert_eq!(gone, [by_name("alice"), by_name("ally"), groups_of("alice")]);
    let gone = alice().gone(&by_name("ally"), &Known::Absent);
    assert_eq!(gone, [by_name("alice"), by_id(2000), groups_of("alice")]);
}

#[test]
fn a_changed_user_is_gone_under_every_other_key() {
    let mut changed = user("alice", 2000);
    if let Known::User(user) = &mut changed {
        user.shell = AbsolutePath::nologin();
    }
    let gone = alice().gone(&by_name("alice"), &changed);
    assert_eq!(gone, [by_name("ally"), by_id(2000)]);
}

#[test]
fn a_renamed_user_is_gone_under_the_old_name() {
    let gone = alice().gone(&by_id(2000), &user("alicia", 2000));
    assert_eq!(gone, [by_name("alice"), by_name("ally"), groups_of("alice")]);
}

#[test]
fn a_changed_uid_is_gone_under_the_old_one_and_for_who_had_the_new_one() {
    let kept = alice().with(by_id(2001), user("bob", 2001)).with(by_name("bob"), user("bob", 2001));
    let gone = kept.gone(&by_name("alice"), &user("alice", 2001));
    let expected = [by_name("ally"), by_name("bob"), by_id(2000), by_id(2001), groups_of("bob")];
    assert_eq!(gone, expected);
}

#[test]
fn a_new_user_was_never_absent() {
    let kept = Kept::default()
        .with(by_id(2000), Known::Absent)
        .with(by_name("alice"), Known::Absent)
        .with(by_name("bob"), user("bob", 2001));
    assert_eq!(kept.gone(&by_id(2000), &user("alice", 2000)), [by_name("alice")]);
}

fn staff() -> Kept {
    Kept::default()
        .with(group_by_name("staff"), group("staff", 3001, &["alice", "bob"]))
        .with(group_by_id(3001), group("staff", 3001, &["alice", "bob"]))
        .with(groups_of("alice"), gids(&[3001]))
        .with(groups_of("bob"), gids(&[3001, 3002]))
        .with(groups_of("carol"), Known::Absent)
}

#[test]
fn a_removed_member_is_not_in_the_group_any_more() {
    let gone = staff().gone(&group_by_name("staff"), &group("staff", 3001, &["bob"]));
    assert_eq!(gone, [group_by_id(3001), groups_of("alice")]);
}

#[test]
fn a_new_member_is_in_the_group() {
    let gone = staff().gone(&group_by_id(3001), &group("staff", 3001, &["alice", "bob", "carol"]));
    assert_eq!(gone, [group_by_name("staff"), groups_of("carol")]);
}

#[test]
fn a_removed_group_has_no_members() {
    let gone = staff().gone(&group_by_name("staff"), &Known::Absent);
    assert_eq!(gone, [group_by_id(3001), groups_of("alice"), groups_of("bob")]);
}

#[test]
fn a_changed_list_of_groups_takes_the_groups_with_it() {
    let expected = [group_by_name("staff"), group_by_id(3001)];
    assert_eq!(staff().gone(&groups_of("alice"), &Known::Absent), expected);
    assert_eq!(staff().gone(&groups_of("carol"), &gids(&[3001])), expected);
}

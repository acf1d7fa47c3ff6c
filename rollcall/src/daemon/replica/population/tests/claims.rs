use common::table::writer::{Heartbeat, Writer};

use super::super::Balance;
use super::*;

#[test]
fn a_user_is_found_by_each_name_and_the_id_with_its_groups() {
    let kept = Kept::default()
        .user(0, &user(1, &["alice", "al"], 1001))
        .group(0, &group(2, &["staff"], 2002, &["alice"]))
        .group(0, &group(3, &["admin"], 2001, &["bob", "alice"]))
        .published();
    for key in ["user alice", "user al", "uid 1001"] {
        assert_eq!(kept.says(key), Some("alice 1001 [2001, 2002]"), "{key}");
    }
}

#[test]
fn a_renamed_user_is_gone_under_the_old_name() {
    let mut kept = Kept::default().user(0, &user(1, &["alice"], 1001)).published();
    kept = kept.user(0, &user(1, &["alicia"], 1001)).published();
    assert_eq!(kept.says("user alice"), None);
    assert_eq!(kept.says("user alicia"), Some("alicia 1001 []"));
    assert_eq!(kept.says("uid 1001"), Some("alicia 1001 []"));
}

#[test]
fn a_removed_user_is_gone_under_every_key() {
    let kept = Kept::default().user(0, &user(1, &["alice", "al"], 1001)).published();
    let kept = kept.only(Map::Users, 0, &[]).published();
    assert!(kept.said.facts.is_empty(), "{:?}", kept.said.facts);
}

#[test]
fn a_user_that_this_host_begins_to_reject_is_gone() {
    let kept = Kept::default().user(0, &user(1, &["alice"], 1001)).published();
    let kept = kept.user(0, &rejected(1)).published();
    assert!(kept.said.facts.is_empty(), "{:?}", kept.said.facts);
    assert_eq!(kept.population.entries(), 1, "but it still has an id");
    assert_eq!(kept.population.counts(), (0, 0));
}

#[test]
fn the_earlier_directory_has_a_name_and_the_later_one_gets_it_back() {
    let kept = Kept::default()
        .user(1, &user(1, &["alice"], 1001))
        .user(0, &user(9, &["alice"], 1009))
        .published();
    assert_eq!(kept.says("user alice"), Some("alice 1009 []"));
    assert_eq!(kept.says("uid 1001"), Some("alice 1001 []"), "by its id it is found all the same");
    let kept = kept.only(Map::Users, 0, &[]).published();
    assert_eq!(kept.says("user alice"), Some("alice 1001 []"));
    assert_eq!(kept.says("uid 1009"), None);
}

#[test]
fn of_two_users_with_one_id_the_smaller_name_has_it() {
    let kept = Kept::default()
        .user(0, &user(1, &["bob"], 1001))
        .user(0, &user(2, &["alice"], 1001))
        .published();
    assert_eq!(kept.says("uid 1001"), Some("alice 1001 []"));
    assert_eq!(kept.says("user bob"), Some("bob 1001 []"));
    let kept = kept.only(Map::Users, 0, &[1]).published();
    assert_eq!(kept.says("uid 1001"), Some("bob 1001 []"));
}

#[test]
fn of_two_users_with_one_name_it_is_always_the_same_one_that_has_it() {
    let (one, two) = (user(1, &["alice"], 1001), user(2, &["alice"], 1002));
    let kept = Kept::default().user(0, &two).user(0, &one).published();
    assert_eq!(kept.says("user alice"), Some("alice 1001 []"));
    let kept = Kept::default().user(0, &one).user(0, &two).published();
    assert_eq!(kept.says("user alice"), Some("alice 1001 []"));
}

#[test]
fn of_two_groups_with_one_id_the_smaller_name_has_it() {
    let kept = Kept::default()
        .group(0, &group(1, &["staff"], 2001, &[]))
        .group(0, &group(2, &["admin"], 2001, &["alice"]))
        .published();
    assert_eq!(kept.says("gid 2001"), Some("admin 2001 [\"alice\"]"));
    assert_eq!(kept.says("group staff"), Some("staff 2001 []"));
    let kept = kept.only(Map::Groups, 0, &[1]).published();
    assert_eq!(kept.says("gid 2001"), Some("staff 2001 []"));
    assert_eq!(kept.says("gids of alice"), None);
}

#[test]
fn a_group_is_found_by_each_of_its_names() {
    let kept = Kept::default().group(0, &group(1, &["staff", "crew"], 2001, &[])).published();
    assert_eq!(kept.says("group crew"), Some("staff 2001 []"));
}

#[test]
fn members_keep_their_order_and_their_number() {
    let kept = Kept::default().group(0, &group(1, &["g"], 2001, &["b", "a", "b"])).published();
    assert_eq!(kept.says("group g"), Some("g 2001 [\"b\", \"a\", \"b\"]"));
    assert_eq!(kept.says("gids of b"), Some("[2001]"), "but an id counts once");
}

#[test]
fn who_is_no_user_here_has_groups_all_the_same() {
    let kept = Kept::default().group(0, &group(1, &["docker"], 2001, &["local"])).published();
    assert_eq!(kept.says("gids of local"), Some("[2001]"));
    let kept = kept.user(0, &user(2, &["local"], 1001)).published();
    assert_eq!(kept.says("gids of local"), None, "they are in the user's record now");
    assert_eq!(kept.says("user local"), Some("local 1001 [2001]"));
    let kept = kept.only(Map::Users, 0, &[]).published();
    assert_eq!(kept.says("gids of local"), Some("[2001]"));
}

#[test]
fn groups_of_all_directories_count() {
    let kept = Kept::default()
        .user(0, &user(1, &["alice"], 1001))
        .group(0, &group(2, &["staff"], 2002, &["alice"]))
        .group(1, &group(2, &["staff"], 2001, &["alice"]))
        .published();
    assert_eq!(kept.says("user alice"), Some("alice 1001 [2001, 2002]"));
    assert_eq!(kept.says("group staff"), Some("staff 2002 [\"alice\"]"));
}

/// As in a search for `memberUid`: it knows nothing of a user's other names.
#[test]
fn a_group_counts_for_the_name_that_it_lists() {
    let kept = Kept::default()
        .user(0, &user(1, &["alice", "al"], 1001))
        .group(0, &group(2, &["staff"], 2001, &["al"]))
        .published();
    assert_eq!(kept.says("user alice"), Some("alice 1001 []"));
    assert_eq!(kept.says("gids of al"), Some("[2001]"));
}

/// As in a search for `memberUid`, which doesn't look at the group's name.
#[test]
fn a_group_whose_name_is_rejected_counts_for_its_members_but_is_not_found() {
    let kept = Kept::default().group(0, &group(2, &[], 2001, &["alice"])).published();
    assert_eq!(kept.says("gids of alice"), Some("[2001]"));
    assert_eq!(kept.said.facts.len(), 1, "{:?}", kept.said.facts);
}

#[test]
fn who_matches_without_being_listed_is_in_the_group() {
    let mut read = group(2, &["staff"], 2001, &["bob"]);
    read.entry.as_mut().unwrap().besides.push(name("alice"));
    let kept = Kept::default().group(0, &read).published();
    assert_eq!(kept.says("group staff"), Some("staff 2001 [\"bob\"]"));
    assert_eq!(kept.says("gids of alice"), Some("[2001]"));
}

#[test]
fn a_user_whose_name_is_another_ones_alias_has_groups_in_a_record_of_their_own() {
    let kept = Kept::default()
        .user(0, &user(1, &["carol", "alice"], 1001))
        .user(1, &user(2, &["alice"], 1002))
        .group(0, &group(3, &["staff"], 2001, &["alice"]))
        .published();
    assert_eq!(kept.says("user alice"), Some("carol 1001 []"));
    assert_eq!(kept.says("gids of alice"), Some("[2001]"));
    assert_eq!(kept.says("uid 1002"), Some("alice 1002 [2001]"));
    let kept = kept.group(0, &group(3, &["staff"], 2002, &["alice"])).published();
    assert_eq!(kept.says("uid 1002"), Some("alice 1002 [2002]"));
    let kept = kept.only(Map::Users, 0, &[]).published();
    assert_eq!(kept.says("user alice"), Some("alice 1002 [2002]"));
    assert_eq!(kept.says("gids of alice"), None);
}

#[test]
fn a_member_that_comes_or_goes_changes_nobody_else() {
    let mut kept = Kept::default()
        .user(0, &user(1, &["alice"], 1001))
        .user(0, &user(2, &["bob"], 1002))
        .group(0, &group(3, &["staff"], 2001, &["alice", "bob"]))
        .published();
    kept = kept.group(0, &group(3, &["staff"], 2001, &["alice"]));
    assert_eq!(kept.publish(), 4, "bob by name and id, the group by name and id");
    assert_eq!(kept.says("user bob"), Some("bob 1002 []"));
}

#[test]
fn a_group_with_another_id_changes_all_its_members() {
    let kept = Kept::default()
        .user(0, &user(1, &["alice"], 1001))
        .group(0, &group(3, &["staff"], 2001, &["alice", "local"]))
        .published();
    let kept = kept.group(0, &group(3, &["staff"], 2002, &["alice", "local"])).published();
    assert_eq!(kept.says("user alice"), Some("alice 1001 [2002]"));
    assert_eq!(kept.says("gids of local"), Some("[2002]"));
    assert_eq!(kept.says("gid 2001"), None);
}

#[test]
fn what_is_read_again_and_says_the_same_writes_nothing() {
    let (alice, staff) = (user(1, &["alice", "al"], 1001), group(2, &["g"], 2001, &["alice", "x"]));
    let kept = Kept::default().user(0, &alice).group(0, &staff).published();
    let mut kept = kept.user(0, &alice).group(0, &staff);
    assert!(!kept.population.is_dirty());
    assert_eq!(kept.publish(), 0);
}

#[test]
fn a_change_that_could_not_be_published_is_published_later() {
    let mut kept = Kept::default().user(0, &user(1, &["alice"], 1001)).published();
    kept = kept.user(0, &user(1, &["alice"], 1002));
    kept.population.write(&mut Said::default()).unwrap();
    assert!(kept.population.is_dirty(), "nobody has said that it was written");
    kept.publish();
    assert_eq!(kept.says("uid 1002"), Some("alice 1002 []"));
}

#[test]
fn an_entry_is_known_by_its_state() {
    let mut population = Population::default();
    population.put_user(0, &user(1, &["alice"], 1001));
    assert!(population.see(Map::Users, 0, &seen(1)));
    assert!(!population.see(Map::Users, 0, &seen(2)), "another entry");
    assert!(!population.see(Map::Users, 1, &seen(1)), "of another directory");
    let changed = Seen { stamp: Stamp(2), ..seen(1) };
    assert!(!population.see(Map::Users, 0, &changed), "another state");
}

#[test]
fn a_name_that_nobody_lists_any_more_takes_no_memory() {
    let mut population = Population::default();
    for round in 0..100 {
        population.put_group(0, &group(1, &["g"], 2001, &[&format!("user{round}")]));
    }
    assert_eq!(population.names.all().count(), 1);
    assert!(population.names.end() <= 2);
}

#[test]
fn a_reader_of_the_table_finds_what_the_population_says() {
    let mut population = Population::default();
    population.put_user(0, &user(1, &["carol", "alice"], 1001));
    population.put_user(1, &user(2, &["alice"], 1002));
    population.put_group(0, &group(3, &["staff"], 2001, &["alice", "carol", "local"]));
    let plan = population.plan();
    let mut writer = Writer::in_memory(plan.room).unwrap();
    let mut change = writer.change();
    population.write_all(&plan, &mut change).unwrap();
    change.commit().unwrap();
    // As `groups_in` looks at the time 1.
    let soon = Now(3);
    writer.beat(Heartbeat { alive_until: soon, complete_until: soon, heard: 1, max_stale: 1 });
    for name in ["alice", "carol", "local"] {
        assert_eq!(groups_in(writer.table(), name), Some(vec![2001]), "{name}");
    }
    assert_eq!(groups_in(writer.table(), "nobody"), None);
    population.put_group(0, &group(3, &["staff"], 2001, &["carol"]));
    let mut change = writer.change();
    population.write(&mut change).unwrap();
    assert!(change.commit().unwrap());
    assert_eq!(groups_in(writer.table(), "carol"), Some(vec![2001]));
    assert_eq!(groups_in(writer.table(), "local"), None);
    assert_eq!(groups_in(writer.table(), "alice"), None);
}

#[test]
fn a_reading_that_comes_to_its_end_tells_what_is_missing_before_it_is_removed() {
    let mut population = Population::default();
    for id in 0..4 {
        population
            .put_user(0, &user(id, &[&format!("user{id}")], 1000 + u32::try_from(id).unwrap()));
    }
    population.put_user(1, &user(9, &["other"], 1009));
    population.begin(Map::Users, 0);
    population.put_user(0, &user(1, &["user1"], 1001));
    assert_eq!(population.balance(Map::Users, 0), Balance { before: 4, after: 1 });
    assert_eq!(population.balance(Map::Users, 1), Balance { before: 0, after: 1 });
    population.finish(Map::Users, 0);
    assert_eq!(population.balance(Map::Users, 0), Balance { before: 1, after: 1 });
}

#[test]
fn only_what_comes_changes_or_goes_counts_as_a_change() {
    let mut population = Population::default();
    let mut counts = vec![population.changes()];
    let mut next = |population: &Population| {
        let count = population.changes();
        counts.push(count);
        count != counts[counts.len() - 2]
    };
    population.put_user(0, &user(1, &["alice"], 1001));
    assert!(next(&population));
    population.put_user(0, &user(1, &["alice"], 1001));
    assert!(!next(&population), "read again");
    population.put_group(0, &group(2, &["staff"], 2001, &["alice"]));
    assert!(next(&population));
    population.begin(Map::Users, 0);
    population.finish(Map::Users, 0);
    assert!(next(&population));
}

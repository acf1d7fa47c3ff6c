//! How a table begins, beats and ends, in files.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use super::heart::wall;
use super::*;
use crate::daemon::cache::{Asked, Known, LONG_AGO, OUTDATED};
use crate::daemon::replica::Population;
use common::account::{AbsolutePath, Field, Gid, Name, Uid, User};
use common::config::{CacheConfig, CacheMode};
use common::protocol::Flush;
use common::table::layout::header;
use common::table::writer::Fact;
use common::table::{Key, NEVER, Now};

/// A folder that goes away.
struct Folder(PathBuf);

impl Folder {
    fn new(test: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("rollcall-{test}-{}", std::process::id()));
        fs::create_dir_all(folder.join("cache")).unwrap();
        Self(folder)
    }

    fn keeper(&self) -> Keeper {
        Keeper::new(Files::beside(&self.0.join("socket"), &self.0.join("cache")))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

const CACHE: CacheConfig = CacheConfig {
    mode: CacheMode::Replica,
    max_replica: 0,
    push: true,
    refresh: Duration::from_secs(30),
    lifetime: Duration::from_secs(60),
    negative_lifetime: Duration::from_secs(10),
    max_entries: 100,
    max_stale: Duration::from_secs(1000),
};

fn alice() -> User {
    User {
        name: Name::parse("alice").unwrap(),
        uid: Uid::new(2001).unwrap(),
        gid: Gid::new(3001).unwrap(),
        gecos: Field::cleaned(""),
        home: AbsolutePath::parse("/").unwrap(),
        shell: AbsolutePath::parse("/bin/sh").unwrap(),
    }
}

/// With a replica of one user, who is in one group.
fn with_a_replica(folder: &Folder) -> Keeper {
    let mut keeper = folder.keeper();
    keeper.configure(CACHE, "a".into());
    keeper.heard = wall();
    let gids = [Gid::new(3001).unwrap()];
    let mut change = keeper.writer.as_mut().unwrap().change();
    let keys = [Key::UserName(b"alice"), Key::Uid(2001)];
    change.put(Fact::User(&alice(), Some(&gids)), &keys, NEVER).unwrap();
    change.commit().unwrap();
    keeper.population = Some(Population::default());
    keeper.beat();
    keeper
}

fn word(keeper: &Keeper, at: usize) -> u64 {
    keeper.writer.as_ref().unwrap().table().word(at).unwrap()
}

fn look(keeper: &Keeper, asked: &Asked) -> Option<(Known, u32)> {
    Known::look(&keeper.writer.as_ref()?.table().timeless()?, asked)
}

fn of_alice() -> Asked {
    Asked::GroupsOf(Name::parse("alice").unwrap())
}

#[test]
fn a_replica_is_not_believed_when_the_directory_was_silent_for_too_long() {
    let folder = Folder::new("silent");
    let mut keeper = with_a_replica(&folder);
    assert!(word(&keeper, header::ALIVE_UNTIL) > 0);
    keeper.heard = wall() - 1001;
    keeper.beat();
    assert_eq!(word(&keeper, header::ALIVE_UNTIL), 0);
}

#[test]
fn a_time_of_the_future_does_not_make_answers_count_for_longer() {
    let folder = Folder::new("future");
    let mut keeper = with_a_replica(&folder);
    keeper.heard = wall() + 1_000_000;
    keeper.beat();
    assert!(word(&keeper, header::HEARD) <= wall());
}

#[test]
fn groups_that_a_replica_knew_are_replaced_by_what_is_asked_for_later() {
    let folder = Folder::new("gids");
    let mut keeper = with_a_replica(&folder);
    keeper.doubt_everything();
    assert_eq!(look(&keeper, &of_alice()), Some((Known::Gids(vec![alice().gid]), 0)));
    let mut change = keeper.writer.as_mut().unwrap().change();
    change.remove(Key::GidsOf(b"alice")).unwrap();
    change.commit().unwrap();
    assert_eq!(look(&keeper, &of_alice()), None);
}

/// The next boot, before its daemon is up, may be the second one without a network.
#[test]
fn what_was_made_of_a_table_of_everybody_had_everybody_unless_somebody_was_left_out() {
    let folder = Folder::new("everybody");
    let mut keeper = with_a_replica(&folder);
    keeper.doubt_everything();
    assert_eq!(word(&keeper, header::HAD_EVERYTHING), 0, "it never was complete");
    keeper.complete_until = Now(NEVER);
    keeper.beat();
    keeper.complete_until = Now(0);
    keeper.doubt_everything();
    assert_eq!(word(&keeper, header::HAD_EVERYTHING), 1);
    let mut change = keeper.writer.as_mut().unwrap().change();
    // Before all that counts.
    change.put(Fact::User(&alice(), None), &[Key::Uid(2001)], OUTDATED + 1).unwrap();
    change.commit().unwrap();
    keeper.cache.as_mut().unwrap().max_stale = Duration::ZERO;
    keeper.doubt_everything();
    assert_eq!(word(&keeper, header::HAD_EVERYTHING), 0);
}

/// A table that had everything and is a replica's no more; it lies there for the next daemon.
fn of_a_replica_that_ended(folder: &Folder) -> Keeper {
    let mut keeper = with_a_replica(folder);
    keeper.complete_until = Now(NEVER);
    keeper.beat();
    keeper.population = None;
    keeper.complete_until = Now(0);
    keeper.beat();
    assert_eq!(word(&keeper, header::HAD_EVERYTHING), 1);
    keeper
}

const ON_DEMAND: CacheConfig = CacheConfig { mode: CacheMode::OnDemand, ..CACHE };

/// Who was made since then isn't in it, and must be waited for at the next boot.
#[test]
fn what_is_kept_on_demand_never_had_everything() {
    let folder = Folder::new("on-demand");
    drop(of_a_replica_that_ended(&folder));
    let mut next = folder.keeper();
    next.configure(CACHE, "a".into());
    assert_eq!(word(&next, header::HAD_EVERYTHING), 1, "a replica will have everything again");
    drop(next);
    let mut next = folder.keeper();
    next.configure(ON_DEMAND, "a".into());
    assert_eq!(word(&next, header::HAD_EVERYTHING), 0);
    assert!(look(&next, &of_alice()).is_some(), "she is there in case of an outage");
    next.seal_for_good();
    let sealed = fs::read(&next.files.sealed).unwrap();
    let at = header::HAD_EVERYTHING * 8;
    assert_eq!(sealed[at..at + 8], [0; 8]);
}

#[test]
fn a_reload_or_too_many_users_for_a_replica_end_what_had_everything() {
    let folder = Folder::new("ended");
    let mut keeper = of_a_replica_that_ended(&folder);
    keeper.configure(ON_DEMAND, "a".into());
    assert_eq!(word(&keeper, header::HAD_EVERYTHING), 0);
    let folder = Folder::new("too-many");
    let mut keeper = of_a_replica_that_ended(&folder);
    keeper.begin_on_demand();
    assert_eq!(word(&keeper, header::HAD_EVERYTHING), 0);
}

#[test]
fn somebody_who_was_flushed_before_a_replica_is_ready_is_missing_in_the_table() {
    let folder = Folder::new("flushed");
    let mut keeper = of_a_replica_that_ended(&folder);
    assert!(keeper.flush(&Flush::User(Name::parse("nobody-here").unwrap())));
    assert_eq!(word(&keeper, header::HAD_EVERYTHING), 1);
    assert!(keeper.flush(&Flush::User(alice().name)));
    assert_eq!(word(&keeper, header::HAD_EVERYTHING), 0);
}

/// Also when the daemon is started again, or has missed something, before anybody has asked.
#[test]
fn what_was_flushed_stays_outdated_until_it_is_learned_anew() {
    let folder = Folder::new("outdated");
    let mut keeper = of_a_replica_that_ended(&folder);
    keeper.doubt_everything();
    assert_eq!(look(&keeper, &of_alice()).unwrap().1, LONG_AGO);
    assert!(keeper.flush(&Flush::All));
    assert_eq!(look(&keeper, &of_alice()).unwrap().1, OUTDATED);
    keeper.doubt_everything();
    assert_eq!(look(&keeper, &of_alice()).unwrap().1, OUTDATED);
    keeper.beat();
    drop(keeper);
    let mut next = folder.keeper();
    next.configure(CACHE, "a".into());
    assert_eq!(look(&next, &of_alice()).unwrap().1, OUTDATED);
}

#[test]
fn what_a_replica_knew_is_doubted_after_a_reload() {
    let folder = Folder::new("reload");
    let mut keeper = with_a_replica(&folder);
    let epoch = keeper.epoch();
    keeper.configure(CACHE, "a".into());
    assert!(keeper.population.is_none());
    assert_eq!(look(&keeper, &of_alice()).unwrap().1, 0);
    assert_ne!(keeper.epoch(), epoch, "what is under way is of before");
}

#[test]
fn a_shorter_lifetime_counts_for_what_is_there_already() {
    let folder = Folder::new("shorter");
    let mut keeper = folder.keeper();
    let cache = CacheConfig { mode: CacheMode::OnDemand, ..CACHE };
    keeper.configure(cache, "a".into());
    let mut change = keeper.writer.as_mut().unwrap().change();
    change.put(Fact::User(&alice(), None), &[Key::Uid(2001)], NEVER - 1).unwrap();
    change.commit().unwrap();
    let by_id = Asked::UserById(alice().uid);
    keeper.configure(cache, "a".into());
    assert_eq!(look(&keeper, &by_id).unwrap().1, NEVER - 1);
    keeper.configure(CacheConfig { lifetime: Duration::from_secs(59), ..cache }, "a".into());
    assert_eq!(look(&keeper, &by_id).unwrap().1, 0);
}

#[test]
fn another_directory_leaves_nothing_of_the_first_one() {
    let folder = Folder::new("other");
    let mut keeper = with_a_replica(&folder);
    keeper.seal_for_good();
    assert!(keeper.files.sealed.exists());
    let old = keeper.writer.as_ref().unwrap().memory();
    keeper.configure(CACHE, "b".into());
    assert!(!keeper.files.sealed.exists());
    assert_eq!(look(&keeper, &of_alice()), None);
    let old = Table::new(old.words()).unwrap();
    assert!(old.of_any_age(wall()).is_none(), "who still has it doesn't believe it");
}

#[test]
fn a_table_of_another_directory_goes_when_none_can_take_its_place() {
    let folder = Folder::new("no-room");
    let live = {
        let mut keeper = with_a_replica(&folder);
        keeper.seal_for_good();
        keeper.files.live.clone()
    };
    let mut keeper = folder.keeper();
    keeper.has_no_room(&std::io::Error::other("no room"));
    keeper.configure(CACHE, "b".into());
    assert!(!live.exists());
    assert!(!keeper.files.sealed.exists());
}

#[test]
fn each_table_says_what_it_is_about() {
    let folder = Folder::new("origin");
    let keeper = with_a_replica(&folder);
    let origin = keeper.files.live.with_extension("origin");
    let before = fs::read(&origin).unwrap();
    let mut keeper = keeper;
    fs::remove_file(&origin).unwrap();
    fs::remove_file(&keeper.files.live).unwrap();
    keeper.beat();
    assert_eq!(fs::read(&origin).unwrap(), before);
}

#[test]
fn after_a_suspension_a_replica_is_complete_no_more_and_the_rest_is_doubted() {
    let folder = Folder::new("suspended");
    let mut keeper = with_a_replica(&folder);
    keeper.complete_until = Now(NEVER);
    assert!(!keeper.notice_a_suspension(Duration::from_secs(7)), "of before the daemon");
    assert!(!keeper.notice_a_suspension(Duration::from_secs(8)));
    assert_eq!(keeper.complete_until, Now(NEVER));
    assert!(keeper.notice_a_suspension(Duration::from_secs(100)));
    assert_eq!(keeper.complete_until, Now(0));
    keeper.population = None;
    assert!(keeper.notice_a_suspension(Duration::from_secs(200)));
    assert_eq!(look(&keeper, &of_alice()).unwrap().1, 0);
}

//! Lists of groups, as glibc has them.

use super::*;
use common::protocol::Unavailable;
use common::table::writer::{Fact, Heartbeat, Room, Writer};
use common::table::{Key, NEVER, Now};

/// A list as glibc makes it: one place, holding the primary group.
fn add_to(first: gid_t, limit: c_long, response: Response) -> (Result<(), Failure>, Vec<gid_t>) {
    static NOWHERE: Shared = Shared::new("/nonexistent/table", "/nonexistent/sealed");
    add_from(&NOWHERE, first, limit, response)
}

fn add_from(
    table: &Shared,
    first: gid_t,
    limit: c_long,
    response: Response,
) -> (Result<(), Failure>, Vec<gid_t>) {
    // SAFETY: malloc has no precondition.
    let mut groups = unsafe { libc::malloc(size_of::<gid_t>()) }.cast::<gid_t>();
    // SAFETY: the place that was just allocated.
    unsafe { groups.write(first) };
    let (mut used, mut size) = (1, 1);
    // SAFETY: as glibc's own list.
    let mut list = unsafe { List::new(&raw mut used, &raw mut size, &raw mut groups, limit) };
    let outcome = add(Some(b"alice"), first, &mut list, table, |_, _| response);
    assert!(used <= size);
    let count = usize::try_from(used).unwrap();
    // SAFETY: as many are set.
    let ids = unsafe { std::slice::from_raw_parts(groups, count) }.to_vec();
    // SAFETY: it is malloc's.
    unsafe { libc::free(groups.cast()) };
    (outcome, ids)
}

fn gids(ids: impl IntoIterator<Item = u32>) -> Response {
    Response::Gids(ids.into_iter().map(|id| Gid::new(id).unwrap()).collect())
}

/// A complete table in which alice is in these groups.
fn table(gids: &[u32]) -> (tempfile::TempDir, Writer, &'static Shared) {
    table_until(gids, Now(Now::read().0 + 50))
}

fn table_until(gids: &[u32], complete_until: Now) -> (tempfile::TempDir, Writer, &'static Shared) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("table");
    let mut writer = Writer::create(&path, Room::default()).unwrap();
    let gids: Vec<Gid> = gids.iter().map(|gid| Gid::new(*gid).unwrap()).collect();
    let mut change = writer.change();
    if !gids.is_empty() {
        change.put(Fact::Gids(&gids), &[Key::GidsOf(b"alice")], NEVER).unwrap();
    }
    change.commit().unwrap();
    let alive_until = Now(Now::read().0 + 50);
    let heart = Heartbeat { alive_until, complete_until, heard: 1, max_stale: 1 };
    writer.beat(heart);
    writer.publish().unwrap();
    let path: &'static str = path.to_str().unwrap().to_owned().leak();
    let shared = Box::leak(Box::new(Shared::new(path, "/nonexistent/sealed")));
    (folder, writer, shared)
}

#[test]
fn the_groups_of_the_table_are_added_without_the_skipped_one_up_to_the_limit() {
    let unasked = || Response::Unavailable(Unavailable::Busy);
    for count in [1, 2, 5, 500] {
        let all: Vec<u32> = (0..count).map(|i| 70_000 + i).collect();
        let (_folder, _writer, shared) = table(&all);
        let (outcome, ids) = add_from(shared, 100, -1, unasked());
        assert_eq!((outcome, &ids[1..]), (Ok(()), &all[..]));
        let (outcome, ids) = add_from(shared, 70_000, -1, unasked());
        assert_eq!((outcome, &ids[..]), (Ok(()), &all[..]), "the first one was there");
        let (outcome, ids) = add_from(shared, 100, 3, unasked());
        assert_eq!((outcome, ids.len()), (Ok(()), all.len().min(2) + 1));
    }
}

#[test]
fn who_is_in_no_group_of_a_complete_table_is_not_found() {
    let (_folder, _writer, shared) = table(&[]);
    let unasked = Response::Unavailable(Unavailable::Busy);
    assert_eq!(add_from(shared, 100, -1, unasked), (Err(Failure::NotFound), vec![100]));
}

/// What somebody who asks could do without, of a table whose heart has stopped.
fn could_do_without(name: &[u8], table: &Shared) -> bool {
    let (mut used, mut size, mut groups) = (0, 0, std::ptr::null_mut());
    // SAFETY: an empty list.
    let mut list = unsafe { List::new(&raw mut used, &raw mut size, &raw mut groups, -1) };
    let mut could = None;
    let outcome = add(Some(name), 100, &mut list, table, |_, wait| {
        could = Some((wait.can_do_without)());
        Response::Unavailable(Unavailable::Busy)
    });
    assert_eq!(outcome, Err(Failure::Unavailable));
    could.unwrap()
}

fn stop_the_heart(writer: &mut Writer, complete_until: Now) {
    let heard = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let heard = heard.unwrap().as_secs();
    let alive_until = Now::read();
    writer.beat(Heartbeat { alive_until, complete_until, heard, max_stale: 3600 });
}

#[test]
fn the_groups_of_anybody_can_be_done_without_where_an_old_table_was_complete() {
    let (_folder, mut writer, shared) = table(&[70_000]);
    stop_the_heart(&mut writer, Now(1));
    assert!(could_do_without(b"alice", shared));
    assert!(could_do_without(b"local", shared), "in no group, as far as was known");
}

#[test]
fn the_groups_of_who_was_never_asked_for_are_waited_for() {
    let (_folder, mut writer, shared) = table_until(&[70_000], Now(0));
    let mut change = writer.change();
    change.put(Fact::Absent, &[Key::GidsOf(b"asked")], NEVER).unwrap();
    change.commit().unwrap();
    stop_the_heart(&mut writer, Now(0));
    assert!(could_do_without(b"alice", shared));
    assert!(could_do_without(b"asked", shared));
    assert!(!could_do_without(b"local", shared));
}

#[test]
fn each_group_is_added_once_and_the_skipped_one_not_at_all() {
    let (outcome, ids) = add_to(100, 0, gids([2001, 100, 2000, 2001]));
    assert_eq!((outcome, ids), (Ok(()), vec![100, 2000, 2001]));
}

#[test]
fn what_the_system_uses_itself_is_doubtful_and_little_else() {
    for id in (0..70_000).chain(u32::MAX - 9..=u32::MAX) {
        assert!(doubt(id) == 1 || Gid::new(id).is_ok(), "{id}");
        assert!(doubt(id) == 0 || !(1..61184).contains(&id), "{id}");
    }
    assert_eq!(doubt(65536), 0);
}

#[test]
fn the_ids_of_the_system_and_the_skipped_one_are_sifted_out() {
    let mut ids = [0, 7, 61184, 65520, 65535, 100, u32::MAX];
    let kept = sift(&mut ids, 7);
    assert_eq!(ids[..kept], [65520, 100]);
}

#[test]
fn a_limit_is_never_passed() {
    for (limit, expected) in [(1, 1), (2, 2), (3, 3), (4, 4), (0, 4), (-1, 4)] {
        let (outcome, ids) = add_to(100, limit, gids([2000, 2001, 2002]));
        assert_eq!((outcome, ids.len()), (Ok(()), expected), "{limit}");
    }
}

#[test]
fn a_user_in_ten_thousand_groups_has_them_all() {
    let (outcome, ids) = add_to(100, 0, gids(100_000..110_000));
    assert_eq!((outcome, ids.len()), (Ok(()), 10_001));
}

#[test]
fn an_outage_adds_nothing_and_says_so() {
    let (outcome, ids) = add_to(100, 0, Response::Unavailable(Unavailable::TimedOut));
    assert_eq!((outcome, ids), (Err(Failure::Unavailable), vec![100]));
}

#[test]
fn a_user_in_no_group_is_not_found() {
    assert_eq!(add_to(100, 0, Response::NotFound).0, Err(Failure::NotFound));
    assert_eq!(add_to(100, 0, gids([])).0, Err(Failure::NotFound));
}

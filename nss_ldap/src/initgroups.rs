//! The groups of a user: `initgroups(3)` and `getgrouplist(3)`.

use std::mem::MaybeUninit;

use common::account::Gid;
use common::client::Wait;
use common::deadline::{self, Deadline};
use common::guest;
use common::protocol::{Request, Response};
use common::table::shared::{self, Shared};
use common::table::{Answer, Gids, View};
use libc::{c_char, c_int, c_long, gid_t};

use crate::answer::host;
use crate::entry::{Errno, Text, enter_after, name};
use crate::status::{self, Failure};
use crate::table::is_possible;

/// glibc's list of groups, which the services fill one after the other.
struct List {
    used: *mut c_long,
    size: *mut c_long,
    groups: *mut *mut gid_t,
    /// The most that may be in it; none when not above 0.
    limit: c_long,
}

impl List {
    /// Takes glibc's arguments.
    ///
    /// # Safety
    /// As long as this value lives: `groups` points to memory of `malloc(3)` for
    /// `size` ids, of which `used` are set, or to NULL; all three can be written.
    unsafe fn new(
        used: *mut c_long,
        size: *mut c_long,
        groups: *mut *mut gid_t,
        limit: c_long,
    ) -> Self {
        Self { used, size, groups, limit }
    }

    /// Adds ids at the end, as many as the limit allows.
    fn append(&mut self, gids: impl ExactSizeIterator<Item = gid_t>) -> Result<(), Failure> {
        let used = self.used()?;
        let room = self.room(used);
        let count = gids.len().min(room);
        for (place, gid) in self.places(used, count)?.iter_mut().zip(gids) {
            place.write(gid);
        }
        self.take_in(used + count)
    }

    /// Puts the ids of the table at the end, without the one that is skipped, as many as the limit
    /// allows. Gives how many are in the list with them; they count after [`List::take_in`].
    fn put(&mut self, gids: &Gids<'_>, skip: gid_t) -> Result<usize, Failure> {
        let used = self.used()?;
        let room = self.room(used);
        let places = self.places(used, gids.len())?;
        gids.copy(places);
        // SAFETY: `copy` has written each of them.
        let ids = unsafe { &mut *(&raw mut *places as *mut [gid_t]) };
        // Without a branch in it, this goes over several ids at once.
        let doubts = ids.iter().fold(0, |doubts, id| doubts | doubt(*id) | u32::from(*id == skip));
        let kept = if doubts == 0 { ids.len() } else { sift(ids, skip) };
        Ok(used + kept.min(room))
    }

    /// How many are in it.
    fn used(&self) -> Result<usize, Failure> {
        // SAFETY: `new`'s caller says that it can be read.
        usize::try_from(unsafe { *self.used }).map_err(|_| Failure::NoMemory)
    }

    /// How many more may be in it, when this many are.
    fn room(&self, used: usize) -> usize {
        let limit = usize::try_from(self.limit).ok().filter(|limit| *limit > 0);
        limit.map_or(usize::MAX, |limit| limit.saturating_sub(used))
    }

    /// Places for this many ids behind the used ones.
    fn places(&mut self, used: usize, count: usize) -> Result<&mut [MaybeUninit<gid_t>], Failure> {
        let groups = self.grow(used.checked_add(count).ok_or(Failure::NoMemory)?)?;
        if groups.is_null() {
            return Ok(&mut []);
        }
        // SAFETY: `grow` has made place for the used ones and these.
        let first = unsafe { groups.add(used) };
        // SAFETY: `grow` has made place for `count` ids from there on, and glibc lets nobody else use the list
        // during the call.
        Ok(unsafe { std::slice::from_raw_parts_mut(first.cast(), count) })
    }

    /// Says that this many are in it now.
    fn take_in(&mut self, used: usize) -> Result<(), Failure> {
        let used = c_long::try_from(used).map_err(|_| Failure::NoMemory)?;
        // SAFETY: `new`'s caller says that it can be written.
        unsafe { self.used.write(used) };
        Ok(())
    }

    /// Makes place for this many ids in all, and gives the list.
    fn grow(&mut self, wanted: usize) -> Result<*mut gid_t, Failure> {
        // SAFETY: `new`'s caller says that it can be read.
        let size = unsafe { *self.size };
        // SAFETY: `new`'s caller says that it can be read.
        let groups = unsafe { *self.groups };
        let new_size = c_long::try_from(wanted).map_err(|_| Failure::NoMemory)?;
        if new_size <= size {
            return Ok(groups);
        }
        let bytes = wanted.checked_mul(size_of::<gid_t>()).ok_or(Failure::NoMemory)?;
        // SAFETY: `new`'s caller says that it is memory of malloc or NULL.
        let groups = unsafe { libc::realloc(groups.cast(), bytes) }.cast::<gid_t>();
        if groups.is_null() {
            return Err(Failure::NoMemory);
        }
        // SAFETY: `new`'s caller says that it can be written.
        unsafe { self.groups.write(groups) };
        // SAFETY: `new`'s caller says that it can be written.
        unsafe { self.size.write(new_size) };
        Ok(groups)
    }
}

/// 0 for ids that a directory may give; 1 for those that the system uses itself, and a few more.
const fn doubt(id: gid_t) -> u32 {
    // 4294967295 and 0; from systemd's dynamic ones to the end of 16 bits.
    (id.wrapping_add(1) <= 1) as u32 | (id.wrapping_sub(61184) <= 65535 - 61184) as u32
}

/// Moves those that a directory may give, without the one that is skipped, to the
/// front. How many they are.
fn sift(ids: &mut [gid_t], skip: gid_t) -> usize {
    let mut kept = 0;
    for at in 0..ids.len() {
        let Some(&id) = ids.get(at) else { break };
        if id != skip && Gid::new(id).is_ok() {
            if let Some(place) = ids.get_mut(kept) {
                *place = id;
            }
            kept += 1;
        }
    }
    kept
}

/// Puts what the table says about somebody's groups at the end of the list. `None` where
/// it can't tell.
fn find(
    view: &View<'_>,
    name: &[u8],
    skip: gid_t,
    list: &mut List,
) -> Option<Result<usize, Failure>> {
    match view.groups_of(name) {
        Answer::Found(gids) => Some(list.put(&gids, skip)),
        Answer::NotFound => Some(Err(Failure::NotFound)),
        Answer::Unknown => None,
    }
}

/// What can be answered at once.
fn glance(name: Option<&[u8]>, skip: gid_t, list: &mut List) -> Option<Result<(), Failure>> {
    let name = name.filter(|name| is_possible(name))?;
    let found = shared::HOST.glance(|view| find(&view, name, skip, list))??;
    Some(found.and_then(|used| list.take_in(used)))
}

/// Adds the groups of somebody, each once, without the one that is skipped.
fn add(
    text: Option<&[u8]>,
    skip: gid_t,
    list: &mut List,
    table: &Shared,
    ask: impl FnOnce(&Request, Wait<'_>) -> Response,
) -> Result<(), Failure> {
    let request = Request::GroupsOf(name(text)?);
    let text = text.unwrap_or_default();
    if let Some(found) = table.with_fresh(|view| find(&view, text, skip, list)).flatten() {
        return list.take_in(found?);
    }
    let knew = |view: View<'_>| {
        matches!(view.groups_of(text), Answer::Found(_)) || view.knew_no_groups_of(text)
    };
    let mut can_do_without = || table.of_any_age(knew).unwrap_or(false);
    let wait = Wait {
        deadline: Deadline::after(deadline::LOOKUP),
        heart: table.heart(),
        can_do_without: &mut can_do_without,
    };
    let mut gids = match ask(&request, wait) {
        Response::Gids(gids) if gids.is_empty() => return Err(Failure::NotFound),
        Response::Gids(gids) => gids,
        other if status::is_nobody(&other) => {
            let found = table.of_any_age(|view| find(&view, text, skip, list)).flatten();
            return list.take_in(found.unwrap_or_else(|| Err(status::failure(&other)))?);
        }
        other => return Err(status::failure(&other)),
    };
    gids.sort_unstable();
    gids.dedup();
    gids.retain(|gid| gid.get() != skip);
    list.append(gids.into_iter().map(Gid::get))
}

/// `initgroups(3)`, `getgrouplist(3)`: adds to glibc's list the ids of the
/// groups that have this user as a member.
///
/// # Safety
/// glibc passes a string, a list in memory of `malloc(3)` with its size and use, and its errno.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn _nss_ldap_initgroups_dyn(
    name: *const c_char,
    skip: gid_t,
    used: *mut c_long,
    size: *mut c_long,
    groups: *mut *mut gid_t,
    limit: c_long,
    errnop: *mut c_int,
) -> c_int {
    // SAFETY: glibc passes its errno.
    let errno = unsafe { Errno::new(errnop) };
    // SAFETY: glibc passes a string.
    let text = unsafe { Text::new(name) };
    // SAFETY: glibc passes its own list.
    let mut list = unsafe { List::new(used, size, groups, limit) };
    let glance = guest::glance(|| glance(text.bytes(), skip, &mut list));
    enter_after(glance, &errno, || add(text.bytes(), skip, &mut list, &shared::HOST, host))
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::protocol::Unavailable;
    use common::table::writer::{Fact, Heartbeat, Room, Writer};
    use common::table::{Key, NEVER, Now};

    /// A list as glibc makes it: one place, holding the primary group.
    fn add_to(
        first: gid_t,
        limit: c_long,
        response: Response,
    ) -> (Result<(), Failure>, Vec<gid_t>) {
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

    fn table_until(
        gids: &[u32],
        complete_until: Now,
    ) -> (tempfile::TempDir, Writer, &'static Shared) {
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
}

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
        // SAFETY: `grow` has made place for `count` ids from there on, and glibc lets nobody
        // else use the list during the call.
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
mod tests;

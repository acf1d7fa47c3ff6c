//! The groups of a user: `initgroups(3)` and `getgrouplist(3)`.

use common::account::Gid;
use common::deadline::{self, Deadline};
use common::protocol::{Request, Response};
use libc::{c_char, c_int, c_long, gid_t};

use crate::answer::host;
use crate::entry::{Errno, Text, enter};
use crate::status::{self, Failure};

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
    fn append(&mut self, gids: &[Gid]) -> Result<(), Failure> {
        // SAFETY: `new`'s caller says that it can be read.
        let used = usize::try_from(unsafe { *self.used }).map_err(|_| Failure::NoMemory)?;
        let limit = usize::try_from(self.limit).ok().filter(|limit| *limit > 0);
        let room = limit.map_or(usize::MAX, |limit| limit.saturating_sub(used));
        let gids = &gids[..gids.len().min(room)];
        // SAFETY: `grow` makes place for them behind the used ones.
        let mut place = unsafe { self.grow(used + gids.len())?.add(used) };
        for gid in gids {
            // SAFETY: as above.
            unsafe { place.write(gid.get()) };
            // SAFETY: as above; the last step leads to the end.
            place = unsafe { place.add(1) };
        }
        let used = c_long::try_from(used + gids.len()).map_err(|_| Failure::NoMemory)?;
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

/// Adds the groups of a user, each once, without the one that is skipped.
fn add(
    request: &Request,
    skip: gid_t,
    list: &mut List,
    ask: impl FnOnce(&Request, Deadline) -> Response,
) -> Result<(), Failure> {
    let mut gids = match ask(request, Deadline::after(deadline::LOOKUP)) {
        Response::Gids(gids) if gids.is_empty() => return Err(Failure::NotFound),
        Response::Gids(gids) => gids,
        other => return Err(status::failure(&other)),
    };
    gids.sort_unstable();
    gids.dedup();
    gids.retain(|gid| gid.get() != skip);
    list.append(&gids)
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
    let name = unsafe { Text::new(name) };
    // SAFETY: glibc passes its own list.
    let mut list = unsafe { List::new(used, size, groups, limit) };
    enter(&errno, || add(&Request::GroupsOf(name.name()?), skip, &mut list, host))
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::account::Name;
    use common::protocol::Unavailable;

    /// A list as glibc makes it: one place, holding the primary group.
    fn add_to(
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
        let request = Request::GroupsOf(Name::parse("alice").unwrap());
        let outcome = add(&request, first, &mut list, |_, _| response);
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

    #[test]
    fn each_group_is_added_once_and_the_skipped_one_not_at_all() {
        let (outcome, ids) = add_to(100, 0, gids([2001, 100, 2000, 2001]));
        assert_eq!((outcome, ids), (Ok(()), vec![100, 2000, 2001]));
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

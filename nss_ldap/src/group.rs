//! The database `group`.

use std::thread::LocalKey;

use common::account::{Gid, Group};
use common::protocol::{Batch, Map, Request, Response};
use common::table::View;
use common::table::shared;
use libc::{c_char, c_int, gid_t, group, size_t};

use crate::answer::{self, Record, host};
use crate::buffer::{Buffer, Short, Target};
use crate::entry::{Errno, Text, enter, name};
use crate::enumerate::{self, Enumeration};
use crate::status::{self, Failure};
use crate::table::{self, Asked, Miss};

thread_local! {
    static ENUMERATION: Enumeration<Group> = const { Enumeration::new() };
}

impl Record for Group {
    type C = group;
    const MAP: Map = Map::Groups;
    const IN_TABLE: bool = true;

    fn request(asked: Asked<'_>) -> Result<Request, Failure> {
        Ok(match asked {
            Asked::Name(text) => Request::GroupByName(name(text)?),
            Asked::Id(id) => Request::GroupById(Gid::new(id).map_err(|_| Failure::NotFound)?),
        })
    }

    fn one(response: Response) -> Result<Self, Failure> {
        match response {
            Response::Group(group) => Ok(group),
            other => Err(status::failure(&other)),
        }
    }

    fn batch(response: Response) -> Result<Batch<Self>, Failure> {
        match response {
            Response::Groups(batch) => Ok(batch),
            other => Err(status::failure(&other)),
        }
    }

    fn to_c(&self, buffer: &mut Buffer) -> Result<group, Short> {
        // "*", group(5): no password of a group is right.
        let strings @ [name, password] = [self.name.as_str(), "*"];
        buffer.expect_list(&strings, &self.members)?;
        Ok(group {
            gr_mem: buffer.list(&self.members)?,
            gr_name: buffer.string(name)?,
            gr_passwd: buffer.string(password)?,
            gr_gid: self.gid.get(),
        })
    }

    #[inline]
    fn find(view: &View<'_>, asked: Asked<'_>, buffer: &mut Buffer) -> Result<group, Miss> {
        let answer = match asked {
            Asked::Name(name) => view.group_by_name(name.ok_or(Miss::NotFound)?),
            Asked::Id(id) => view.group_by_id(id),
        };
        table::group(&table::found(answer)?, buffer)
    }

    fn next(view: &View<'_>, slot: usize, buffer: &mut Buffer) -> Result<(group, usize), Miss> {
        let (group, slot) = view.next_group(slot).ok_or(Miss::NotFound)?;
        Ok((table::group(&group, buffer)?, slot))
    }

    fn enumeration() -> &'static LocalKey<Enumeration<Self>> {
        &ENUMERATION
    }
}

/// `getgrnam_r(3)`.
///
/// # Safety
/// glibc passes a string, a struct and a buffer of this length to write to, and its errno.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn _nss_ldap_getgrnam_r(
    name: *const c_char,
    result: *mut group,
    buffer: *mut c_char,
    length: size_t,
    errnop: *mut c_int,
) -> c_int {
    // SAFETY: glibc passes its errno.
    let errno = unsafe { Errno::new(errnop) };
    // SAFETY: glibc passes a string.
    let text = unsafe { Text::new(name) };
    // SAFETY: glibc passes a struct and a buffer of this length.
    let target = unsafe { Target::new(result, buffer, length) };
    answer::call::<Group>(&errno, Asked::Name(text.bytes()), target)
}

/// `getgrgid_r(3)`.
///
/// # Safety
/// glibc passes a struct and a buffer of this length to write to, and its errno.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn _nss_ldap_getgrgid_r(
    gid: gid_t,
    result: *mut group,
    buffer: *mut c_char,
    length: size_t,
    errnop: *mut c_int,
) -> c_int {
    // SAFETY: glibc passes its errno.
    let errno = unsafe { Errno::new(errnop) };
    // SAFETY: glibc passes a struct and a buffer of this length.
    let target = unsafe { Target::new(result, buffer, length) };
    answer::call::<Group>(&errno, Asked::Id(gid), target)
}

/// `setgrent(3)`: the enumeration starts anew.
#[unsafe(no_mangle)]
pub extern "C" fn _nss_ldap_setgrent(_stay_open: c_int) -> c_int {
    enter(&Errno::NONE, enumerate::reset::<Group>)
}

/// `getgrent_r(3)`.
///
/// # Safety
/// glibc passes a struct and a buffer of this length to write to, and its errno.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn _nss_ldap_getgrent_r(
    result: *mut group,
    buffer: *mut c_char,
    length: size_t,
    errnop: *mut c_int,
) -> c_int {
    // SAFETY: glibc passes its errno.
    let errno = unsafe { Errno::new(errnop) };
    // SAFETY: glibc passes a struct and a buffer of this length.
    let target = unsafe { Target::new(result, buffer, length) };
    enter(&errno, || enumerate::next::<Group>(target, &shared::HOST, host))
}

/// `endgrent(3)`: the enumeration lets go what it holds.
#[unsafe(no_mangle)]
pub extern "C" fn _nss_ldap_endgrent() -> c_int {
    enter(&Errno::NONE, enumerate::reset::<Group>)
}

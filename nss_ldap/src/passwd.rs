//! The database `passwd`.

use std::thread::LocalKey;

use common::account::{Uid, User};
use common::protocol::{Batch, Map, Request, Response};
use common::table::View;
use common::table::shared;
use libc::{c_char, c_int, passwd, size_t, uid_t};

use crate::answer::{self, Record, host};
use crate::buffer::{Buffer, Short, Target};
use crate::entry::{Errno, Text, enter, name};
use crate::enumerate::{self, Enumeration};
use crate::status::{self, Failure};
use crate::table::{self, Asked, Miss};

thread_local! {
    static ENUMERATION: Enumeration<User> = const { Enumeration::new() };
}

impl Record for User {
    type C = passwd;
    const MAP: Map = Map::Users;
    const IN_TABLE: bool = true;

    fn request(asked: Asked<'_>) -> Result<Request, Failure> {
        Ok(match asked {
            Asked::Name(text) => Request::UserByName(name(text)?),
            Asked::Id(id) => Request::UserById(Uid::new(id).map_err(|_| Failure::NotFound)?),
        })
    }

    fn one(response: Response) -> Result<Self, Failure> {
        match response {
            Response::User(user) => Ok(user),
            other => Err(status::failure(&other)),
        }
    }

    fn batch(response: Response) -> Result<Batch<Self>, Failure> {
        match response {
            Response::Users(batch) => Ok(batch),
            other => Err(status::failure(&other)),
        }
    }

    fn to_c(&self, buffer: &mut Buffer) -> Result<passwd, Short> {
        // "x", passwd(5): the password is elsewhere.
        let strings @ [name, password, gecos, home, shell] =
            [self.name.as_str(), "x", self.gecos.as_str(), self.home.as_str(), self.shell.as_str()];
        buffer.expect(&strings)?;
        Ok(passwd {
            pw_name: buffer.string(name)?,
            pw_passwd: buffer.string(password)?,
            pw_uid: self.uid.get(),
            pw_gid: self.gid.get(),
            pw_gecos: buffer.string(gecos)?,
            pw_dir: buffer.string(home)?,
            pw_shell: buffer.string(shell)?,
        })
    }

    #[inline]
    fn find(view: &View<'_>, asked: Asked<'_>, buffer: &mut Buffer) -> Result<passwd, Miss> {
        let answer = match asked {
            Asked::Name(name) => view.user_by_name(name.ok_or(Miss::NotFound)?),
            Asked::Id(id) => view.user_by_id(id),
        };
        table::user(&table::found(answer)?, buffer)
    }

    fn next(view: &View<'_>, slot: usize, buffer: &mut Buffer) -> Result<(passwd, usize), Miss> {
        let (user, slot) = view.next_user(slot).ok_or(Miss::NotFound)?;
        Ok((table::user(&user, buffer)?, slot))
    }

    fn enumeration() -> &'static LocalKey<Enumeration<Self>> {
        &ENUMERATION
    }
}

/// `getpwnam_r(3)`.
///
/// # Safety
/// glibc passes a string, a struct and a buffer of this length to write to, and its errno.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn _nss_ldap_getpwnam_r(
    name: *const c_char,
    result: *mut passwd,
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
    answer::call::<User>(&errno, Asked::Name(text.bytes()), target)
}

/// `getpwuid_r(3)`.
///
/// # Safety
/// glibc passes a struct and a buffer of this length to write to, and its errno.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn _nss_ldap_getpwuid_r(
    uid: uid_t,
    result: *mut passwd,
    buffer: *mut c_char,
    length: size_t,
    errnop: *mut c_int,
) -> c_int {
    // SAFETY: glibc passes its errno.
    let errno = unsafe { Errno::new(errnop) };
    // SAFETY: glibc passes a struct and a buffer of this length.
    let target = unsafe { Target::new(result, buffer, length) };
    answer::call::<User>(&errno, Asked::Id(uid), target)
}

/// `setpwent(3)`: the enumeration starts anew.
#[unsafe(no_mangle)]
pub extern "C" fn _nss_ldap_setpwent(_stay_open: c_int) -> c_int {
    enter(&Errno::NONE, enumerate::reset::<User>)
}

/// `getpwent_r(3)`.
///
/// # Safety
/// glibc passes a struct and a buffer of this length to write to, and its errno.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn _nss_ldap_getpwent_r(
    result: *mut passwd,
    buffer: *mut c_char,
    length: size_t,
    errnop: *mut c_int,
) -> c_int {
    // SAFETY: glibc passes its errno.
    let errno = unsafe { Errno::new(errnop) };
    // SAFETY: glibc passes a struct and a buffer of this length.
    let target = unsafe { Target::new(result, buffer, length) };
    enter(&errno, || enumerate::next::<User>(target, &shared::HOST, host))
}

/// `endpwent(3)`: the enumeration lets go what it holds.
#[unsafe(no_mangle)]
pub extern "C" fn _nss_ldap_endpwent() -> c_int {
    enter(&Errno::NONE, enumerate::reset::<User>)
}

//! The database `shadow`.

use std::thread::LocalKey;

use common::account::Shadow;
use common::protocol::{Batch, Map, Request, Response};
use common::table::shared;
use libc::{c_char, c_int, c_long, c_ulong, size_t, spwd};

use crate::answer::{self, Record, host};
use crate::buffer::{Buffer, Short, Target};
use crate::entry::{Errno, Text, enter, name};
use crate::enumerate::{self, Enumeration};
use crate::status::{self, Failure};
use crate::table::Asked;

thread_local! {
    static ENUMERATION: Enumeration<Shadow> = const { Enumeration::new() };
}

impl Record for Shadow {
    type C = spwd;
    const MAP: Map = Map::Shadows;
    const IN_TABLE: bool = false;

    fn request(asked: Asked<'_>) -> Result<Request, Failure> {
        match asked {
            Asked::Name(text) => Ok(Request::ShadowByName(name(text)?)),
            Asked::Id(_) => Err(Failure::NotFound),
        }
    }

    fn one(response: Response) -> Result<Self, Failure> {
        match response {
            Response::Shadow(shadow) => Ok(shadow),
            other => Err(status::failure(&other)),
        }
    }

    fn batch(response: Response) -> Result<Batch<Self>, Failure> {
        match response {
            Response::Shadows(batch) => Ok(batch),
            other => Err(status::failure(&other)),
        }
    }

    fn to_c(&self, buffer: &mut Buffer) -> Result<spwd, Short> {
        // "*", shadow(5): no hash leaves the directory, and none matches this.
        let strings @ [name, hash] = [self.name.as_str(), "*"];
        buffer.expect(&strings)?;
        Ok(spwd {
            sp_namp: buffer.string(name)?,
            sp_pwdp: buffer.string(hash)?,
            sp_lstchg: days(self.last_change),
            sp_min: days(self.min),
            sp_max: days(self.max),
            sp_warn: days(self.warn),
            sp_inact: days(self.inactive),
            sp_expire: days(self.expire),
            sp_flag: self.flag.map_or(c_ulong::MAX, c_ulong::from),
        })
    }

    fn enumeration() -> &'static LocalKey<Enumeration<Self>> {
        &ENUMERATION
    }
}

/// An empty field of `shadow(5)` is -1 in C.
fn days(number: Option<i64>) -> c_long {
    number.map_or(-1, c_long::from)
}

/// Whether the caller may read this database. The daemon looks again, at
/// the credentials that the kernel tells it; this spares everybody else the way.
fn only_root() -> Result<(), Failure> {
    // SAFETY: geteuid(2) has no precondition.
    if unsafe { libc::geteuid() } == 0 { Ok(()) } else { Err(Failure::NotRoot) }
}

/// `getspnam_r(3)`.
///
/// # Safety
/// glibc passes a string, a struct and a buffer of this length to write to, and its errno.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn _nss_ldap_getspnam_r(
    name: *const c_char,
    result: *mut spwd,
    buffer: *mut c_char,
    length: size_t,
    errnop: *mut c_int,
) -> c_int {
    // SAFETY: glibc passes its errno.
    let errno = unsafe { Errno::new(errnop) };
    // SAFETY: glibc passes a string.
    let text = unsafe { Text::new(name) };
    // SAFETY: glibc passes a struct and a buffer of this length.
    let mut target = unsafe { Target::new(result, buffer, length) };
    enter(&errno, || {
        only_root()?;
        let asked = Asked::Name(text.bytes());
        answer::lookup::<Shadow>(asked, &mut target, &shared::HOST, host)
    })
}

/// `setspent(3)`: the enumeration starts anew.
#[unsafe(no_mangle)]
pub extern "C" fn _nss_ldap_setspent(_stay_open: c_int) -> c_int {
    enter(&Errno::NONE, enumerate::reset::<Shadow>)
}

/// `getspent_r(3)`.
///
/// # Safety
/// glibc passes a struct and a buffer of this length to write to, and its errno.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn _nss_ldap_getspent_r(
    result: *mut spwd,
    buffer: *mut c_char,
    length: size_t,
    errnop: *mut c_int,
) -> c_int {
    // SAFETY: glibc passes its errno.
    let errno = unsafe { Errno::new(errnop) };
    // SAFETY: glibc passes a struct and a buffer of this length.
    let target = unsafe { Target::new(result, buffer, length) };
    enter(&errno, || {
        only_root()?;
        enumerate::next::<Shadow>(target, &shared::HOST, host)
    })
}

/// `endspent(3)`: the enumeration lets go what it holds.
#[unsafe(no_mangle)]
pub extern "C" fn _nss_ldap_endspent() -> c_int {
    enter(&Errno::NONE, enumerate::reset::<Shadow>)
}

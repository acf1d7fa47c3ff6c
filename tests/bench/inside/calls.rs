//! The calls of the C library that are measured, with as little around them as
//! can be: a C program would make them the same way.

use std::ffi::{CString, c_char, c_int};
use std::mem::{MaybeUninit, zeroed};
use std::ptr;

/// With what glibc's own `getpwnam(3)` begins.
const FIRST_BUFFER: usize = 1024;

unsafe extern "C" {
    /// glibc's, from `nss.h`.
    fn __nss_configure_lookup(database: *const c_char, services: *const c_char) -> c_int;
}

/// Says which module this process uses, as `/etc/nsswitch.conf` would. From
/// then on glibc no longer looks before each lookup whether that file has
/// changed (a `stat(2)`), and doesn't ask nscd.
pub(super) fn configure(services: &str) {
    let services = text(services);
    // SAFETY: two strings, which glibc copies; the callers have no other thread at the time.
    let code = unsafe { __nss_configure_lookup(c"passwd".as_ptr(), services.as_ptr()) };
    assert_eq!(code, 0, "passwd is a database");
}

/// What is asked for.
#[derive(Debug, Clone)]
pub(super) enum Key {
    User(CString),
    Uid(u32),
    Group(CString),
    Gid(u32),
    /// `getgrouplist(3)`
    GroupsOf(CString),
}

impl Key {
    pub(super) fn user(name: &str) -> Self {
        Self::User(text(name))
    }

    pub(super) fn group(name: &str) -> Self {
        Self::Group(text(name))
    }

    pub(super) fn groups_of(name: &str) -> Self {
        Self::GroupsOf(text(name))
    }
}

fn text(name: &str) -> CString {
    CString::new(name).expect("a name has no NUL")
}

/// Makes calls; its buffer grows as needed and is kept, like glibc's own.
pub(super) struct Caller {
    buffer: Vec<MaybeUninit<c_char>>,
    gids: Vec<libc::gid_t>,
    group: libc::group,
    /// Of the last `getgrouplist`.
    count: usize,
}

impl Caller {
    pub(super) fn new() -> Self {
        // SAFETY: null pointers and zeros are a valid `struct group`.
        let group = unsafe { zeroed() };
        Self { buffer: Vec::with_capacity(FIRST_BUFFER), gids: vec![0; 64], group, count: 0 }
    }

    /// Forgets how large the answers so far were.
    pub(super) fn shrink(&mut self) {
        self.buffer = Vec::with_capacity(FIRST_BUFFER);
    }

    /// One lookup; whether there is an answer. Where the buffer is too small
    /// it is doubled, as in glibc, and the call made again.
    ///
    /// # Panics
    /// For every error: what fails has no speed.
    pub(super) fn call(&mut self, key: &Key) -> bool {
        self.attempt(key).unwrap_or_else(|code| panic!("{key:?}: errno {code}"))
    }

    /// The same where errors are to be expected.
    ///
    /// # Errors
    /// errno.
    pub(super) fn attempt(&mut self, key: &Key) -> Result<bool, c_int> {
        loop {
            let (code, found) = match key {
                Key::User(name) => self.passwd(|entry, buffer, size, found| {
                    // SAFETY: a string, a struct, a buffer of this size, a place for the result.
                    unsafe { libc::getpwnam_r(name.as_ptr(), entry, buffer, size, found) }
                }),
                Key::Uid(uid) => self.passwd(|entry, buffer, size, found| {
                    // SAFETY: a struct, a buffer of this size, a place for the result.
                    unsafe { libc::getpwuid_r(*uid, entry, buffer, size, found) }
                }),
                Key::Group(name) => self.group(|entry, buffer, size, found| {
                    // SAFETY: a string, a struct, a buffer of this size, a place for the result.
                    unsafe { libc::getgrnam_r(name.as_ptr(), entry, buffer, size, found) }
                }),
                Key::Gid(gid) => self.group(|entry, buffer, size, found| {
                    // SAFETY: a struct, a buffer of this size, a place for the result.
                    unsafe { libc::getgrgid_r(*gid, entry, buffer, size, found) }
                }),
                Key::GroupsOf(name) => {
                    self.groups_of(name);
                    return Ok(self.count > 0);
                }
            };
            match code {
                0 => return Ok(found),
                libc::ERANGE => self.buffer = Vec::with_capacity(2 * self.buffer.capacity()),
                // What glibc gives for a name that nobody knows, by getpwnam_r(3).
                libc::ENOENT | libc::ESRCH => return Ok(false),
                code => return Err(code),
            }
        }
    }

    /// How many members or groups the last answer had.
    pub(super) fn items(&self, key: &Key) -> usize {
        if let Key::GroupsOf(_) = key {
            return self.count;
        }
        let mut member = self.group.gr_mem;
        let mut count = 0;
        while !member.is_null() {
            // SAFETY: the list ends with a null pointer, and this is not beyond it.
            if unsafe { member.read() }.is_null() {
                break;
            }
            count += 1;
            // SAFETY: the one just read was not the last.
            member = unsafe { member.add(1) };
        }
        count
    }

    fn passwd(
        &mut self,
        call: impl Fn(*mut libc::passwd, *mut c_char, usize, *mut *mut libc::passwd) -> c_int,
    ) -> (c_int, bool) {
        let mut entry = MaybeUninit::uninit();
        let mut found = ptr::null_mut();
        let buffer = self.buffer.as_mut_ptr().cast();
        let code = call(entry.as_mut_ptr(), buffer, self.buffer.capacity(), &raw mut found);
        (code, !found.is_null())
    }

    fn group(
        &mut self,
        call: impl Fn(*mut libc::group, *mut c_char, usize, *mut *mut libc::group) -> c_int,
    ) -> (c_int, bool) {
        let mut found = ptr::null_mut();
        let buffer = self.buffer.as_mut_ptr().cast();
        let code = call(&raw mut self.group, buffer, self.buffer.capacity(), &raw mut found);
        (code, !found.is_null())
    }

    fn groups_of(&mut self, name: &CString) {
        loop {
            let mut count = c_int::try_from(self.gids.len()).expect("it is short");
            let list = self.gids.as_mut_ptr();
            // The primary gid, which is in the answer as well: never one of a user here.
            // SAFETY: a string, and a list with its size.
            let code = unsafe { libc::getgrouplist(name.as_ptr(), 1, list, &raw mut count) };
            let count = usize::try_from(count).unwrap_or_default();
            if code >= 0 {
                self.count = count - 1;
                return;
            }
            self.gids.resize(count.max(self.gids.len() + 1), 0);
        }
    }
}

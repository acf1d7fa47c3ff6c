//! The C library's calls, `getpwnam_r(3)` and its like.

use std::ffi::{CStr, CString, c_char, c_int};
use std::mem::MaybeUninit;

/// How big the first buffer is; it is doubled as often as it takes, as the
/// manual page advises.
const FIRST_BUFFER: usize = 128;
const LARGEST_BUFFER: usize = 1 << 28;

/// A line as in passwd(5) or group(5), `None` if there is no such entry, or the
/// error's number.
pub(crate) type Answer = Result<Option<String>, c_int>;

pub(crate) fn user(name: &str) -> Answer {
    let name = CString::new(name).expect("no NUL in it");
    look_up(
        // SAFETY: look_up passes a struct, a buffer of this length and a pointer to set.
        |entry, buffer, length, found| unsafe {
            libc::getpwnam_r(name.as_ptr(), entry, buffer, length, found)
        },
        passwd_line,
    )
}

pub(crate) fn user_by_id(uid: u32) -> Answer {
    look_up(
        // SAFETY: look_up passes a struct, a buffer of this length and a pointer to set.
        |entry, buffer, length, found| unsafe {
            libc::getpwuid_r(uid, entry, buffer, length, found)
        },
        passwd_line,
    )
}

pub(crate) fn group(name: &str) -> Answer {
    let name = CString::new(name).expect("no NUL in it");
    look_up(
        // SAFETY: look_up passes a struct, a buffer of this length and a pointer to set.
        |entry, buffer, length, found| unsafe {
            libc::getgrnam_r(name.as_ptr(), entry, buffer, length, found)
        },
        group_line,
    )
}

pub(crate) fn group_by_id(gid: u32) -> Answer {
    look_up(
        // SAFETY: look_up passes a struct, a buffer of this length and a pointer to set.
        |entry, buffer, length, found| unsafe {
            libc::getgrgid_r(gid, entry, buffer, length, found)
        },
        group_line,
    )
}

/// The ids of a user's groups; 1 stands for the primary one. `getgrouplist(3)`
/// can't say that it failed.
pub(crate) fn groups_of(name: &str) -> String {
    let name = CString::new(name).expect("no NUL in it");
    let mut ids = vec![0; 1 << 17];
    let mut count = c_int::try_from(ids.len()).expect("it is small");
    // SAFETY: a string, and a list with its size.
    unsafe { libc::getgrouplist(name.as_ptr(), 1, ids.as_mut_ptr(), &raw mut count) };
    ids.truncate(usize::try_from(count).unwrap_or_default());
    ids.sort_unstable();
    ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

/// How many groups a user is in, at most as many as there is room for.
pub(crate) fn count_groups(name: &CStr, ids: &mut [libc::gid_t]) -> c_int {
    let mut count = c_int::try_from(ids.len()).expect("it is small");
    // SAFETY: a string, and a list with its size.
    unsafe { libc::getgrouplist(name.as_ptr(), 1, ids.as_mut_ptr(), &raw mut count) };
    count
}

/// `setpwent(3)`
pub(crate) fn begin() {
    // SAFETY: it has no arguments.
    unsafe { libc::setpwent() };
}

/// The next user of the enumeration. At the end `errno`, which says more than
/// what `getpwent_r(3)` returns: that is ENOENT whatever happened.
pub(crate) fn next_user() -> Result<String, c_int> {
    let answer = look_up(
        |entry, buffer, length, found| {
            set_errno(0);
            // SAFETY: look_up passes a struct, a buffer of this length and a pointer to set.
            unsafe { libc::getpwent_r(entry, buffer, length, found) }
        },
        passwd_line,
    );
    match answer {
        Ok(Some(line)) => Ok(line),
        Ok(None) | Err(_) => {
            Err(std::io::Error::last_os_error().raw_os_error().unwrap_or_default())
        }
    }
}

fn set_errno(value: c_int) {
    // SAFETY: it is this thread's errno.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: glibc's pointer is valid as long as the thread lives.
    unsafe { errno.write(value) };
}

fn look_up<T>(
    call: impl Fn(*mut T, *mut c_char, usize, *mut *mut T) -> c_int,
    show: impl Fn(&T) -> String,
) -> Answer {
    let mut buffer: Vec<c_char> = vec![0; FIRST_BUFFER];
    loop {
        let mut entry = MaybeUninit::<T>::zeroed();
        let mut found: *mut T = std::ptr::null_mut();
        match call(entry.as_mut_ptr(), buffer.as_mut_ptr(), buffer.len(), &raw mut found) {
            // SAFETY: it is null, or points to `entry`, which the call has filled.
            0 => return Ok(unsafe { found.as_ref() }.map(show)),
            libc::ERANGE if buffer.len() < LARGEST_BUFFER => buffer.resize(buffer.len() * 2, 0),
            errno => return Err(errno),
        }
    }
}

fn passwd_line(entry: &libc::passwd) -> String {
    let [name, gecos, home, shell] =
        [entry.pw_name, entry.pw_gecos, entry.pw_dir, entry.pw_shell].map(text);
    format!("{name}:{}:{}:{gecos}:{home}:{shell}", entry.pw_uid, entry.pw_gid)
}

fn group_line(entry: &libc::group) -> String {
    let mut members = Vec::new();
    let mut next = entry.gr_mem;
    loop {
        // SAFETY: the list ends with a null pointer, and this is not beyond it.
        let member = unsafe { next.read() };
        if member.is_null() {
            break;
        }
        members.push(text(member));
        // SAFETY: the one just read was not the last.
        next = unsafe { next.add(1) };
    }
    // A directory keeps them in an order of its own.
    members.sort_unstable();
    format!("{}:{}:{}", text(entry.gr_name), entry.gr_gid, members.join(","))
}

fn text(string: *mut c_char) -> String {
    // SAFETY: a field of a struct that glibc filled is a string in its buffer.
    unsafe { CStr::from_ptr(string) }.to_string_lossy().into_owned()
}

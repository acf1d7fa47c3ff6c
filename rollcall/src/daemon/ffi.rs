//! The unsafe calls: `fork(2)`, `close_range(2)`, and glibc's `__nss_configure_lookup`.

use std::ffi::{CStr, c_char, c_int};
use std::io;

use nix::unistd::ForkResult;

unsafe extern "C" {
    /// `<nss.h>`: from now on, this process looks `database` up as `line` says,
    /// whatever `/etc/nsswitch.conf` says.
    fn __nss_configure_lookup(database: *const c_char, line: *const c_char) -> c_int;
}

/// Makes this process look up accounts in the local files only. A daemon that
/// asked `libnss_ldap` would wait for itself.
pub(super) fn look_up_in_files_only() {
    const FILES: &CStr = c"files";
    for database in [c"passwd", c"group", c"shadow", c"gshadow", c"initgroups"] {
        // SAFETY: both are NUL-terminated and static; glibc's function copies
        // them and takes its own lock. A database it doesn't know is an error
        // code, and then there is nothing to configure.
        unsafe { __nss_configure_lookup(database.as_ptr(), FILES.as_ptr()) };
    }
}

/// `fork(2)`, for a process with one thread.
///
/// # Errors
/// Also when this process has more threads: the child would inherit the locks
/// that they hold.
pub(super) fn fork() -> io::Result<ForkResult> {
    if std::fs::read_dir("/proc/self/task").is_ok_and(|tasks| tasks.count() > 1) {
        return Err(io::Error::other("fork with more than one thread"));
    }
    // SAFETY: fork is safe where there is one thread, which was just checked
    // (where /proc isn't mounted: the caller is the start of the program, which
    // has started none).
    unsafe { nix::unistd::fork() }.map_err(Into::into)
}

/// Closes whatever else was left open by the process that started this one: a
/// pipe that a daemon holds by accident keeps its reader waiting for ever.
/// Only at the start, while this program has opened nothing itself.
pub(super) fn close_what_was_inherited() {
    // SAFETY: takes numbers only. No Rust object owns a descriptor above
    // standard error yet: `Detaching::unless`, which runs before any is opened,
    // is the only caller. A kernel without the call says ENOSYS, and all stays open.
    unsafe { libc::close_range(3, libc::c_uint::MAX, 0) };
}

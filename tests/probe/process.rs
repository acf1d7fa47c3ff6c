//! Processes and signals.

use std::ffi::c_int;

/// What a C program starts with, `signal(7)`.
pub(crate) fn default_sigpipe() {
    // SAFETY: SIG_DFL is a valid disposition.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
}

/// `fork(2)`
pub(crate) fn fork() -> c_int {
    // SAFETY: that threads may be there, and what becomes of them, is what is tested.
    let child = unsafe { libc::fork() };
    assert!(child >= 0, "fork: {}", std::io::Error::last_os_error());
    child
}

/// Waits for a child's end and tells its status as `wait(2)` has it; 0 is good.
pub(crate) fn wait(child: c_int) -> c_int {
    let mut status = 0;
    // SAFETY: it writes a number to `status`.
    let ended = unsafe { libc::waitpid(child, &raw mut status, 0) };
    assert_eq!(ended, child, "{}", std::io::Error::last_os_error());
    status
}

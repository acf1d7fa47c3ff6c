//! Processes and signals.

use std::ffi::{CString, c_int};
use std::io::Error;

/// What a C program starts with, `signal(7)`.
pub(crate) fn default_sigpipe() {
    // SAFETY: SIG_DFL is a valid disposition.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
}

/// `fork(2)`
pub(crate) fn fork() -> c_int {
    let child = fork_quietly();
    assert!(child >= 0, "fork: {}", Error::last_os_error());
    child
}

/// `fork(2)`, as a signal handler may call it; negative where it fails.
pub(crate) fn fork_quietly() -> c_int {
    // SAFETY: that threads may be there, and what becomes of them, is what is tested.
    unsafe { libc::fork() }
}

/// Waits for a child's end and tells its status as `wait(2)` has it; 0 is good.
pub(crate) fn wait(child: c_int) -> c_int {
    let mut status = 0;
    // SAFETY: it writes a number to `status`.
    let ended = unsafe { libc::waitpid(child, &raw mut status, 0) };
    assert_eq!(ended, child, "{}", Error::last_os_error());
    status
}

/// The status of a child that has ended; `patient` waits for one.
pub(crate) fn ended_child(patient: bool) -> Option<c_int> {
    let mut status = 0;
    let flags = if patient { 0 } else { libc::WNOHANG };
    // SAFETY: it writes a number to `status`.
    let ended = unsafe { libc::waitpid(-1, &raw mut status, flags) };
    (ended > 0).then_some(status)
}

/// Ends the process without a word, `_exit(2)`.
pub(crate) fn exit_now(status: c_int) -> ! {
    // SAFETY: it has no preconditions.
    unsafe { libc::_exit(status) }
}

/// Runs a handler every so many microseconds, `setitimer(2)`. Children don't inherit it.
pub(crate) fn on_alarm(handler: extern "C" fn(c_int), interval: i64) {
    // SAFETY: the handler does only what signal-safety(7) allows.
    unsafe { libc::signal(libc::SIGALRM, handler as *const () as libc::sighandler_t) };
    set_timer(interval);
}

/// Ends [`on_alarm`].
pub(crate) fn no_alarm() {
    set_timer(0);
}

fn set_timer(interval: i64) {
    let time = libc::timeval { tv_sec: 0, tv_usec: interval };
    let timer = libc::itimerval { it_interval: time, it_value: time };
    // SAFETY: it reads a struct, and writes the old one nowhere.
    let result =
        unsafe { libc::setitimer(libc::ITIMER_REAL, &raw const timer, std::ptr::null_mut()) };
    assert_eq!(result, 0, "{}", Error::last_os_error());
}

/// `chroot(2)`
pub(crate) fn change_root(path: &str) {
    let path = CString::new(path).expect("no NUL in it");
    // SAFETY: it reads a string.
    let result = unsafe { libc::chroot(path.as_ptr()) };
    assert_eq!(result, 0, "{}", Error::last_os_error());
    std::env::set_current_dir("/").expect("the root is there");
}

/// Lets the address space grow by so many bytes and no more, `setrlimit(2)`.
pub(crate) fn limit_memory(more: u64) {
    let pages = std::fs::read_to_string("/proc/self/statm").expect("/proc is mounted");
    let pages: u64 = pages.split(' ').next().and_then(|n| n.parse().ok()).expect("a number");
    let bytes = pages * 4096 + more;
    let limit = libc::rlimit { rlim_cur: bytes, rlim_max: bytes };
    // SAFETY: it reads the struct.
    let result = unsafe { libc::setrlimit(libc::RLIMIT_AS, &raw const limit) };
    assert_eq!(result, 0, "{}", Error::last_os_error());
}

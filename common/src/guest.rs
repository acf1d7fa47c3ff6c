//! What surrounds every call from a program that isn't ours.
//!
//! **No panic leaves**, and none prints: the default hook writes to the stderr
//! of the program, and reads `RUST_BACKTRACE`.
//!
//! **No cancellation arrives.** `pthread_cancel(3)` ends a thread at its next
//! cancellation point (`close`, `connect`, `send`, `poll`, see `pthreads(7)`) by
//! unwinding its stack. Where that meets `catch_unwind` or a Rust function that C
//! has called, the whole process is aborted. So a cancellation waits
//! until the call is over, and the call has a deadline. A conversation of PAM's
//! is within the call: it couldn't be left by unwinding either, so a thread that
//! is cancelled while it waits for a password ends after the answer.
//!
//! **No standard descriptor is taken.** A program that has closed its first
//! three gets their numbers from the next `socket(2)`, and whoever then prints,
//! prints into our connection.

use std::cell::Cell;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, Ordering};

use libc::c_int;

use crate::direct;

/// `PTHREAD_CANCEL_DISABLE` of `pthread.h`, in glibc and musl alike.
const CANCEL_DISABLE: c_int = 1;

unsafe extern "C" {
    /// `pthread_setcancelstate(3)`; not in the crate `libc`.
    fn pthread_setcancelstate(state: c_int, old: *mut c_int) -> c_int;
}

/// Whether this library's panic hook is in place.
static QUIET: AtomicBool = AtomicBool::new(false);

thread_local! {
    /// Whether this thread is within a call.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
    /// Where the panic that is on its way began.
    static PLACE: Cell<Option<String>> = const { Cell::new(None) };
}

/// Runs what a module does for one call of its host.
///
/// What the body leaves behind after a panic must be safe to meet again.
///
/// # Errors
/// Where in the source the body has panicked. Not why: the text of a panic may
/// quote what was worked on, and that may be a password.
pub fn enter<T>(body: impl FnOnce() -> T) -> Result<T, String> {
    let _call = Call::begin();
    panic::catch_unwind(AssertUnwindSafe(|| {
        be_quiet();
        direct::remember_root();
        body()
    }))
    .map_err(|_| PLACE.try_with(Cell::take).ok().flatten().unwrap_or_default())
}

/// Runs a body that reaches no cancellation point and takes no time, without what
/// [`enter`] costs, which is more than a lookup in the table. `None` also where it panics: such a
/// body is written so that it can't, and who gets nothing from it goes on with [`enter`].
///
/// A panic here would be as quiet as there, without this thread being marked: a body sees nothing before
/// an [`enter`] of this process has mapped a table, and that one has put the hook in place.
#[inline]
pub fn glance<T>(body: impl FnOnce() -> Option<T>) -> Option<T> {
    panic::catch_unwind(AssertUnwindSafe(body)).unwrap_or(None)
}

/// A module has a standard library of its own, so its hook is nobody else's, and there are
/// no panics but in [`enter`] and [`glance`]. In a test, which is built for debugging, the
/// panics outside a call are the test's.
/// A flag, not a lock: a fork in between must not leave a child waiting.
fn be_quiet() {
    if !QUIET.load(Ordering::Relaxed) && !QUIET.swap(true, Ordering::Relaxed) {
        let others = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if INSIDE.get() {
                let place = info.location().map(ToString::to_string);
                let _ = PLACE.try_with(|slot| slot.set(place));
            } else if cfg!(debug_assertions) {
                others(info);
            }
        }));
    }
}

/// As long as it lives, its thread is within a call and can't be cancelled.
struct Call {
    was_inside: bool,
    was_cancelable: c_int,
}

impl Call {
    fn begin() -> Self {
        let mut was_cancelable = CANCEL_DISABLE;
        // SAFETY: it writes the old state to that variable, and has no other precondition.
        unsafe { pthread_setcancelstate(CANCEL_DISABLE, &raw mut was_cancelable) };
        Self { was_inside: INSIDE.replace(true), was_cancelable }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        INSIDE.set(self.was_inside);
        let mut ours = 0;
        // SAFETY: it writes the state that we had to `ours`, has no other precondition, and is no
        // cancellation point itself (pthreads(7)).
        unsafe { pthread_setcancelstate(self.was_cancelable, &raw mut ours) };
    }
}

/// This descriptor, or in its place one that isn't among the first three.
///
/// # Errors
/// When there is no other descriptor.
pub fn above_standard(fd: OwnedFd) -> io::Result<OwnedFd> {
    const FIRST: c_int = libc::STDERR_FILENO + 1;
    if fd.as_raw_fd() >= FIRST {
        return Ok(fd);
    }
    Ok(rustix::io::fcntl_dupfd_cloexec(&fd, FIRST)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::sync::atomic::AtomicI32;

    const CANCEL_ENABLE: c_int = 0;

    unsafe extern "C" {
        fn pthread_cancel(thread: libc::pthread_t) -> c_int;
    }

    /// Sets this thread's state, and gives the one before.
    fn set_state(state: c_int) -> c_int {
        let mut before = -1;
        // SAFETY: it writes to `before`.
        assert_eq!(unsafe { pthread_setcancelstate(state, &raw mut before) }, 0);
        before
    }

    #[test]
    fn a_panic_does_not_leave_and_tells_its_place_but_not_its_text() {
        let place = enter(|| panic!("hunter2")).unwrap_err();
        assert!(place.contains("guest.rs:") && !place.contains("hunter2"), "{place}");
    }

    #[test]
    fn a_value_comes_back() {
        assert_eq!(enter(|| 7), Ok(7));
    }

    #[test]
    fn a_glance_that_panics_sees_nothing() {
        assert_eq!(glance(|| Some(7)), Some(7));
        let _ = enter(|| assert_eq!(glance(|| panic!("on purpose")), None::<()>));
    }

    #[test]
    fn a_cancelled_thread_ends_its_call_and_can_be_cancelled_afterwards() {
        static AFTERWARDS: AtomicI32 = AtomicI32::new(-1);
        let thread = std::thread::spawn(|| {
            // SAFETY: no arguments.
            let this = unsafe { libc::pthread_self() };
            // SAFETY: the calling thread, which lives.
            unsafe { pthread_cancel(this) };
            // Opening and closing are cancellation points.
            let opened = enter(|| File::open("/dev/null").is_ok());
            AFTERWARDS.store(set_state(CANCEL_DISABLE), Ordering::Relaxed);
            assert_eq!(opened, Ok(true));
        });
        thread.join().unwrap();
        assert_eq!(AFTERWARDS.load(Ordering::Relaxed), CANCEL_ENABLE);
    }

    #[test]
    fn whoever_could_not_be_cancelled_before_cannot_be_after_a_panic_either() {
        set_state(CANCEL_DISABLE);
        let _ = enter(|| panic!("on purpose"));
        assert_eq!(set_state(CANCEL_ENABLE), CANCEL_DISABLE);
    }

    #[test]
    fn another_descriptor_stays_as_it_is() {
        let fd = OwnedFd::from(File::open("/dev/null").unwrap());
        let number = fd.as_raw_fd();
        assert_eq!(above_standard(fd).unwrap().as_raw_fd(), number);
    }
}

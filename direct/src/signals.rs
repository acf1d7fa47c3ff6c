//! Threads that no signal of the host's reaches.

use std::mem::MaybeUninit;

/// Until it is dropped, all signals are blocked in the thread that made it.
/// Those that arrive meanwhile are delivered afterwards.
pub(crate) struct Blocked {
    before: Option<libc::sigset_t>,
}

/// Blocks all signals in the calling thread.
///
/// glibc's function leaves out the two signals that it needs itself: one of
/// them makes `setuid(2)` reach all threads, and a thread that blocked it (by the
/// bare system call) would make the host hang in `setuid`.
pub(crate) fn block_all() -> Blocked {
    let mut all = MaybeUninit::uninit();
    let mut before = MaybeUninit::uninit();
    // SAFETY: it fills the set it is given.
    unsafe { libc::sigfillset(all.as_mut_ptr()) };
    // SAFETY: the first set was filled just above, the second one is filled here.
    let result =
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr()) };
    // SAFETY: the call filled it when it returned 0.
    Blocked { before: (result == 0).then(|| unsafe { before.assume_init() }) }
}

impl Drop for Blocked {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            // SAFETY: the set came from this function; no old one is asked for.
            unsafe {
                libc::pthread_sigmask(libc::SIG_SETMASK, before, std::ptr::null_mut());
            }
        }
    }
}

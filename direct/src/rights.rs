//! What the calling thread may do.

use std::mem::MaybeUninit;

/// `_LINUX_CAPABILITY_VERSION_3`, `capget(2)`.
const VERSION: u32 = 0x2008_0522;

/// The two 32-bit halves of the capabilities, as the kernel writes them.
#[repr(C)]
#[derive(Clone, Copy)]
struct Half {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// The effective user id of the calling thread.
pub(crate) fn euid() -> u32 {
    // SAFETY: it has no arguments and can't fail.
    unsafe { libc::geteuid() }
}

/// The effective group id of the calling thread.
pub(crate) fn egid() -> u32 {
    // SAFETY: it has no arguments and can't fail.
    unsafe { libc::getegid() }
}

/// Whether the calling thread is root, or has a capability or may give itself
/// one: a user that root became for a while (`seteuid(2)`) still may.
pub(crate) fn are_privileged() -> bool {
    euid() == 0 || has_capabilities()
}

/// Also true when the kernel doesn't tell.
fn has_capabilities() -> bool {
    // The second number is the thread; 0 is the calling one.
    let mut header = [VERSION, 0];
    let mut halves = MaybeUninit::<[Half; 2]>::uninit();
    // By number, since glibc has no function for it.
    // SAFETY: it writes the version to the header, and two halves for this version.
    let result =
        unsafe { libc::syscall(libc::SYS_capget, header.as_mut_ptr(), halves.as_mut_ptr()) };
    if result != 0 {
        return true;
    }
    // SAFETY: the call filled it when it returned 0.
    unsafe { halves.assume_init() }.iter().any(|half| half.effective | half.permitted != 0)
}

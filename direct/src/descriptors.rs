//! A descriptor table of our own, for the threads of this library.
//!
//! `close_range(2)` with `CLOSE_RANGE_UNSHARE` gives the calling thread a new
//! table without copying what it then would close, so nothing of the
//! host's is touched: no file is flushed, no record lock is lost (they belong
//! to a table, `fcntl(2)`), no pipe is held open. It needs Linux 5.9.
//! `unshare(CLONE_FILES)` would do on older kernels, but containers forbid it.

use std::io;

/// Moves the calling thread into an empty table, whose 0, 1 and 2 are taken:
/// reading from them is an end of file, and writing fails with EBADF, which
/// Rust's and C's printing functions bear.
///
/// # Errors
/// When the kernel can't or a sandbox doesn't let it; nothing was opened then.
pub(crate) fn leave_the_hosts() -> io::Result<()> {
    let flags = libc::CLOSE_RANGE_UNSHARE;
    // By number, since glibc has the function only from 2.34 on.
    // SAFETY: it closes descriptors of this thread's new table only, and this
    // library has no thread that shares it yet.
    check(unsafe { libc::syscall(libc::SYS_close_range, 0_u32, u32::MAX, flags) })?;
    take_the_standard_numbers()
}

/// The reading end of a pipe that nobody writes to, since in a chroot there
/// may be no `/dev/null`, and an open file would keep a file system busy.
fn take_the_standard_numbers() -> io::Result<()> {
    let mut pipe = [-1; 2];
    // SAFETY: it writes two numbers to the array.
    check(unsafe { libc::pipe2(pipe.as_mut_ptr(), libc::O_CLOEXEC) }.into())?;
    if pipe != [0, 1] {
        // A sandbox only pretended: this is not an empty table.
        for fd in pipe {
            // SAFETY: it was opened just above.
            unsafe { libc::close(fd) };
        }
        return Err(io::ErrorKind::Unsupported.into());
    }
    for target in [1, 2] {
        // SAFETY: all three numbers belong to this table, which is ours alone.
        check(unsafe { libc::dup3(0, target, libc::O_CLOEXEC) }.into())?;
    }
    Ok(())
}

fn check(result: libc::c_long) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

//! Whether anybody has taken a request.

use std::os::fd::{AsRawFd, BorrowedFd};

use libc::c_int;

/// Whether a part of what was sent still lies in the kernel (`SIOCOUTQ`; for a Unix socket, what the other
/// end hasn't read). A daemon that lives reads each request at once, however long
/// its answer takes. Where it can't be told, nobody is said to have read.
pub(super) fn is_unread(socket: BorrowedFd<'_>) -> bool {
    let mut left: c_int = 0;
    // SAFETY: the caller's descriptor is open; this request writes one int to `left`, which lives until it returns.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::TIOCOUTQ, &raw mut left) };
    result != 0 || left != 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    #[test]
    fn a_request_is_unread_until_the_other_end_has_read_it() {
        let (mut near, mut far) = UnixStream::pair().unwrap();
        assert!(!is_unread(near.as_fd()));
        near.write_all(b"who is alice?").unwrap();
        assert!(is_unread(near.as_fd()));
        far.read_exact(&mut [0; 13]).unwrap();
        assert!(!is_unread(near.as_fd()));
    }
}

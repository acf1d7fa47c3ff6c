//! Which answer is which status and errno.
//!
//! glibc's manual, "NSS Modules Interface": the status decides whether the next
//! service of `nsswitch.conf(5)` is asked, errno is what the program sees.

use common::protocol::{Refused, Response, Unavailable};
use libc::c_int;
use libnss::interop::NssStatus;

use crate::report;

/// Why a call doesn't succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// There is no such entry, or no further one.
    NotFound,
    /// Nobody knows.
    Unavailable,
    /// Only root may ask this.
    NotRoot,
    /// The caller's buffer is too small; a bigger one will do.
    ShortBuffer,
    /// There is no memory for the caller's list.
    NoMemory,
}

impl Failure {
    /// The status and errno of this failure.
    pub(crate) const fn codes(self) -> (NssStatus, c_int) {
        match self {
            Self::NotFound => (NssStatus::NotFound, libc::ENOENT),
            Self::Unavailable => (NssStatus::Unavail, libc::EAGAIN),
            Self::NotRoot => (NssStatus::Unavail, libc::EACCES),
            Self::ShortBuffer => (NssStatus::TryAgain, libc::ERANGE),
            Self::NoMemory => (NssStatus::TryAgain, libc::ENOMEM),
        }
    }
}

/// What a response means that isn't the one which was asked for.
pub(crate) fn failure(response: &Response) -> Failure {
    match response {
        Response::NotFound => return Failure::NotFound,
        Response::Refused(Refused::NotRoot) => return Failure::NotRoot,
        Response::Unavailable(why @ Unavailable::Protocol(_)) => report::rarely(why),
        // The daemon knows why and has logged it, or isn't there, which systemd logs.
        // A line from each process of the host would say no more.
        Response::Unavailable(_) => {}
        Response::Refused(why) => report::rarely(why),
        _ => report::rarely(&"the rollcall daemon answered another question"),
    }
    Failure::Unavailable
}

/// Whether nobody was there to answer, or not in time. A daemon that says what is wrong has
/// been asked, and knows what is in the table.
pub(crate) fn is_nobody(response: &Response) -> bool {
    let Response::Unavailable(why) = response else { return false };
    matches!(why, Unavailable::NoDaemon | Unavailable::Daemon(_) | Unavailable::TimedOut)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes(response: &Response) -> (i32, c_int) {
        let (status, errno) = failure(response).codes();
        (status as i32, errno)
    }

    #[test]
    fn an_outage_never_looks_like_no_such_entry() {
        for why in [
            Unavailable::NoDaemon,
            Unavailable::Daemon("connect: Connection refused".into()),
            Unavailable::Protocol("protocol version 9".into()),
            Unavailable::TimedOut,
            Unavailable::Busy,
            Unavailable::Configuration("x".into()),
            Unavailable::Directory("x".into()),
        ] {
            assert_eq!(codes(&Response::Unavailable(why)), (-1, libc::EAGAIN));
        }
    }

    #[test]
    fn no_such_entry_is_notfound_and_enoent() {
        assert_eq!(codes(&Response::NotFound), (0, libc::ENOENT));
    }

    #[test]
    fn what_only_root_may_ask_is_eacces() {
        assert_eq!(codes(&Response::Refused(Refused::NotRoot)), (-1, libc::EACCES));
    }

    #[test]
    fn an_answer_to_another_question_is_an_outage() {
        assert_eq!(codes(&Response::Gids(Vec::new())), (-1, libc::EAGAIN));
        assert_eq!(codes(&Response::Refused(Refused::Malformed)), (-1, libc::EAGAIN));
    }
}

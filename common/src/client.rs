//! Asks the daemon; on a host without one, asks `direct.so`.
//!
//! One connection per request: no descriptor outlives a call, so there is
//! nothing that a fork, a thread or a program that closes descriptors could
//! disturb. Everything here runs inside other people's processes: no panic, no
//! signal (`MSG_NOSIGNAL`), no wait without the request's deadline. How long a
//! daemon that may hang is waited for is in [`wait`].

use std::path::Path;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType, connect, recv,
    send, socket_with, sockopt,
};

use zeroize::Zeroizing;

use crate::deadline::Deadline;
use crate::frame::{self, RESPONSE_HEADER};
use crate::protocol::{Request, Response, Unavailable};
use crate::table::{Heart, Now};
use crate::{direct, guest, paths};

mod hung;
#[allow(unsafe_code)] // FFI: ioctl
mod unread;
pub mod wait;

use hung::Hung;
use unread::is_unread;
pub use wait::Wait;

/// The most that is read at once before the length of a response is known.
const FIRST_READ: usize = 4096;

/// Whom to ask.
#[derive(Clone, Copy, Debug)]
pub enum Client<'a> {
    /// This host's daemon; without one, `direct.so` with this host's configuration.
    Host,
    /// The daemon behind this socket, and nobody else.
    Socket(&'a Path),
    /// `direct.so` with this configuration, and nobody else.
    Direct(&'a str),
}

/// What this process has met of the host's daemon.
static HUNG: Hung = Hung::new();

impl Client<'_> {
    /// Puts a request and waits for its response, no longer than the deadline.
    /// Every failure on the way is a [`Response::Unavailable`].
    pub fn ask(self, request: &Request, deadline: Deadline) -> Response {
        self.ask_by(request, deadline, |path| until_read(path, request, deadline, &HUNG))
    }

    /// Puts a lookup, and waits for this host's daemon no longer than [`wait`] says.
    /// Every failure on the way is a [`Response::Unavailable`].
    pub fn look_up(self, request: &Request, mut wait: Wait<'_>) -> Response {
        let deadline = wait.deadline;
        self.ask_by(request, deadline, |path| patiently(path, request, &mut wait, &HUNG))
    }

    fn ask_by(
        self,
        request: &Request,
        deadline: Deadline,
        host: impl FnOnce(&Path) -> Result<Response, Unavailable>,
    ) -> Response {
        let answer = match self {
            Self::Socket(path) => ask_daemon(path, request, deadline),
            Self::Direct(config) => direct::ask(config, request, deadline),
            Self::Host => match host(Path::new(paths::SOCKET)) {
                Err(Unavailable::NoDaemon) if !has_table() => {
                    direct::ask(paths::CONFIG, request, deadline)
                }
                answer => answer,
            },
        };
        answer.unwrap_or_else(Response::Unavailable)
    }
}

/// Whether a daemon has ever run here: then this host's lookups wait for it,
/// and never for the network on their own.
fn has_table() -> bool {
    [paths::TABLE, paths::SEALED_TABLE]
        .iter()
        .any(|path| rustix::fs::access(*path, rustix::fs::Access::EXISTS).is_ok())
}

fn ask_daemon(path: &Path, request: &Request, deadline: Deadline) -> Result<Response, Unavailable> {
    let socket = ask_at(path, request, deadline)?;
    receive(&socket, frame::max_response(request), deadline)
}

/// Sends a request on a connection of its own.
fn ask_at(path: &Path, request: &Request, deadline: Deadline) -> Result<OwnedFd, Unavailable> {
    let frame = encode(request, deadline)?;
    let socket = open(path, deadline, Queue::Wait)?;
    send_all(&socket, &frame, deadline)?;
    Ok(socket)
}

/// A lookup; see [`wait`].
fn patiently(
    path: &Path,
    request: &Request,
    wait: &mut Wait<'_>,
    hung: &Hung,
) -> Result<Response, Unavailable> {
    let deadline = wait.deadline;
    if wait.heart == Heart::Beats {
        let socket = ask_at(path, request, deadline)?;
        return finish(&socket, request, deadline, hung, || is_unread(socket.as_fd()));
    }
    let known = hung.known(Now::read().0);
    let has_waited = known.is_some_and(|known| known.has_waited);
    let is_pausing = known.is_some_and(|known| !known.is_due);
    if is_pausing && ((has_waited && wait.has_stopped()) || (wait.can_do_without)()) {
        return Err(Unavailable::TimedOut);
    }
    let frame = encode(request, deadline)?;
    let patience = wait.patience();
    let queue = if wait.has_stopped() { Queue::Leave } else { Queue::Wait };
    let socket = match open(path, patience, queue) {
        Err(Unavailable::TimedOut) if wait.has_stopped() => return give_up(hung, true),
        Err(Unavailable::TimedOut) if has_waited || (wait.can_do_without)() => {
            return give_up(hung, false);
        }
        Err(Unavailable::TimedOut) => {
            open(path, deadline, Queue::Wait).or_else(|why| match why {
                Unavailable::TimedOut => give_up(hung, true),
                why => Err(why),
            })?
        }
        socket => socket?,
    };
    send_all(&socket, &frame, deadline)?;
    let has_stopped = wait.has_stopped();
    let may_hang = || has_stopped || is_unread(socket.as_fd());
    if !is_answered(&socket, patience)? && may_hang() && (has_waited || (wait.can_do_without)()) {
        return give_up(hung, false);
    }
    finish(&socket, request, deadline, hung, may_hang)
}

/// Waits for the answer to the end.
fn finish(
    socket: &OwnedFd,
    request: &Request,
    deadline: Deadline,
    hung: &Hung,
    may_hang: impl FnOnce() -> bool,
) -> Result<Response, Unavailable> {
    match receive(socket, frame::max_response(request), deadline) {
        Err(Unavailable::TimedOut) if may_hang() => give_up(hung, true),
        answer => answer.inspect(|_| hung.forget()),
    }
}

/// A login or a change of a password; see [`wait`].
fn until_read(
    path: &Path,
    request: &Request,
    deadline: Deadline,
    hung: &Hung,
) -> Result<Response, Unavailable> {
    let has_waited = hung.known(Now::read().0).is_some_and(|known| known.has_waited);
    let limit = if has_waited { wait::UNREAD_AGAIN } else { wait::UNREAD_LOGIN };
    let read_by = deadline.at_most(limit);
    let frame = encode(request, deadline)?;
    let socket = match open(path, read_by, Queue::Wait) {
        Err(Unavailable::TimedOut) => return give_up(hung, true),
        socket => socket?,
    };
    send_all(&socket, &frame, deadline)?;
    if !is_answered(&socket, read_by)? && is_unread(socket.as_fd()) {
        return give_up(hung, true);
    }
    receive(&socket, frame::max_response(request), deadline).inspect(|_| hung.forget())
}

/// Has waited in vain, and remembers it.
fn give_up<T>(hung: &Hung, has_waited: bool) -> Result<T, Unavailable> {
    hung.note(Now::read().0, has_waited);
    Err(Unavailable::TimedOut)
}

fn encode(request: &Request, deadline: Deadline) -> Result<Zeroizing<Vec<u8>>, Unavailable> {
    frame::encode_request(request, deadline.remaining_ms())
        .map_err(|e| Unavailable::Protocol(e.to_string()))
}

/// What to do where a socket's queue is full.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Queue {
    /// Wait for a place in it.
    Wait,
    /// Wait for nothing.
    Leave,
}

fn open(path: &Path, deadline: Deadline, queue: Queue) -> Result<OwnedFd, Unavailable> {
    let address = SocketAddrUnix::new(path).map_err(failed("address"))?;
    let flags = match queue {
        Queue::Wait => SocketFlags::CLOEXEC,
        Queue::Leave => SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
    };
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)
        .map_err(failed("socket"))?;
    // While it is connected to nobody yet.
    let socket =
        guest::above_standard(socket).map_err(|e| Unavailable::Daemon(format!("socket: {e}")))?;
    loop {
        if queue == Queue::Wait {
            // A connect to a full backlog blocks; this bounds it (socket(7)).
            let left = deadline.remaining().ok_or(Unavailable::TimedOut)?;
            sockopt::set_socket_timeout(&socket, sockopt::Timeout::Send, Some(left))
                .map_err(failed("socket"))?;
        }
        match connect(&socket, &address) {
            Ok(()) => return Ok(socket),
            Err(Errno::INTR) => {}
            Err(Errno::NOENT | Errno::NOTDIR) => return Err(Unavailable::NoDaemon),
            Err(Errno::AGAIN) => return Err(Unavailable::TimedOut),
            Err(e) => return Err(failed("connect")(e)),
        }
    }
}

/// Whether something has come by then, be it the end of the connection.
fn is_answered(socket: &OwnedFd, by: Deadline) -> Result<bool, Unavailable> {
    loop {
        // Also looked at when the time is over: this process may have been stopped itself.
        let left = by.remaining();
        let timeout = Timespec::try_from(left.unwrap_or_default());
        let timeout = timeout.map_err(|_| Unavailable::TimedOut)?;
        let mut fds = [PollFd::from_borrowed_fd(socket.as_fd(), PollFlags::IN)];
        match poll(&mut fds, Some(&timeout)) {
            Ok(0) | Err(Errno::INTR) if left.is_none() => return Ok(false),
            Ok(0) | Err(Errno::INTR) => {}
            Ok(_) => return Ok(true),
            Err(e) => return Err(failed("poll")(e)),
        }
    }
}

fn send_all(socket: &OwnedFd, mut bytes: &[u8], deadline: Deadline) -> Result<(), Unavailable> {
    while !bytes.is_empty() {
        match send(socket, bytes, SendFlags::NOSIGNAL) {
            Ok(sent) => bytes = bytes.get(sent..).unwrap_or_default(),
            Err(Errno::INTR) if !deadline.is_over() => {}
            Err(Errno::INTR | Errno::AGAIN) => return Err(Unavailable::TimedOut),
            Err(e) => return Err(failed("send")(e)),
        }
    }
    Ok(())
}

fn receive(socket: &OwnedFd, max: usize, deadline: Deadline) -> Result<Response, Unavailable> {
    let bad = |e: frame::FrameError| Unavailable::Protocol(e.to_string());
    let mut buffer = Vec::new();
    buffer.try_reserve_exact(FIRST_READ).map_err(|_| no_memory())?;
    buffer.resize(FIRST_READ, 0);
    let mut filled = 0;
    let mut wanted = None;
    loop {
        match wanted {
            Some(end) if filled == end => {
                return frame::decode(&buffer[RESPONSE_HEADER..filled]).map_err(bad);
            }
            Some(end) if filled > end => return Err(bad(frame::FrameError::Payload)),
            _ => {}
        }
        if filled == buffer.len() {
            // Twice as much as has come already: what a length claims is not believed.
            let size = (filled * 2).min(wanted.unwrap_or(usize::MAX));
            // A host without memory is answered; a failed `resize` would abort it.
            buffer.try_reserve_exact(size - filled).map_err(|_| no_memory())?;
            buffer.resize(size, 0);
        }
        filled += receive_some(socket, &mut buffer[filled..], deadline)?;
        if wanted.is_none()
            && let Some(header) = buffer[..filled].first_chunk()
        {
            let length = frame::response_header(header).map_err(bad)?;
            if length > max {
                return Err(bad(frame::FrameError::TooLong));
            }
            let end = RESPONSE_HEADER + length;
            if end < buffer.len() {
                // One byte more than there should be shows whether there is more.
                buffer.truncate((end + 1).max(filled));
            }
            wanted = Some(end);
        }
    }
}

fn receive_some(
    socket: &OwnedFd,
    buffer: &mut [u8],
    deadline: Deadline,
) -> Result<usize, Unavailable> {
    loop {
        let left = deadline.remaining().ok_or(Unavailable::TimedOut)?;
        let timeout = Timespec::try_from(left).map_err(|_| Unavailable::TimedOut)?;
        let mut fds = [PollFd::from_borrowed_fd(socket.as_fd(), PollFlags::IN)];
        match poll(&mut fds, Some(&timeout)) {
            Ok(0) | Err(Errno::INTR) => continue,
            Ok(_) => {}
            Err(e) => return Err(failed("poll")(e)),
        }
        match recv(socket, &mut *buffer, RecvFlags::DONTWAIT) {
            Ok((0, _)) => return Err(Unavailable::Daemon("it closed the connection".into())),
            Ok((n, _)) => return Ok(n),
            Err(Errno::INTR | Errno::AGAIN) => {}
            Err(e) => return Err(failed("receive")(e)),
        }
    }
}

fn no_memory() -> Unavailable {
    Unavailable::Daemon("no memory for its answer".into())
}

fn failed(what: &'static str) -> impl Fn(Errno) -> Unavailable {
    move |errno| Unavailable::Daemon(format!("{what}: {errno}"))
}

#[cfg(test)]
mod tests;

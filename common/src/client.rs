//! Asks the daemon; on a host without one, asks `direct.so`.
//!
//! One connection per request: no descriptor outlives a call, so there is
//! nothing that a fork, a thread or a program that closes descriptors could
//! disturb. Everything here runs inside other people's processes: no panic, no
//! signal (`MSG_NOSIGNAL`), no wait without the request's deadline.

use std::path::Path;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType, connect, recv,
    send, socket_with, sockopt,
};

use crate::deadline::Deadline;
use crate::frame::{self, RESPONSE_HEADER};
use crate::protocol::{Request, Response, Unavailable};
use crate::{direct, guest, paths};

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

impl Client<'_> {
    /// Puts a request and waits for its response, no longer than the deadline.
    /// Every failure on the way is a [`Response::Unavailable`].
    pub fn ask(self, request: &Request, deadline: Deadline) -> Response {
        let answer = match self {
            Self::Socket(path) => ask_daemon(path, request, deadline),
            Self::Direct(config) => direct::ask(config, request, deadline),
            Self::Host => match ask_daemon(Path::new(paths::SOCKET), request, deadline) {
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
    let frame = frame::encode_request(request, deadline.remaining_ms())
        .map_err(|e| Unavailable::Protocol(e.to_string()))?;
    let socket = open(path, deadline)?;
    send_all(&socket, &frame, deadline)?;
    receive(&socket, frame::max_response(request), deadline)
}

fn open(path: &Path, deadline: Deadline) -> Result<OwnedFd, Unavailable> {
    let address = SocketAddrUnix::new(path).map_err(failed("address"))?;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
        .map_err(failed("socket"))?;
    // While it is connected to nobody yet.
    let socket =
        guest::above_standard(socket).map_err(|e| Unavailable::Daemon(format!("socket: {e}")))?;
    loop {
        // A connect to a full backlog blocks; this bounds it (socket(7)).
        let left = deadline.remaining().ok_or(Unavailable::TimedOut)?;
        sockopt::set_socket_timeout(&socket, sockopt::Timeout::Send, Some(left))
            .map_err(failed("socket"))?;
        match connect(&socket, &address) {
            Ok(()) => return Ok(socket),
            Err(Errno::INTR) => {}
            Err(Errno::NOENT | Errno::NOTDIR) => return Err(Unavailable::NoDaemon),
            Err(Errno::AGAIN) => return Err(Unavailable::TimedOut),
            Err(e) => return Err(failed("connect")(e)),
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

//! Stands between a server and ldap3, and lets only well-formed messages through.
//!
//! ldap3 sits at one end of a socket pair; this task sits at the other and
//! carries bytes to and from the server. What goes out passes as it is, but its
//! ids are remembered. What comes in is gathered into whole messages, each of
//! which must be well-formed ([`super::message`]), no longer than
//! [`MAX_MESSAGE`], and a response of the right kind to a request that is still
//! open. Anything else ends the connection: ldap3 never sees it, and sees a
//! closed connection instead, which it can cope with. Whoever had asked hears the reason
//! ([`super::connect::Connection::explain`]).
//!
//! Memory grows with the bytes that came, never with a length that a server
//! announces. What answers a search through a whole map goes past ldap3, and no more of it is
//! taken than its reader takes ([`Bypass`]). A request that is open keeps its connection open, however long the
//! server says nothing. What it costs is one more copy and one more wake-up on the same
//! thread for each message.

use std::collections::HashMap;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::{Instant, sleep_until, timeout};
use zeroize::{Zeroize, Zeroizing};

use super::LdapError;
use super::bypass::Bypass;
use super::message::{self, Operation};

/// The longest message taken from a server: an entry with a million members.
const MAX_MESSAGE: usize = 64 << 20;
/// How much is read at once.
const CHUNK: usize = 16 << 10;
/// What is said of a connection that the server ended.
const CLOSED: &str = "the server closed the connection";
/// The server is about to end (RFC 4511 section 4.4.1).
const UNAVAILABLE: u32 = 52;
/// How long a server has to take the end of a connection in.
const GOODBYE: Duration = Duration::from_secs(1);

/// Carries bytes between a server and ldap3 until one of them closes, one of
/// them breaks the rules, or nothing was said for `idle`.
///
/// The two directions are two futures of one task: neither waits for the other,
/// so a server that reads slowly and an ldap3 that writes much can't block each
/// other for ever.
///
/// ldap3's end is still open afterwards: the reason is to be known before it sees the end.
///
/// # Errors
/// What is to be said to whoever still has a request on it.
pub(super) async fn guard<S>(
    server: S,
    ldap3: &mut UnixStream,
    idle: Duration,
    bypass: &Bypass,
) -> Result<(), LdapError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (from_server, to_server) = tokio::io::split(server);
    let (from_ldap3, to_ldap3) = ldap3.split();
    let state = Mutex::new(State { open: HashMap::new(), last_word: Instant::now() });
    tokio::select! {
        end = outward(from_ldap3, to_server, &state) => end,
        end = inward(from_server, to_ldap3, &state, bypass) => end,
        () = silence(idle, &state) => Ok(()),
    }
}

/// What the two directions share. Never locked across an await.
struct State {
    /// Our requests that still get responses.
    open: HashMap<i32, Operation>,
    last_word: Instant,
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn outward(
    mut from_ldap3: impl AsyncRead + Unpin,
    mut to_server: impl AsyncWrite + Unpin,
    state: &Mutex<State>,
) -> Result<(), LdapError> {
    let mut bytes = Gathered::new();
    while bytes.read(&mut from_ldap3).await.map_err(ended)? > 0 {
        let whole = bytes.whole(|message| {
            let mut state = lock(state);
            state.last_word = Instant::now();
            match message::read_request(message) {
                Some((id, Ok(operation))) => drop(state.open.insert(id, operation)),
                Some((_, Err(abandoned))) => drop(state.open.remove(&abandoned)),
                None => {}
            }
            Ok(true)
        })?;
        to_server.write_all(bytes.kept(&whole)).await.map_err(ended)?;
        to_server.flush().await.map_err(ended)?;
        bytes.forget(&whole);
    }
    // ldap3's last handle is gone. TLS says good-bye in its shutdown; a server
    // that doesn't listen any more need not hear it.
    let _ = timeout(GOODBYE, to_server.shutdown()).await;
    Ok(())
}

async fn inward(
    mut from_server: impl AsyncRead + Unpin,
    mut to_ldap3: impl AsyncWrite + Unpin,
    state: &Mutex<State>,
    bypass: &Bypass,
) -> Result<(), LdapError> {
    let mut bytes = Gathered::new();
    while bytes.read(&mut from_server).await.map_err(ended)? > 0 {
        let whole = bytes.whole(|message| {
            let mut state = lock(state);
            state.last_word = Instant::now();
            admit(message, &mut state.open, bypass)
        })?;
        if whole.kept > 0 {
            to_ldap3.write_all(bytes.kept(&whole)).await.map_err(ended)?;
        }
        bytes.forget(&whole);
        bypass.room().await;
    }
    Err(LdapError::Connect(CLOSED.into()))
}

/// What a failed read or write is to whoever waits. TLS says so when what came is none, and
/// when the server ends it with an alert (RFC 8446 section 6.2).
#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn ended(error: io::Error) -> LdapError {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, InvalidData, UnexpectedEof};
    match error.kind() {
        InvalidData => LdapError::Tls(format!("TLS: {error}")),
        UnexpectedEof | ConnectionReset | BrokenPipe => LdapError::Connect(CLOSED.into()),
        _ => LdapError::Connect(error.to_string()),
    }
}

/// Returns when no request is open and nothing was said for so long.
async fn silence(idle: Duration, state: &Mutex<State>) {
    loop {
        let until = {
            let state = lock(state);
            let since = if state.open.is_empty() { state.last_word } else { Instant::now() };
            since + idle
        };
        if until <= Instant::now() {
            return;
        }
        sleep_until(until).await;
    }
}

/// Whether a message from the server passes on to ldap3. It is left out if it goes past it, or
/// answers a request that was abandoned meanwhile.
fn admit(
    message: &[u8],
    open: &mut HashMap<i32, Operation>,
    bypass: &Bypass,
) -> Result<bool, LdapError> {
    let response = message::check_response(message).map_err(LdapError::Broken)?;
    if response.id == 0 {
        // It closes the connection: RFC 4511 section 4.4.1.
        return Err(match response.result {
            Some(UNAVAILABLE) => LdapError::Connect(CLOSED.into()),
            _ => LdapError::Broken("it closes the connection, and complains"),
        });
    }
    let Some(operation) = open.get(&response.id) else { return Ok(false) };
    if !response.kind.answers(*operation) {
        return Err(LdapError::Broken("a response doesn't fit its request"));
    }
    if response.kind.is_last() {
        open.remove(&response.id);
    } else if operation.has_a_reader() {
        bypass.put(response.id, response.kind, message);
        return Ok(false);
    }
    Ok(true)
}

/// Bytes that have come, of which the first may be whole messages. Zeroed at the
/// end: passwords go out through one. A request with a password fits into the
/// first [`CHUNK`], so growing leaves no copy of it behind.
struct Gathered {
    bytes: Zeroizing<Vec<u8>>,
    /// How long the message is that the bytes end in the middle of, once known.
    wanted: usize,
}

impl Gathered {
    fn new() -> Self {
        Self { bytes: Zeroizing::new(Vec::with_capacity(CHUNK)), wanted: 0 }
    }

    /// Reads some more; 0 at the end. Cancel safe.
    async fn read(&mut self, from: &mut (impl AsyncRead + Unpin)) -> io::Result<usize> {
        // At most doubles: a long message gets long reads, once it has really begun to come.
        let room =
            self.wanted.saturating_sub(self.bytes.len()).clamp(CHUNK, CHUNK.max(self.bytes.len()));
        if self.bytes.capacity() - self.bytes.len() < room.min(CHUNK / 4) || room > CHUNK {
            self.bytes.reserve(room);
        }
        from.read_buf(&mut *self.bytes).await
    }

    /// Shows each whole message to `check`, which may leave one out; the others move
    /// to the front.
    fn whole(
        &mut self,
        mut check: impl FnMut(&[u8]) -> Result<bool, LdapError>,
    ) -> Result<Whole, LdapError> {
        let mut whole = Whole::default();
        self.wanted = 0;
        let length = |start: &[u8]| message::length(start, MAX_MESSAGE).map_err(LdapError::Broken);
        while let Some(length) = length(&self.bytes[whole.seen..])? {
            let range = whole.seen..whole.seen + length;
            let Some(message) = self.bytes.get(range.clone()) else {
                self.wanted = length;
                break;
            };
            whole.seen = range.end;
            if check(message)? {
                if whole.kept < range.start {
                    self.bytes.copy_within(range, whole.kept);
                }
                whole.kept += length;
            }
        }
        Ok(whole)
    }

    fn kept(&self, whole: &Whole) -> &[u8] {
        &self.bytes[..whole.kept]
    }

    /// Forgets what was passed on or left out. The memory of passwords that went out is zeroed.
    fn forget(&mut self, whole: &Whole) {
        self.bytes[..whole.seen].zeroize();
        self.bytes.drain(..whole.seen);
        if self.bytes.is_empty() && self.bytes.capacity() > 4 * CHUNK {
            *self = Self::new();
        }
    }
}

/// How many of the first bytes are whole messages.
#[derive(Default)]
struct Whole {
    /// Those that are passed on.
    kept: usize,
    /// With those that were left out.
    seen: usize,
}

#[cfg(test)]
mod tests;

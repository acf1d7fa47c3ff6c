//! Lines with a priority: for the journal, and for the system's log.

use std::io::{self, Write};
use std::os::unix::net::UnixDatagram;

use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

/// Where the system's log listens (`syslog(3)`); under systemd this is the journal.
const SYSTEM_LOG: &str = "/dev/log";
/// `LOG_AUTHPRIV`: like the logins that other services report (RFC 5424 section 6.2.1).
const FACILITY: u8 = 10 << 3;

/// The levels of `syslog(3)`. Logins are at `info` here, as sshd has them.
fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        Level::DEBUG | Level::TRACE => 7,
    }
}

/// Standard error, with `<6>` in front of each line.
#[derive(Debug, Clone, Copy)]
pub(super) struct WithPriority;

impl<'a> MakeWriter<'a> for WithPriority {
    type Writer = Prefixed;

    fn make_writer(&'a self) -> Prefixed {
        Prefixed(priority(Level::INFO))
    }

    fn make_writer_for(&'a self, meta: &Metadata<'_>) -> Prefixed {
        Prefixed(priority(*meta.level()))
    }
}

/// One line for the journal.
#[derive(Debug)]
pub(super) struct Prefixed(u8);

impl Write for Prefixed {
    /// The formatter hands over a line at a time; the prefix goes with it in
    /// one write, since others may write to the same stream.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut whole = format!("<{}>", self.0).into_bytes();
        whole.extend_from_slice(line);
        io::stderr().write_all(&whole)?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The system's log.
#[derive(Debug)]
pub(super) struct SystemLog {
    socket: Option<UnixDatagram>,
    tag: String,
}

impl SystemLog {
    pub(super) fn new() -> Self {
        // Not connected: the log's daemon may be restarted, or come later. Not
        // blocking: a log that isn't read must not stop logins.
        let socket =
            UnixDatagram::unbound().ok().filter(|socket| socket.set_nonblocking(true).is_ok());
        Self { socket, tag: format!("rollcall[{}]: ", std::process::id()) }
    }
}

impl<'a> MakeWriter<'a> for SystemLog {
    type Writer = Entry<'a>;

    fn make_writer(&'a self) -> Entry<'a> {
        Entry { log: self, priority: priority(Level::INFO) }
    }

    fn make_writer_for(&'a self, meta: &Metadata<'_>) -> Entry<'a> {
        Entry { log: self, priority: priority(*meta.level()) }
    }
}

/// One line for the system's log.
#[derive(Debug)]
pub(super) struct Entry<'a> {
    log: &'a SystemLog,
    priority: u8,
}

impl Entry<'_> {
    /// What `syslog(3)` sends, without the time: the log's daemon knows it.
    fn message(&self, line: &[u8]) -> Vec<u8> {
        let mut message = format!("<{}>{}", FACILITY | self.priority, self.log.tag).into_bytes();
        message.extend_from_slice(line.trim_ascii_end());
        message
    }
}

impl Write for Entry<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if let Some(socket) = &self.log.socket {
            // Where nobody listens there is nobody to tell.
            let _ = socket.send_to(&self.message(line), SYSTEM_LOG);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warning_reaches_the_system_log_as_one() {
        let log = SystemLog { socket: None, tag: "rollcall[1]: ".into() };
        let entry = Entry { log: &log, priority: priority(Level::WARN) };
        assert_eq!(entry.message(b"no server\n"), b"<84>rollcall[1]: no server");
    }
}

//! The rare line in the log.
//!
//! What goes wrong in the directory is the daemon's to log. A module writes only
//! what the daemon can't know: that it can't be talked to, or that the module
//! itself has a fault. At most one line a minute and process, and never a wait.

use std::fmt::Display;
use std::io::Write;
use std::os::unix::net::UnixDatagram;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use common::guest;
use syslog::{Facility, LogFormat, Logger, LoggerBackend, Severity};

/// The seconds between two lines of one process.
const PAUSE: u64 = 60;

/// When this process wrote its last line, in seconds since 1970; 0 is never.
static LAST: AtomicU64 = AtomicU64::new(0);

/// Writes a line, unless this process wrote one in the last minute. A line
/// that can't be written at once is lost.
pub(crate) fn rarely(message: &dyn Display) {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| d.as_secs());
    // The tests of this crate fail on purpose, which is no news for this host.
    if is_due(&LAST, now) && !cfg!(test) {
        send(message, "/dev/log");
    }
}

/// Whether a line is due now; if so, none is for the next minute. A clock that
/// was set back doesn't silence the module for longer.
fn is_due(last: &AtomicU64, now: u64) -> bool {
    let before = last.load(Ordering::Relaxed);
    (now < before || now - before >= PAUSE)
        && last.compare_exchange(before, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
}

/// Opens, sends, closes: no descriptor is held that the host could close or
/// reuse. `std` sends with `MSG_NOSIGNAL`.
fn send(message: &dyn Display, path: &str) {
    let Ok(socket) = UnixDatagram::unbound() else { return };
    let Ok(socket) = guest::above_standard(socket.into()).map(UnixDatagram::from) else { return };
    // A log daemon that looks up users waits for nobody here.
    if socket.set_nonblocking(true).is_ok() && socket.connect(path).is_ok() {
        let mut logger = Logger::new(LoggerBackend::Unix(socket), Plain);
        let _ = logger.warning(message);
    }
}

/// RFC 3164 without its time: `syslog`'s own format asks for the local time,
/// which reads `TZ` and takes a lock of glibc's. The receiver fills it in.
struct Plain;

impl LogFormat<&dyn Display> for Plain {
    fn format<W: Write>(
        &self,
        to: &mut W,
        severity: Severity,
        message: &dyn Display,
    ) -> syslog::Result<()> {
        let priority = Facility::LOG_AUTHPRIV as u32 | severity as u32;
        let pid = std::process::id();
        write!(to, "<{priority}>libnss_ldap[{pid}]: {message}").map_err(syslog::Error::Write)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_writes_one_line_a_minute() {
        let last = AtomicU64::new(0);
        let due: Vec<bool> =
            [1000, 1000, 1059, 1060, 1061].iter().map(|now| is_due(&last, *now)).collect();
        assert_eq!(due, [true, false, false, true, false]);
    }

    #[test]
    fn a_clock_that_was_set_back_a_day_does_not_silence_the_log() {
        let last = AtomicU64::new(100_000);
        assert!(is_due(&last, 13_600));
    }

    #[test]
    fn a_line_arrives_in_the_form_of_rfc_3164() {
        let path = std::env::temp_dir().join(format!("rollcall-report-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let log = UnixDatagram::bind(&path).unwrap();
        send(&"trouble", path.to_str().unwrap());
        let mut line = [0; 100];
        let length = log.recv(&mut line).unwrap();
        let expected = format!("<84>libnss_ldap[{}]: trouble", std::process::id());
        assert_eq!(std::str::from_utf8(&line[..length]).unwrap(), expected);
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn a_log_that_takes_nothing_does_not_hold_the_caller_up() {
        let path = std::env::temp_dir().join(format!("rollcall-full-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let _log = UnixDatagram::bind(&path).unwrap();
        // More than any receive queue holds (net.unix.max_dgram_qlen).
        (0..5000).for_each(|_| send(&"trouble", path.to_str().unwrap()));
        std::fs::remove_file(&path).unwrap();
    }
}

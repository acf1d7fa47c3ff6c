//! What is logged on a Host: syslog, sshd and the daemon, in one list of lines.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// The lines so far, each with its source before it: `syslog: …`.
#[derive(Debug, Clone, Default)]
pub(super) struct Log(Arc<(Mutex<Vec<String>>, Condvar)>);

impl Log {
    fn push(&self, source: &str, line: &str) {
        let (lines, changed) = &*self.0;
        lines.lock().unwrap_or_else(PoisonError::into_inner).push(format!("{source}: {line}"));
        changed.notify_all();
    }

    /// Takes in what comes to `/dev/log` from now on.
    pub(super) fn listen(&self, path: &Path) -> UnixDatagram {
        let socket = UnixDatagram::bind(path).expect("/dev/log can be made");
        let receiver = socket.try_clone().expect("a descriptor is free");
        let log = self.clone();
        thread::spawn(move || {
            let mut buffer = [0; 8192];
            // shutdown(2) by the Host's end is read as an empty datagram.
            while let Ok(length @ 1..) = receiver.recv(&mut buffer) {
                let text = String::from_utf8_lossy(&buffer[..length]);
                log.push("syslog", text.trim_end_matches(['\0', '\n']));
            }
        });
        socket
    }

    /// Takes in the lines of a pipe until it ends.
    pub(super) fn follow(&self, source: &'static str, pipe: impl Read + Send + 'static) {
        let log = self.clone();
        thread::spawn(move || {
            for line in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
                log.push(source, String::from_utf8_lossy(&line).trim_end());
            }
        });
    }

    pub(super) fn lines(&self) -> Vec<String> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits for a line with this text, among those from number `from` on.
    pub(super) fn wait_for(&self, from: usize, text: &str, limit: Duration) -> Option<String> {
        let (lines, changed) = &*self.0;
        let find =
            |lines: &Vec<String>| lines.iter().skip(from).find(|line| line.contains(text)).cloned();
        let guard = lines.lock().unwrap_or_else(PoisonError::into_inner);
        let (guard, _) = changed
            .wait_timeout_while(guard, limit, |lines| find(lines).is_none())
            .unwrap_or_else(PoisonError::into_inner);
        find(&guard)
    }
}

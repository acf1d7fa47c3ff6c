//! Leaves the terminal when nobody supervises the daemon.
//!
//! Under systemd (`NOTIFY_SOCKET` or `LISTEN_FDS` is set) and with
//! `--foreground` the daemon stays where it is. Otherwise the command that was
//! typed returns as soon as the daemon listens, so that what comes next in a
//! script can rely on it; if the daemon can't start, the command fails and the
//! reason is on its standard error.

use std::fs::File;
use std::io::{self, PipeReader, PipeWriter, Read, Write};

use nix::unistd::{ForkResult, chdir, dup2_stderr, dup2_stdin, dup2_stdout, setsid};

use super::{ffi, notify};

/// The byte that says "the daemon listens".
const LISTENING: u8 = b'!';

/// A daemon that is on its way out of the terminal, or that isn't to leave it.
pub(super) struct Detaching(Option<PipeWriter>);

impl Detaching {
    /// Forks, unless the daemon is to `stay` or systemd runs it. Only the
    /// process that will be the daemon returns; the one that was started waits
    /// for [`Detaching::finish`] and exits.
    pub(super) fn unless(stay: bool) -> io::Result<Self> {
        if stay || notify::is_supervised() {
            return Ok(Self(None));
        }
        ffi::close_what_was_inherited();
        let (reader, writer) = io::pipe()?;
        if let ForkResult::Parent { .. } = ffi::fork()? {
            drop(writer);
            std::process::exit(wait(reader));
        }
        drop(reader);
        // A session of its own has no terminal; the second fork makes sure
        // that it can't get one again: only a session's leader can (setsid(2)).
        setsid()?;
        if let ForkResult::Parent { .. } = ffi::fork()? {
            std::process::exit(0);
        }
        Ok(Self(Some(writer)))
    }

    /// Whether the daemon leaves the terminal.
    pub(super) fn is_needed(&self) -> bool {
        self.0.is_some()
    }

    /// Leaves the terminal, now that the daemon listens.
    pub(super) fn finish(self) -> io::Result<()> {
        let Some(mut writer) = self.0 else { return Ok(()) };
        chdir("/")?;
        let null = File::options().read(true).write(true).open("/dev/null")?;
        dup2_stdin(&null)?;
        dup2_stdout(&null)?;
        dup2_stderr(&null)?;
        // If the one who waited was killed meanwhile, the daemon runs all the same.
        let _ = writer.write_all(&[LISTENING]);
        Ok(())
    }
}

/// The exit code of the process that was started: when the daemon ends without
/// having said anything, it has written its reason to standard error itself.
fn wait(mut reader: PipeReader) -> i32 {
    let mut byte = [0];
    match reader.read_exact(&mut byte) {
        Ok(()) if byte == [LISTENING] => 0,
        _ => 1,
    }
}

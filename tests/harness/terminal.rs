//! A person at a terminal: reads what a program shows, types an answer.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use crate::need;
use crate::wait::{PATIENCE, until};

/// A program with a pty as its controlling terminal. Dropping it hangs up.
#[derive(Debug)]
pub struct Terminal {
    child: Child,
    keyboard: File,
    screen: Arc<(Mutex<Screen>, Condvar)>,
    /// How much of the screen was expected already.
    seen: usize,
}

#[derive(Debug, Default)]
struct Screen {
    text: String,
    ended: bool,
}

impl Terminal {
    /// Starts a command on a pty. `setsid --ctty` gives the program the pty as
    /// its controlling terminal, then becomes the program.
    pub(crate) fn start(command: &Command, master: File, slave: File) -> Self {
        let slave: OwnedFd = slave.into();
        let copy = || Stdio::from(slave.try_clone().expect("a descriptor is free"));
        let mut setsid = Command::new(need::program("setsid", "util-linux"));
        setsid.arg("--ctty").arg(command.get_program()).args(command.get_args());
        setsid.env_clear();
        setsid.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        setsid.stdin(copy()).stdout(copy()).stderr(copy());
        let child = setsid.spawn().expect("setsid can be started");
        drop(slave);
        let screen = Arc::<(Mutex<Screen>, Condvar)>::default();
        let mut reader = master.try_clone().expect("a descriptor is free");
        let writer = Arc::clone(&screen);
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            // The end is EIO (Linux) once all programs have closed the pty.
            while let Ok(length @ 1..) = reader.read(&mut buffer) {
                let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
                lock(&writer.0).text += &text;
                writer.1.notify_all();
            }
            lock(&writer.0).ended = true;
            writer.1.notify_all();
        });
        Self { child, keyboard: master, screen, seen: 0 }
    }

    /// Waits until the program shows this text after what was expected before.
    ///
    /// # Panics
    /// If it ends without, or takes longer than [`PATIENCE`].
    #[track_caller]
    pub fn expect(&mut self, text: &str) -> &mut Self {
        assert!(self.shows(text, PATIENCE), "{text:?} was not shown:\n{}", self.transcript());
        self
    }

    /// Waits for one of several texts; gives its index, or `None` at the end of the program.
    pub fn expect_one_of(&mut self, texts: &[&str]) -> Option<usize> {
        let (screen, changed) = &*self.screen;
        let find = |screen: &Screen| {
            let shown = &screen.text[self.seen..];
            let found = texts.iter().enumerate();
            found.filter_map(|(i, t)| Some((shown.find(t)? + t.len(), i))).min()
        };
        let (guard, _) = changed
            .wait_timeout_while(lock(screen), PATIENCE, |s| find(s).is_none() && !s.ended)
            .unwrap_or_else(PoisonError::into_inner);
        let (end, index) = find(&guard)?;
        self.seen += end;
        Some(index)
    }

    /// Whether the program shows this text within a time; if so, it counts as expected.
    pub fn shows(&mut self, text: &str, limit: Duration) -> bool {
        let (screen, changed) = &*self.screen;
        let find = |screen: &Screen| screen.text[self.seen..].find(text);
        let (guard, _) = changed
            .wait_timeout_while(lock(screen), limit, |s| find(s).is_none() && !s.ended)
            .unwrap_or_else(PoisonError::into_inner);
        let Some(start) = find(&guard) else { return false };
        self.seen += start + text.len();
        true
    }

    /// Types a line. (A program that has ended doesn't read it; what it showed tells more.)
    pub fn send(&mut self, line: &str) -> &mut Self {
        let _ = self.keyboard.write_all(format!("{line}\n").as_bytes());
        self
    }

    /// Waits for the program's end; gives its exit status.
    ///
    /// # Panics
    /// If it takes longer than [`PATIENCE`].
    #[track_caller]
    pub fn wait(&mut self) -> Option<i32> {
        let status = until(PATIENCE, || self.child.try_wait().expect("it is our child"));
        let status = status.unwrap_or_else(|| panic!("it did not end:\n{}", self.transcript()));
        let (screen, changed) = &*self.screen;
        // What it showed last may not have been read yet. A program that it left
        // behind can keep the pty open, so this has an end of its own.
        let limit = Duration::from_secs(2);
        let _ = changed.wait_timeout_while(lock(screen), limit, |s| !s.ended);
        status.code()
    }

    /// All that was shown so far, with plain line ends.
    pub fn transcript(&self) -> String {
        lock(&self.screen.0).text.replace("\r\n", "\n")
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // nsenter's own child is ended by the hangup that follows the end of
        // the session's leader.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn lock(screen: &Mutex<Screen>) -> MutexGuard<'_, Screen> {
    screen.lock().unwrap_or_else(PoisonError::into_inner)
}

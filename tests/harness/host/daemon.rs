//! `rollcall daemon` on a Host.

use std::os::unix::net::UnixStream;
use std::process::Stdio;

use common::table::Now;
use common::table::layout::header;
use rustix::process::Signal;

use super::Host;
use super::namespace::Inside;
use crate::wait::{PATIENCE, until};

/// The daemon of a host; borrowed from it.
#[derive(Debug)]
pub struct Daemon<'a>(pub(super) &'a mut Host);

impl Daemon<'_> {
    /// Starts it as the user `rollcall`, and returns when it listens.
    pub fn start(&mut self) {
        self.start_with(&[]);
    }

    /// The same with more options on its command line.
    pub fn start_with(&mut self, options: &[&str]) {
        assert!(self.0.daemon.is_none(), "the daemon runs already");
        self.0.run(["mkdir", "-p", "/run/rollcall"]).success();
        self.0.run(["chown", "rollcall:rollcall", "/run/rollcall"]).success();
        let mut child = self
            .0
            .namespace
            .command("setpriv")
            .args(["--reuid=rollcall", "--regid=rollcall", "--clear-groups", "--no-new-privs"])
            .args(["/usr/bin/rollcall", "daemon", "--foreground"])
            .args(options)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("nsenter can be started");
        self.0.log.follow("daemon", child.stderr.take().expect("it is a pipe"));
        let mut daemon = Inside::new(child);
        let socket = self.0.namespace.path(common::paths::SOCKET);
        until(PATIENCE, || {
            assert!(!daemon.has_ended(), "the daemon ended:\n{}", self.0.log().join("\n"));
            UnixStream::connect(&socket).ok()
        })
        .unwrap_or_else(|| panic!("the daemon did not listen:\n{}", self.0.log().join("\n")));
        self.0.daemon = Some(daemon);
    }

    /// Stops it as systemd does.
    pub fn stop(&mut self) {
        self.end(Signal::TERM);
    }

    /// Kills it; its socket's file is left behind.
    pub fn kill(&mut self) {
        self.end(Signal::KILL);
    }

    /// Waits until its replica has all of the directory.
    pub fn wait_until_complete(&mut self) {
        until(PATIENCE, || self.has_complete_table().then_some(())).unwrap_or_else(|| {
            panic!("the table did not become complete:\n{}", self.0.log().join("\n"))
        });
    }

    /// Whether what isn't in the table isn't in the directory, as the table's header says.
    fn has_complete_table(&self) -> bool {
        let word = |at| self.0.table_word(at).and_then(|word| u32::try_from(word).ok());
        let now = Now::read();
        [header::ALIVE_UNTIL, header::COMPLETE_UNTIL]
            .into_iter()
            .all(|at| word(at).is_some_and(|until| Now(until) > now))
    }

    /// Tells it to read its configuration again.
    pub fn reload(&mut self) {
        self.inside().signal(Signal::HUP);
    }

    /// Freezes it: connections are accepted by the kernel, nobody answers.
    pub fn freeze(&mut self) {
        self.inside().signal(Signal::STOP);
    }

    /// Undoes [`Daemon::freeze`].
    pub fn thaw(&mut self) {
        self.inside().signal(Signal::CONT);
    }

    /// Its process id, as seen from outside.
    pub fn pid(&mut self) -> u32 {
        self.inside().pid()
    }

    fn inside(&self) -> &Inside {
        self.0.daemon.as_ref().expect("the daemon runs")
    }

    fn end(&mut self, signal: Signal) {
        let mut daemon = self.0.daemon.take().expect("the daemon runs");
        daemon.signal(signal);
        daemon.signal(Signal::CONT);
        daemon.wait();
    }
}

//! A process on a host that does what it is told by lines, and answers each with one.

use std::io::{BufRead, BufReader, Lines, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use harness::Host;

/// How many seconds such a process may be there.
const PATIENCE: &str = "1800";

/// That process; it ends when this is dropped.
pub(crate) struct Talk {
    child: Child,
    stdin: ChildStdin,
    stdout: Lines<BufReader<ChildStdout>>,
}

impl Talk {
    /// Starts this program with these arguments.
    pub(crate) fn open(host: &Host, words: &[&str]) -> Self {
        let command = ["timeout", PATIENCE, crate::measure::PROGRAM];
        let mut command = host.command(command.iter().chain(words));
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = child.expect("nsenter can be started");
        let stdin = child.stdin.take().expect("it is a pipe");
        let stdout = BufReader::new(child.stdout.take().expect("it is a pipe")).lines();
        Self { child, stdin, stdout }
    }

    /// Tells it something.
    pub(crate) fn tell(&mut self, what: &str) {
        // Where it has ended, nothing will be heard.
        let _ = writeln!(self.stdin, "{what}");
    }

    /// Waits for its answer; `None` if it has ended.
    pub(crate) fn hear(&mut self) -> Option<String> {
        self.stdout.next().and_then(Result::ok)
    }
}

impl Drop for Talk {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

//! The probe (`probe/main.rs`) on a host.

#![allow(dead_code, reason = "each file of tests uses a part of it")]

use std::io::{BufRead, BufReader, Lines, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::time::{Duration, Instant};

use common::table::layout::header;
use harness::{Directory, DirectoryBuilder, Host, HostBuilder, PATIENCE, User, until};

/// By when a lookup has ended whatever happens, on a slow machine as well: it
/// may take five seconds.
pub(crate) const IN_TIME: Duration = Duration::from_secs(20);
/// How many people `crowd` has.
pub(crate) const CROWD: u32 = 32;
/// What the probe says when nobody knows.
pub(crate) const UNAVAILABLE: &str = "error 11";

const PATH: &str = "/usr/bin/probe";

/// The two ways in which a host may be answered.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Way {
    Daemon,
    Direct,
}

/// Both of them.
pub(crate) const WAYS: [Way; 2] = [Way::Daemon, Way::Direct];

/// Alice and Bob in a crew.
pub(crate) fn people() -> DirectoryBuilder {
    Directory::new()
        .user(User::new("alice").uid(10_001).gid(20_001))
        .user(User::new("bob").uid(10_002).gid(20_001))
        .group("crew", 20_001, ["alice", "bob"])
        .group("editors", 20_002, ["alice"])
}

/// The people `u0`, `u1` and so on that the probe's threads look up.
pub(crate) fn crowd() -> DirectoryBuilder {
    people().people((0..CROWD).map(|n| User::new(&format!("u{n}")).uid(11_000 + n)))
}

/// A host that is answered this way, with the probe.
pub(crate) fn host(way: Way, builder: HostBuilder) -> Host {
    let builder = match way {
        Way::Daemon => builder,
        Way::Direct => builder.without_daemon(),
    };
    install(builder.start())
}

/// Puts the probe on a host.
pub(crate) fn install(host: Host) -> Host {
    host.install(Path::new(env!("CARGO_BIN_EXE_probe")), PATH);
    host
}

/// What the probe says to these commands, line by line. It must end well and
/// print nothing else.
#[track_caller]
pub(crate) fn probe<const N: usize>(host: &Host, commands: [&str; N]) -> Vec<String> {
    // A hung probe fails the test instead of hanging it.
    let line = ["timeout", "--kill-after=1", "100", PATH].into_iter().chain(commands);
    let output = host.run(line);
    assert_eq!(output.stderr, "", "{}", output.stdout);
    output.success().lines().map(str::to_owned).collect()
}

/// The same for one command and its answer, which must come in time.
#[track_caller]
pub(crate) fn ask(host: &Host, command: &str) -> String {
    let start = Instant::now();
    let mut lines = probe(host, [command]);
    let took = start.elapsed();
    assert!(took < IN_TIME, "{command:?} took {took:?}");
    assert_eq!(lines.len(), 1, "{lines:?}");
    lines.remove(0)
}

/// Asks until a table on demand has so many answers: one is kept a moment after it was given, by
/// another thread, and isn't if it may be of before a change.
#[track_caller]
pub(crate) fn ask_until_kept(host: &Host, answers: usize, mut ask: impl FnMut()) {
    until(PATIENCE, || {
        ask();
        (host.table_word(header::SLOTS_USED)? >= answers as u64).then_some(())
    })
    .expect("what was answered is kept");
}

/// What the probe's command "pace" says: a lookup again and again for a while.
#[derive(Debug)]
pub(crate) struct Pace {
    /// How long a lookup usually took.
    pub(crate) median: Duration,
    /// The slowest one.
    pub(crate) longest: Duration,
    /// The second slowest one.
    pub(crate) second: Duration,
    /// What came, each once.
    pub(crate) answers: Vec<String>,
}

impl Pace {
    /// Looks up for so many seconds in a process of its own; `%` in a name is another number
    /// each time.
    #[track_caller]
    pub(crate) fn of(host: &Host, seconds: u64, lookup: &str) -> Self {
        let line = probe(host, [&*format!("pace {seconds} {lookup}")]).remove(0);
        let mut words = line.splitn(4, ' ');
        let mut next = || words.next().expect("four words").to_owned();
        let mut time = || Duration::from_micros(next().parse().expect("microseconds"));
        let (median, longest, second) = (time(), time(), time());
        let answers = next().split('|').map(str::to_owned).collect();
        Self { median, longest, second, answers }
    }
}

/// A probe that waits for commands.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    stdin: ChildStdin,
    stdout: Lines<BufReader<ChildStdout>>,
}

impl Running {
    pub(crate) fn start(host: &Host) -> Self {
        let mut child = host
            .command(["timeout", "--kill-after=1", "200", PATH, "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("nsenter can be started");
        let stdin = child.stdin.take().expect("it is a pipe");
        let stdout = BufReader::new(child.stdout.take().expect("it is a pipe")).lines();
        Self { child, stdin, stdout }
    }

    /// Gives a command that has no answer.
    pub(crate) fn tell(&mut self, command: &str) {
        // In one piece: the two sides of a fork may both be reading.
        self.stdin.write_all(format!("{command}\n").as_bytes()).expect("the probe reads");
    }

    /// Gives a command and takes its answer, which must come in time.
    #[track_caller]
    pub(crate) fn ask(&mut self, command: &str) -> String {
        let start = Instant::now();
        self.tell(command);
        let answer = self.stdout.next();
        let Some(Ok(answer)) = answer else {
            panic!("the probe ended at {command:?}: {:?}", self.child.wait());
        };
        let took = start.elapsed();
        assert!(took < IN_TIME, "{command:?} took {took:?}");
        answer
    }

    /// Asks until this is the answer.
    #[track_caller]
    pub(crate) fn await_answer(&mut self, command: &str, expected: &str) {
        let mut answer = String::new();
        let seen = until(PATIENCE, || {
            answer = self.ask(command);
            (answer == expected).then_some(())
        });
        assert!(seen.is_some(), "{command}: {answer} instead of {expected}");
    }

    /// Ends it; it must have been well until now.
    #[track_caller]
    pub(crate) fn end(self) {
        let Self { mut child, stdin, .. } = self;
        drop(stdin);
        let status = child.wait().expect("it is our child");
        assert!(status.success(), "{status}");
    }
}

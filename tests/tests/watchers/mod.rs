//! Processes that hold every answer against what can have existed (`probe/watch.rs`).

#![allow(dead_code, reason = "each file of tests uses a part of it")]

use std::fmt::Write as _;
use std::io::Read;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use harness::{BASE, Changes, Directory, DirectoryBuilder, Host};

/// A lookup has ended by then, whatever happens and however slow the machine is.
const IN_TIME: Duration = Duration::from_secs(20);

/// Some of them.
#[derive(Debug)]
pub(crate) struct Watchers(Vec<Child>);

/// What all of them have seen.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) lookups: u64,
    /// How many newer versions; of the one that saw the fewest.
    pub(crate) versions: u64,
    /// How often nobody knew.
    pub(crate) unavailable: u64,
}

impl Watchers {
    /// Starts so many of them. They leave the processor to others that want it.
    pub(crate) fn start(host: &Host, count: usize, what: &str) -> Self {
        let start = |_| {
            let command =
                ["nice", "-n", "15", "/usr/bin/probe", &format!("watch {what}")].map(str::to_owned);
            host.command(command)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .expect("nsenter can be started")
        };
        Self((0..count).map(start).collect())
    }

    /// Whether one of them has ended, which it does for a wrong answer only.
    pub(crate) fn one_has_ended(&mut self) -> bool {
        self.0.iter_mut().any(|child| child.try_wait().expect("it is our child").is_some())
    }

    /// Stops them. Each must be well, and each answer right and in time.
    #[track_caller]
    pub(crate) fn finish(self) -> Seen {
        let mut all = Seen { versions: u64::MAX, ..Seen::default() };
        let mut failures = String::new();
        for mut child in self.0 {
            drop(child.stdin.take());
            let output = child.wait_with_output().expect("it is our child");
            let text = String::from_utf8_lossy(&output.stdout);
            if !output.status.success() {
                let stderr = String::from_utf8_lossy(&output.stderr);
                let _ = writeln!(failures, "{} {text}{stderr}", output.status);
                continue;
            }
            let value = |name: &str| -> u64 {
                let mut words = text.split_whitespace();
                let value = words.find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
                value.and_then(|value| value.parse().ok()).expect("it says so")
            };
            let slowest = Duration::from_millis(value("slowest"));
            if slowest > IN_TIME {
                let _ = writeln!(failures, "a lookup took {slowest:?}");
            }
            all.lookups += value("lookups");
            all.versions = all.versions.min(value("versions"));
            all.unavailable += value("unavailable");
        }
        assert!(failures.is_empty(), "{failures}");
        all
    }
}

/// The accounts that are watched, in a directory that changes them faster than
/// disks would let it.
pub(crate) fn watched(accounts: u64) -> DirectoryBuilder {
    let mut ldif = String::new();
    for n in 0..accounts {
        let _ = write!(
            ldif,
            "dn: uid=w{n},ou=people,{BASE}\nobjectClass: account\nobjectClass: posixAccount\n\
             uid: w{n}\ncn: w{n}\nuidNumber: {}\ngidNumber: 20001\ngecos: v0\n\
             homeDirectory: /home/w{n}/0\nloginShell: /bin/0\n\n\
             dn: cn=g{n},ou=groups,{BASE}\nobjectClass: posixGroup\ncn: g{n}\ngidNumber: {}\n\
             memberUid: a0\nmemberUid: b0\n\n",
            12_000 + n,
            22_000 + n
        );
    }
    Directory::new()
        .ldif(&ldif)
        .group("left", 21_001, ["mover"])
        .group("right", 21_002, [])
        .configuration("dbnosync")
}

/// Changes the watched accounts until `stop`, and counts.
pub(crate) fn change_all(mut changes: Changes, accounts: u64, stop: &AtomicBool, made: &AtomicU64) {
    for version in 1.. {
        for n in 0..accounts {
            if stop.load(Ordering::Relaxed) {
                return changes.finish();
            }
            change_one(&mut changes, n, version);
            if n % 8 == 0 {
                move_over(&mut changes, version + n / 8);
                made.fetch_add(2, Ordering::Relaxed);
            }
            made.fetch_add(2, Ordering::Relaxed);
        }
    }
}

fn change_one(changes: &mut Changes, n: u64, version: u64) {
    let (gecos, home) = (format!("v{version}"), format!("/home/w{n}/{version}"));
    let shell = format!("/bin/{version}");
    changes.replace(
        &format!("uid=w{n},ou=people,{BASE}"),
        &[("gecos", &[&gecos]), ("homeDirectory", &[&home]), ("loginShell", &[&shell])],
    );
    let [a, b] = [format!("a{version}"), format!("b{version}")];
    changes.replace(&format!("cn=g{n},ou=groups,{BASE}"), &[("memberUid", &[&a, &b])]);
}

/// Puts `mover` into one group, and then takes it out of the other.
fn move_over(changes: &mut Changes, step: u64) {
    let (to, from) = if step.is_multiple_of(2) { ("left", "right") } else { ("right", "left") };
    changes.replace(&format!("cn={to},ou=groups,{BASE}"), &[("memberUid", &["mover"])]);
    changes.replace(&format!("cn={from},ou=groups,{BASE}"), &[("memberUid", &[])]);
}

/// A process that runs as long as this lives (`src/bin/table_writer.rs`).
#[derive(Debug)]
pub(crate) struct TableWriter(Child);

impl TableWriter {
    /// Starts it in the daemon's place; the table is there when this returns.
    pub(crate) fn start(host: &Host, accounts: u64, zero: u64) -> Self {
        let (accounts, zero) = (accounts.to_string(), zero.to_string());
        let mut child = host
            .command(["/usr/bin/table-writer", common::paths::TABLE, &accounts, &zero])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("nsenter can be started");
        let mut said = [0; 6];
        child
            .stdout
            .as_mut()
            .expect("a pipe")
            .read_exact(&mut said)
            .expect("it says that it is up");
        Self(child)
    }

    /// Ends it: how many changes it has published, and in how many files.
    pub(crate) fn finish(mut self) -> String {
        drop(self.0.stdin.take());
        let mut text = String::new();
        self.0.stdout.take().expect("a pipe").read_to_string(&mut text).expect("it can be read");
        assert!(self.0.wait().expect("it is our child").success(), "{text}");
        text
    }

    /// Kills it by SIGKILL. nsenter waits for it.
    pub(crate) fn kill(mut self, host: &Host) {
        for pid in host.processes() {
            let command = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            if command.trim_end() == "table-writer" {
                let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
                let _ = rustix::process::kill_process(
                    pid.expect("a process id"),
                    rustix::process::Signal::KILL,
                );
            }
        }
        let _ = self.0.wait();
    }
}

/// Times that spread over the whole of what a process does (a linear congruential
/// sequence: the same in each run).
pub(crate) fn spread(n: u64, most: Duration) -> Duration {
    let random =
        n.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407) >> 33;
    most.mul_f64(f64::from(u32::try_from(random).unwrap_or_default()) / f64::from(1_u32 << 31))
}

/// Lets what runs go on for a while: here it is the time itself that is wanted.
pub(crate) fn go_on(time: Duration) {
    thread::sleep(time);
}

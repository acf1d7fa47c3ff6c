//! From a change in the directory to another answer on the host, where the server tells of changes
//! as they happen (RFC 4533).
//!
//! A process on the host looks a user up all the time, with short pauses; the clock runs from
//! when the change is sent to the server until that process has said that it sees it. So the
//! server's own time is part of it, and it is shown beside it.

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Lines, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use harness::{Directory, Host, User};
use ldap3::{Ldap, LdapConnAsync, Mod};
use tokio::runtime::Runtime;

use crate::lib_c;

/// The argument that makes this program look users up, on a host.
pub(crate) const INSIDE: &str = "freshness";

const USERS: u32 = 10_000;
const SINGLE: u32 = 500;
const WARM_UP: u32 = 20;
/// How long the process on the host sleeps between two lookups.
const PAUSE: Duration = Duration::from_micros(200);
/// How many lookups are timed at a time.
const LOOKUPS: u32 = 20_000;
const PATIENCE: Duration = Duration::from_secs(600);
const WHERE: &str = "/usr/local/bin/bench";

fn user(number: u32) -> User {
    User::new(&format!("u{number}")).uid(20_000 + number)
}

/// Sets a host up, measures there, reports.
pub(crate) fn measure() {
    let directory = Directory::new().people((0..USERS).map(user));
    let cache = "mode = \"replica\"\nrefresh = 3600\n";
    let mut host = Host::new().directory(directory).cache(cache).start();
    host.wait_for_log("the server tells of changes", PATIENCE);
    host.daemon().wait_until_complete();
    host.install(&std::env::current_exe().expect("/proc is mounted"), WHERE);
    // No file is read before.
    host.write("/etc/nsswitch.conf", "passwd: ldap\ngroup: ldap\n");
    println!("a change on the server to another answer on the host, {USERS} users");
    one_by_one(&mut host);
    all_at_once(&mut host);
}

fn one_by_one(host: &mut Host) {
    let mut eye = Eye::open(host);
    let mut writer = Writer::connect(host.directory());
    let (mut seen, mut written) = (Vec::new(), Vec::new());
    for round in 0..SINGLE + WARM_UP {
        let (number, shell) = (round * 17 % USERS, format!("/bin/s{round}"));
        eye.tell(&format!("{shell} u{number}"));
        let started = Instant::now();
        writer.set_shell(&user(number).dn(), &shell);
        let answered = started.elapsed();
        eye.hear();
        if round >= WARM_UP {
            seen.push(started.elapsed());
            written.push(answered);
        }
    }
    for (what, mut times) in [("seen on the host", seen), ("the server's answer", written)] {
        times.sort_unstable();
        let at = |share: usize| ms(times[(times.len() - 1) * share / 100]);
        println!("  one change, {what:<20} p50 {}, p99 {}, worst {}", at(50), at(99), at(100));
    }
}

fn all_at_once(host: &mut Host) {
    let mut eye = Eye::open(host);
    let mut other = Eye::open(host);
    let mut lookup = || {
        other.tell("lookups u1");
        other.hear().parse::<u64>().expect("nanoseconds")
    };
    let quiet = lookup();
    let started = Instant::now();
    let mut changes = host.directory().changes();
    let writing = thread::spawn(move || {
        for number in 0..USERS {
            changes.replace(&user(number).dn(), &[("loginShell", &["/bin/burst"])]);
        }
        changes.finish();
        started.elapsed()
    });
    eye.tell(&format!("/bin/burst u{}", USERS - 1));
    let mut busy = Vec::new();
    while !writing.is_finished() {
        busy.push(lookup());
    }
    let written = writing.join().expect("the server takes all of them");
    eye.hear();
    let seen = started.elapsed();
    busy.sort_unstable();
    let ratio = seen.as_secs_f64() / written.as_secs_f64();
    println!(
        "  a burst of {USERS}: written in {}, seen in {} ({ratio:.2} times)",
        ms(written),
        ms(seen)
    );
    let middle = busy.get(busy.len() / 2).copied().unwrap_or(0);
    println!("  a warm lookup: {quiet} ns before, {middle} ns meanwhile");
    let mut missing: HashSet<u32> = (0..USERS).collect();
    missing.retain(|number| {
        eye.tell(&format!("shell u{number}"));
        eye.hear() != "/bin/burst"
    });
    println!("  changes that were not seen: {}", missing.len());
}

fn ms(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}

/// A process on the host that looks users up.
struct Eye {
    child: Child,
    stdin: ChildStdin,
    stdout: Lines<BufReader<ChildStdout>>,
}

impl Eye {
    fn open(host: &Host) -> Self {
        let command =
            host.command([WHERE, INSIDE]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = command.expect("nsenter can be started");
        let stdin = child.stdin.take().expect("it is a pipe");
        let stdout = BufReader::new(child.stdout.take().expect("it is a pipe")).lines();
        Self { child, stdin, stdout }
    }

    fn tell(&mut self, what: &str) {
        writeln!(self.stdin, "{what}").expect("it reads");
    }

    fn hear(&mut self) -> String {
        self.stdout.next().and_then(Result::ok).expect("it answers")
    }
}

impl Drop for Eye {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Does what it is told by lines, and answers each with one: waits until a user has a shell, says
/// a user's shell, or how many nanoseconds a lookup takes.
pub(crate) fn inside() {
    for line in std::io::stdin().lines() {
        let line = line.expect("it is text");
        let (what, user) = line.split_once(' ').expect("two words");
        let answer = match what {
            "shell" => lib_c::shell_of(user).unwrap_or_default(),
            "lookups" => {
                let started = Instant::now();
                assert!((0..LOOKUPS).all(|_| lib_c::getpwnam(user)));
                (started.elapsed() / LOOKUPS).as_nanos().to_string()
            }
            shell => {
                while lib_c::shell_of(user).as_deref() != Some(shell) {
                    thread::sleep(PAUSE);
                }
                String::new()
            }
        };
        println!("{answer}");
    }
}

/// The directory's administrator.
struct Writer {
    runtime: Runtime,
    ldap: Ldap,
}

impl Writer {
    fn connect(directory: &Directory) -> Self {
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime can be started");
        let uri = directory.ldapi_uri();
        let ldap = runtime.block_on(async {
            let (connection, mut ldap) = LdapConnAsync::new(&uri).await.expect("it answers");
            tokio::spawn(connection.drive());
            let bound = ldap.sasl_external_bind().await.expect("it answers");
            bound.success().expect("the socket knows us");
            ldap
        });
        Self { runtime, ldap }
    }

    fn set_shell(&mut self, dn: &str, shell: &str) {
        let change = Mod::Replace("loginShell", HashSet::from([shell]));
        let done = self.runtime.block_on(self.ldap.modify(dn, vec![change]));
        done.and_then(ldap3::LdapResult::success).expect("it takes the change");
    }
}

//! From a change in the directory to another answer on the host, where the server tells of changes
//! as they happen (RFC 4533): OpenLDAP, and 389 Directory Server where it is installed.
//!
//! A process on the host looks a user up all the time, with short pauses; the clock runs from
//! when the change is sent to the server until that process has said that it sees it. So the
//! server's own time is part of it, and it is shown beside it.
//!
//! Then many changes at once, and changes while the daemon is down. What travels is counted where
//! both see it: the bytes of the host's loopback interface, on which there is nobody but the
//! daemon and the server; the administrator uses the server's socket.

use std::panic::{self, AssertUnwindSafe};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use harness::{Directory, Host, User};

use crate::lib_c;
use crate::people::People;
use crate::talk::Talk;

mod resume;
mod writer;

use writer::Writer;

/// The argument that makes this program look users up, on a host.
pub(crate) const INSIDE: &str = "freshness";

/// How many changes make a burst, at most.
const BURST: u32 = 10_000;
const SINGLE: u32 = 500;
const WARM_UP: u32 = 20;
/// How long the process on the host sleeps between two lookups.
const PAUSE: Duration = Duration::from_micros(200);
/// How many lookups are timed at a time.
const LOOKUPS: u32 = 20_000;
const PATIENCE: Duration = Duration::from_secs(600);
/// What the daemon logs when it hears of changes.
const TOLD: &str = "the server tells of changes";

fn user(number: u32) -> User {
    User::new(&format!("u{number}")).uid(20_000 + number)
}

/// Measures with each server there is, and reports.
pub(crate) fn measure(people: People) {
    with("OpenLDAP", people.0);
    if Path::new("/usr/sbin/ns-slapd").exists() {
        // The harness panics where a server doesn't start or doesn't answer.
        if panic::catch_unwind(AssertUnwindSafe(|| with("389", people.0))).is_err() {
            println!("Not measured: freshness, 389: it failed; see above");
        }
    } else {
        println!("Not measured: freshness, 389: there is no ns-slapd (389-ds-base)");
    }
}

/// Sets a host up, measures there, reports.
fn with(server: &str, users: u32) {
    let directory = Directory::new().people((0..users).map(user));
    let directory = if server == "389" { directory.ds389() } else { directory.syncprov() };
    let cache = "mode = \"replica\"\nrefresh = 3600\nmax_replica = 10000000\n";
    let mut host = Host::new().directory(directory).cache(cache).start();
    host.wait_for_log(TOLD, PATIENCE);
    host.daemon().wait_until_complete();
    crate::measure::install(&host);
    // No file is read before; the daemon's own user is in one.
    host.write("/etc/nsswitch.conf", "passwd: ldap files\ngroup: ldap files\n");
    println!("a change on the server to another answer on the host, {server}, {users} users");
    let scene = Scene { server, users };
    scene.one_by_one(&mut host);
    scene.all_at_once(&mut host);
    scene.while_down(&mut host);
}

/// Which server it is, and how many users it has.
struct Scene<'a> {
    server: &'a str,
    users: u32,
}

impl Scene<'_> {
    /// Prints a line.
    fn say(&self, what: &str) {
        println!("  {}: {what}", self.server);
    }

    fn one_by_one(&self, host: &mut Host) {
        let mut eye = Eye::open(host);
        let mut writer = Writer::connect(host.directory());
        let (mut seen, mut written) = (Vec::new(), Vec::new());
        for round in 0..SINGLE + WARM_UP {
            let (number, shell) = (round * 17 % self.users, format!("/bin/s{round}"));
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
        let aim = " (aim 20 ms, 200 ms)";
        for (what, mut times, aim) in
            [("seen on the host", seen, aim), ("the server's answer", written, "")]
        {
            times.sort_unstable();
            let at = |share: usize| ms(times[(times.len() - 1) * share / 100]);
            let (p50, p99, worst) = (at(50), at(99), at(100));
            self.say(&format!("one change, {what:<20} p50 {p50}, p99 {p99}, worst {worst}{aim}"));
        }
    }

    fn all_at_once(&self, host: &mut Host) {
        let burst = self.users.min(BURST);
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
            for number in 0..burst {
                changes.replace(&user(number).dn(), &[("loginShell", &["/bin/burst"])]);
            }
            changes.finish();
            started.elapsed()
        });
        eye.tell(&format!("/bin/burst u{}", burst - 1));
        let mut busy = Vec::new();
        while !writing.is_finished() {
            busy.push(lookup());
        }
        let written = writing.join().expect("the server takes all of them");
        eye.hear();
        let seen = started.elapsed();
        busy.sort_unstable();
        let ratio = seen.as_secs_f64() / written.as_secs_f64();
        let (written, seen) = (ms(written), ms(seen));
        self.say(&format!(
            "a burst of {burst}: written in {written}, seen in {seen} ({ratio:.2} times, aim 3)"
        ));
        let middle = busy.get(busy.len() / 2).copied().unwrap_or(0);
        self.say(&format!("a warm lookup: {quiet} ns before, {middle} ns meanwhile"));
        let missing = (0..burst).filter(|number| eye.shell(*number) != "/bin/burst").count();
        self.say(&format!("changes that were not seen: {missing}"));
    }
}

fn ms(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}

/// A process on the host that looks users up.
struct Eye(Talk);

impl Eye {
    fn open(host: &Host) -> Self {
        Self(Talk::open(host, &[INSIDE]))
    }

    fn tell(&mut self, what: &str) {
        self.0.tell(what);
    }

    fn hear(&mut self) -> String {
        self.0.hear().expect("it answers")
    }

    /// What it sees.
    fn shell(&mut self, number: u32) -> String {
        self.tell(&format!("shell u{number}"));
        self.hear()
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

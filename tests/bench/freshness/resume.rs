//! A daemon that was down while the directory changed.

use std::time::{Duration, Instant};

use harness::Host;

use super::{Eye, PATIENCE, Scene, TOLD, ms, user};

/// How many changes are made meanwhile, at most.
const CHANGES: u32 = 1000;

impl Scene<'_> {
    /// Loads everything, and then what has changed alone; each from the daemon's start on.
    pub(super) fn while_down(&self, host: &mut Host) {
        let mut eye = Eye::open(host);
        let (full, full_bytes) = restarted(host, &mut eye, |host| {
            host.run(["sh", "-c", "rm -rf /run/rollcall/table* /var/cache/rollcall/*"]).success();
            0
        });
        let changes = CHANGES.min(self.users);
        let (resumed, resumed_bytes) = restarted(host, &mut eye, |host| {
            let mut stream = host.directory().changes();
            for number in 0..changes {
                stream.replace(&user(number).dn(), &[("loginShell", &["/bin/resumed"])]);
            }
            stream.finish();
            changes
        });
        // Told one by one they come with an identity and a packet of their own each.
        for (what, took, bytes, entries) in [
            ("a full load", full, full_bytes, self.users),
            ("resumed after changes", resumed, resumed_bytes, changes),
        ] {
            let (took, kib, each) = (ms(took), bytes / 1024, bytes / u64::from(entries.max(1)));
            self.say(&format!(
                "{what}: in step after {took}, {kib} KiB travel: {each} B for each of {entries}"
            ));
        }
    }
}

/// The time until so many users have the new shell and the copy is complete, and
/// the bytes that went over the network until the daemon hears of changes: only then it knows from
/// where on, with 389, which tells everything once more for that after a full load.
fn restarted(
    host: &mut Host,
    eye: &mut Eye,
    meanwhile: impl FnOnce(&mut Host) -> u32,
) -> (Duration, u64) {
    host.daemon().stop();
    let changed = meanwhile(host);
    let before = bytes(host);
    let lines = host.log().len();
    let started = Instant::now();
    host.daemon().start();
    host.daemon().wait_until_complete();
    for number in 0..changed {
        if eye.shell(number) != "/bin/resumed" {
            eye.tell(&format!("/bin/resumed u{number}"));
            eye.hear();
        }
    }
    let took = started.elapsed();
    host.wait_for_log_from(lines, TOLD, PATIENCE);
    (took, bytes(host) - before)
}

/// What the loopback interface has received since the host was started (`proc_pid_net(5)`, `dev`).
fn bytes(host: &Host) -> u64 {
    let text = host.run(["cat", "/proc/self/net/dev"]).success();
    let line = text.lines().find_map(|line| line.trim().strip_prefix("lo:"));
    let first = line.and_then(|line| line.split_whitespace().next());
    first.and_then(|first| first.parse().ok()).expect("every network has it")
}

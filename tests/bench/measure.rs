//! Carries out the tasks with each of those who are measured, in an order in
//! which what is called a first lookup is one.

use std::collections::BTreeMap;
use std::time::Instant;

use harness::Host;

use crate::arguments::Arguments;
use crate::providers::{Kind, Provider, State};
use crate::site::Site;

/// Where each host has this program.
pub(crate) const PROGRAM: &str = "/usr/local/bin/bench";
/// How many seconds a task may take: a peer that hangs is no reason to stop.
const PATIENCE: &str = "300";

/// Figures by name: nanoseconds, a number in a second, KiB or a plain number.
pub(crate) type Figures = BTreeMap<String, f64>;

/// All that was measured.
#[derive(Debug, Default)]
pub(crate) struct Results {
    /// How many users there were.
    pub(crate) users: u32,
    /// Of each who could be measured.
    pub(crate) figures: BTreeMap<Kind, Figures>,
    /// What was not, and why.
    pub(crate) missing: Vec<String>,
}

/// Something to measure.
pub(crate) struct Task {
    /// What it is called on the command line, and inside.
    pub(crate) name: &'static str,
    /// Whether these have it.
    of: fn(Kind) -> bool,
    /// What is done; given the directory, because of what it counts.
    run: fn(&Self, &mut Provider, &mut Site) -> Result<Figures, String>,
}

/// In this order: the figures of memory are of a daemon that has worked.
pub(crate) const TASKS: [Task; 16] = [
    Task { name: "load", of: |kind| kind == Kind::Replica, run: loaded },
    Task { name: "dump", of: |kind| kind == Kind::Client, run: inside },
    Task { name: "search", of: |kind| kind == Kind::Client, run: inside },
    Task { name: "first-users", of: looks_up, run: inside },
    Task { name: "many", of: looks_up_there, run: counted },
    Task { name: "programs", of: has_programs, run: inside },
    Task { name: "list", of: looks_up, run: inside },
    Task { name: "misses", of: looks_up, run: inside },
    Task { name: "groups-of", of: looks_up, run: inside },
    Task { name: "large", of: looks_up, run: inside },
    Task { name: "warm", of: looks_up, run: inside },
    Task { name: "threads", of: looks_up, run: inside },
    Task { name: "module", of: looks_up, run: inside },
    Task { name: "random", of: Kind::is_ours, run: inside },
    Task { name: "logins", of: |kind| kind.has_logins() && looks_up(kind), run: logins },
    Task { name: "memory", of: looks_up_there, run: memory },
];

/// It belongs to no order: SSSD is set up anew for it.
pub(crate) const ENUMERATE: Task = Task { name: "enumerate", of: enumerates, run: inside };

/// The last one: it takes the server away, which some are a while in getting over.
pub(crate) const OUTAGES: Task = Task { name: "outages", of: looks_up_there, run: outages };

/// Only for a plot.
pub(crate) const DISTRIBUTION: Task =
    Task { name: "distribution", of: looks_up_there, run: inside };

fn looks_up(kind: Kind) -> bool {
    !matches!(kind, Kind::SssdEnumerating | Kind::ShortFiles | Kind::Client)
}

fn looks_up_there(kind: Kind) -> bool {
    looks_up(kind) && kind != Kind::Files
}

fn has_programs(kind: Kind) -> bool {
    looks_up(kind) || kind == Kind::ShortFiles
}

fn enumerates(kind: Kind) -> bool {
    !matches!(kind, Kind::Sssd | Kind::ShortFiles | Kind::Client)
}

/// Puts this program on a host.
pub(crate) fn install(host: &Host) {
    host.install(&std::env::current_exe().expect("/proc is mounted"), PROGRAM);
}

/// Measures all that is asked for; says on standard error what it is at.
pub(crate) fn all(arguments: &Arguments, site: &mut Site) -> Results {
    let mut results = Results { users: site.people.0, ..Results::default() };
    for kind in &arguments.kinds {
        let tasks: Vec<_> = TASKS
            .iter()
            .chain([&ENUMERATE, &OUTAGES])
            .filter(|task| (task.of)(*kind) && arguments.wants(task.name))
            .collect();
        if !tasks.is_empty() {
            one(*kind, &tasks, site, &mut results);
        }
    }
    results
}

/// Measures these tasks with one of them.
pub(crate) fn one(kind: Kind, tasks: &[&Task], site: &mut Site, results: &mut Results) {
    let started = Instant::now();
    let mut provider = match kind.start(site) {
        Ok(provider) => provider,
        Err(why) => return results.missing.push(format!("{}: {why}", kind.name())),
    };
    eprintln!("{}: started after {:.1} s", kind.name(), started.elapsed().as_secs_f64());
    let figures = results.figures.entry(kind).or_default();
    for task in tasks {
        let started = Instant::now();
        match (task.run)(task, &mut provider, site) {
            Ok(more) => figures.extend(more),
            Err(why) => site.failed.push(why),
        }
        let failed = site.failed.drain(..);
        results.missing.extend(failed.map(|why| format!("{}, {}: {why}", kind.name(), task.name)));
        let seconds = started.elapsed().as_secs_f64();
        eprintln!("{}: {}: {seconds:.1} s", kind.name(), task.name);
    }
}

/// Runs a task of this program on the host.
fn inside(task: &Task, provider: &mut Provider, site: &mut Site) -> Result<Figures, String> {
    run(task.name, provider.host.as_ref().unwrap_or(&site.host), site.people.0)
}

/// The same by name.
pub(crate) fn run(task: &str, host: &Host, users: u32) -> Result<Figures, String> {
    let users = users.to_string();
    let words = ["timeout", PATIENCE, PROGRAM, crate::inside::INSIDE, &users, task];
    let output = host.run(words);
    if output.status != Some(0) {
        let last = output.stderr.lines().rfind(|line| !line.starts_with("note: "));
        return Err(format!("ended with {:?}: {}", output.status, last.unwrap_or_default()));
    }
    let line = |line: &str| {
        let (name, value) = line.split_once(' ')?;
        Some((name.to_owned(), value.parse().ok()?))
    };
    Ok(output.stdout.lines().filter_map(line).collect())
}

/// How long the whole directory took to load.
fn loaded(_: &Task, provider: &mut Provider, _: &mut Site) -> Result<Figures, String> {
    let time = provider.loaded.ok_or("it wasn't measured")?;
    Ok([("load.time".to_owned(), time)].into())
}

/// A task, and what the directory was asked for it.
#[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52")]
fn counted(task: &Task, provider: &mut Provider, site: &mut Site) -> Result<Figures, String> {
    let before = site.counts();
    let mut figures = inside(task, provider, site)?;
    let counts = site.counts() - before;
    let lookups = site.people.sample(crate::people::Sample::Processes).len() as f64;
    figures.insert("many.searches".into(), counts.searches as f64 * 1000.0 / lookups);
    figures.insert("many.connections".into(), counts.connections as f64);
    Ok(figures)
}

/// Logins, and what one costs the directory.
#[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52")]
fn logins(task: &Task, provider: &mut Provider, site: &mut Site) -> Result<Figures, String> {
    // What a daemon begins with isn't of the logins.
    site.wait_for_calm();
    let before = site.counts();
    let mut figures = inside(task, provider, site)?;
    let counts = site.counts() - before;
    let logins = figures.get("login.count").copied().unwrap_or(f64::NAN);
    let each = |count: usize| count as f64 / logins;
    figures.insert("login.searches".into(), each(counts.searches - counts.root_searches));
    figures.insert("login.binds".into(), each(counts.binds - counts.reader_binds));
    figures.insert("login.connections".into(), counts.connections as f64);
    figures.insert("login.reader".into(), counts.reader_binds as f64);
    Ok(figures)
}

/// Lookups and logins without a server.
fn outages(_: &Task, provider: &mut Provider, site: &mut Site) -> Result<Figures, String> {
    crate::outages::measure(provider, site)
}

/// What the daemons take, all together.
#[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52")]
fn memory(_: &Task, provider: &mut Provider, site: &mut Site) -> Result<Figures, String> {
    let host = provider.host.as_ref().ok_or("it has no host")?;
    let sum = |file: &str, line: &str| -> f64 {
        host.processes().iter().filter_map(|pid| kib(*pid, file, line)).sum()
    };
    let rss = sum("status", "VmRSS:");
    let mut figures = Figures::from([
        ("memory.rss".to_owned(), rss),
        ("memory.pss".to_owned(), sum("smaps_rollup", "Pss:")),
    ]);
    if let Some(state) = State::of(host) {
        // /run is in memory: what is mapped of the table counts as shared.
        figures.insert("memory.beyond".into(), rss - sum("status", "RssShmem:"));
        let people = site.people;
        let records = state.used as f64 - people.member_bytes() as f64;
        figures.insert("table.user".into(), records / f64::from(people.0));
        figures.insert("table.size".into(), state.size as f64 / 1024.0);
    }
    Ok(figures)
}

/// A line of a file in `/proc/PID`, in KiB (`proc(5)`).
fn kib(pid: u32, file: &str, line: &str) -> Option<f64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/{file}")).ok()?;
    let line = text.lines().find_map(|l| l.strip_prefix(line))?;
    line.split_whitespace().next()?.parse().ok()
}

//! Measured times.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use harness::Host;

/// The times that a measuring process has taken, by what was measured.
#[derive(Debug, Default)]
pub(crate) struct Samples(BTreeMap<String, Vec<Duration>>);

impl Samples {
    /// Takes the time of one more.
    pub(crate) fn time<T>(&mut self, what: &str, work: impl FnOnce() -> T) -> T {
        let started = Instant::now();
        let result = work();
        self.add(what, started.elapsed());
        result
    }

    /// Adds one.
    pub(crate) fn add(&mut self, what: &str, time: Duration) {
        self.0.entry(what.into()).or_default().push(time);
    }

    /// Forgets what was measured while everything warmed up.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// Hands them to the process that reads the standard output.
    pub(crate) fn print(&self) {
        for (what, times) in &self.0 {
            for time in times {
                println!("{what} {}", time.as_nanos());
            }
        }
    }

    /// Runs this program on a host and takes what it printed.
    pub(crate) fn of(host: &Host, arguments: &[&str]) -> Self {
        let myself = std::env::current_exe().expect("/proc is mounted");
        let inside = "/usr/local/bin/bench";
        host.install(&myself, inside);
        let text = host.run([inside].iter().chain(arguments)).success();
        let mut samples = Self::default();
        for line in text.lines() {
            let (what, nanoseconds) = line.split_once(' ').expect("a line of `print`");
            let nanoseconds = nanoseconds.parse().expect("a line of `print`");
            samples.add(what, Duration::from_nanos(nanoseconds));
        }
        samples
    }

    /// The median; `None` if this was never measured.
    pub(crate) fn median(&self, what: &str) -> Option<Duration> {
        let mut times = self.0.get(what)?.clone();
        times.sort_unstable();
        times.get(times.len() / 2).copied()
    }
}

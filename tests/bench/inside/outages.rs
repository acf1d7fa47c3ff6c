//! Lookups and logins whatever becomes of the directory, as a line of the standard input asks for
//! them. Each answer is a line: how many found what they looked for, and the nanoseconds of each.

use std::thread;
use std::time::{Duration, Instant};

use super::calls::{Caller, Key};
use crate::lib_pam::Transaction;
use crate::people::{People, Sample};
use crate::providers::SERVICE;

/// How many lookups follow each other without a pause: what a process does that has
/// a few owners to name.
const BURST: usize = 50;
const PAUSE: Duration = Duration::from_millis(5);
/// What takes longer isn't repeated often.
const SLOW: Duration = Duration::from_millis(500);
/// How often it is at least, and for how long: one slow call may be followed by one that waits
/// for the rest of the same deadline.
const SLOW_ONES: usize = 2;
const SLOW_FOR: Duration = Duration::from_secs(8);

/// Obeys until there is nothing more to do.
pub(super) fn obey(people: People) {
    let mut caller = Caller::new();
    let known: Vec<_> =
        people.sample(Sample::Lookups).take(BURST).map(|i| Key::user(&People::user(i))).collect();
    for line in std::io::stdin().lines() {
        let line = line.expect("it is text");
        let words: Vec<_> = line.split(' ').collect();
        let number = |text: &str| text.parse::<usize>().expect("a number");
        let mut series = Series::default();
        match words[..] {
            ["known", milliseconds] => {
                let limit = u64::try_from(number(milliseconds)).expect("a number");
                let end = Instant::now() + Duration::from_millis(limit);
                while Instant::now() < end && series.goes_on() {
                    for key in &known {
                        if series.goes_on() {
                            series.time(|| caller.attempt(key) == Ok(true));
                        }
                    }
                    thread::sleep(PAUSE);
                }
            }
            ["unknown", prefix, count] => {
                let keys = (0..number(count)).map(|n| Key::user(&format!("{prefix}{n}")));
                for key in keys.collect::<Vec<_>>() {
                    if series.goes_on() {
                        series.time(|| caller.attempt(&key) == Ok(true));
                    }
                }
            }
            ["groups", user, count] => {
                let key = Key::groups_of(user);
                for _ in 0..number(count) {
                    if series.goes_on() {
                        series.time(|| caller.attempt(&key) == Ok(true));
                    }
                }
            }
            ["login", user, count] => {
                for _ in 0..number(count) {
                    if series.goes_on() {
                        series.time(|| log_in(user));
                    }
                }
            }
            _ => panic!("no such thing: {line}"),
        }
        println!("{}", series.text());
    }
}

fn log_in(user: &str) -> bool {
    let mut transaction = Transaction::start(SERVICE, user, &People::password(user));
    transaction.wait_for_nothing();
    transaction.log_in() == (0, 0)
}

/// Calls that were timed one by one.
#[derive(Default)]
struct Series {
    times: Vec<Duration>,
    found: usize,
}

impl Series {
    fn time(&mut self, call: impl FnOnce() -> bool) {
        let started = Instant::now();
        let found = call();
        self.times.push(started.elapsed());
        self.found += usize::from(found);
    }

    /// Whether so few of them were slow that more are to be expected of more.
    fn goes_on(&self) -> bool {
        let slow = self.times.iter().filter(|time| **time > SLOW);
        slow.clone().count() < SLOW_ONES || slow.sum::<Duration>() < SLOW_FOR
    }

    fn text(&self) -> String {
        let times: Vec<_> = self.times.iter().map(|time| time.as_nanos().to_string()).collect();
        format!("{} {}", self.found, times.join(" "))
    }
}

//! The part of this program that runs on a host and measures there. It prints
//! a figure a line: its name, and nanoseconds, a number in a second, or KiB.

use crate::people::People;

mod calls;
mod clock;
mod logins;
mod lookups;
mod many;
mod outages;
mod whole;

/// The argument that makes this program measure, on a host.
pub(crate) const INSIDE: &str = "inside";

/// Carries out the arguments after [`INSIDE`]: the number of users, and what
/// to measure.
///
/// # Panics
/// If something isn't answered as it should be: such figures would mean nothing.
pub(crate) fn run(words: &[&str]) {
    let [users, task, rest @ ..] = words else { panic!("a number and a task: {words:?}") };
    let people = People(users.parse().expect("a number of users"));
    match *task {
        "first-users" => lookups::first_users(people),
        "warm" => lookups::warm(people),
        "module" => lookups::module(people),
        "random" => lookups::random(people),
        "misses" => lookups::misses(people),
        "groups-of" => lookups::groups_of(people),
        "large" => lookups::large(people),
        "threads" => lookups::threads(people),
        "distribution" => lookups::distribution(people),
        "search" => plain_search(people),
        "programs" => whole::programs(people),
        "list" => whole::list(people),
        "enumerate" => whole::enumerate(people),
        "dump" => whole::dump(),
        whole::PEAK => whole::peak(rest),
        "many" => many::processes(people),
        many::ONE => many::one(people, rest),
        "logins" => logins::measure(people),
        "outages" => outages::obey(people),
        logins::ONE => logins::one(people, rest),
        other => panic!("no such task: {other}"),
    }
}

fn say(figure: &str, value: f64) {
    println!("{figure} {value}");
}

/// What a search costs on a kept connection, by ldap3 alone.
fn plain_search(people: People) {
    let plain = crate::plain::Plain::connect();
    plain.bind_as_reader();
    let names: Vec<_> = people.sample(crate::people::Sample::Lookups).map(People::user).collect();
    let times = clock::each(&names, |name| plain.search(name));
    say("first.user", clock::quantile(times, 0.5));
}

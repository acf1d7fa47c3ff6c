//! How long each of many lookups takes, one after the other for a while.

use std::collections::BTreeSet;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::nss;

/// Between the end of one lookup and the next.
const PAUSE: Duration = Duration::from_millis(5);

/// Looks up for so many seconds: "SECONDS VERB NAME". `%` in the name is another number each
/// time. Says in microseconds how long a lookup took in the median, the longest and the second
/// longest, and every answer that came, with `|` between them.
pub(crate) fn run(what: &str) -> String {
    let mut words = what.splitn(3, ' ');
    let mut next = || words.next().expect("seconds, a verb and a name");
    let seconds = Duration::from_secs(next().parse().expect("a number"));
    let (verb, name) = (next(), next());
    let (mut times, mut answers) = (Vec::new(), BTreeSet::new());
    let begin = Instant::now();
    while begin.elapsed() < seconds {
        let name = name.replace('%', &times.len().to_string());
        let start = Instant::now();
        let answer = answer(verb, &name);
        times.push(start.elapsed().as_micros());
        answers.insert(answer);
        sleep(PAUSE);
    }
    times.sort_unstable();
    let from_the_end = |n| times.iter().rev().nth(n).copied().unwrap_or_default();
    let answers: Vec<_> = answers.into_iter().collect();
    format!(
        "{} {} {} {}",
        from_the_end(times.len() / 2),
        from_the_end(0),
        from_the_end(1),
        answers.join("|")
    )
}

fn answer(verb: &str, name: &str) -> String {
    let id = || name.parse().expect("a number");
    let answer = match verb {
        "user" => nss::user(name),
        "uid" => nss::user_by_id(id()),
        "group" => nss::group(name),
        "gid" => nss::group_by_id(id()),
        "groups" => Ok(Some(nss::groups_of(name))),
        other => panic!("no such lookup: {other:?}"),
    };
    match answer {
        Ok(Some(line)) => line,
        Ok(None) => "none".into(),
        Err(errno) => format!("error {errno}"),
    }
}

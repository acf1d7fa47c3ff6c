//! Logins through libpam: the password, and whether the user may log in.

use std::time::Instant;

use super::{clock, many, say};
use crate::lib_pam::Transaction;
use crate::people::{People, Sample};
use crate::providers::SERVICE;

/// The task of one of several processes.
pub(super) const ONE: &str = "one-login-process";

const PROCESSES: u32 = 8;
const LOGINS_EACH: u32 = 40;

/// Each user for the first time, one user again and again, and several processes.
pub(super) fn measure(people: People) {
    let users: Vec<_> = people.sample(Sample::Logins).take(200).map(People::user).collect();
    say("login.first", clock::quantile(clock::each(&users, |user| log_in(user)), 0.5));
    let same = vec![&users[0]; 100];
    say("login.again", clock::quantile(clock::each(&same, |user| log_in(user)), 0.5));
    let started = Instant::now();
    let numbers = (0..PROCESSES).map(|process| vec![process.to_string()]);
    let ends = many::together(people, ONE, numbers);
    // Each says how long it took after all were ready.
    let longest = ends.iter().map(|time| time.parse::<f64>().expect("seconds")).fold(0.0, f64::max);
    assert!(longest <= started.elapsed().as_secs_f64());
    let together = f64::from(PROCESSES * LOGINS_EACH);
    say("login.rate", together / longest);
    #[expect(clippy::cast_precision_loss, reason = "a sample is small")]
    say("login.count", together + (users.len() + same.len()) as f64);
}

/// One of the processes.
pub(super) fn one(people: People, words: &[&str]) {
    let process: u32 = words[0].parse().expect("a number");
    let sample = people.sample(Sample::Logins);
    let users = sample.cycle().skip((process * LOGINS_EACH) as usize).take(LOGINS_EACH as usize);
    let users: Vec<_> = users.map(People::user).collect();
    many::wait();
    let started = Instant::now();
    for user in &users {
        log_in(user);
    }
    println!("{}", started.elapsed().as_secs_f64());
}

fn log_in(user: &str) {
    let mut transaction = Transaction::start(SERVICE, user, &People::password(user));
    assert_eq!(transaction.log_in(), (0, 0), "{user} may log in");
}

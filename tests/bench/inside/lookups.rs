//! Lookups of this process, first and repeated.

use std::hint::black_box;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use super::calls::{Caller, Key, configure};
use super::clock;
use super::say;
use crate::people::{FEW, LARGE, MANY, People, Sample};

const THREADS: u32 = 8;
const NSSWITCH: &str = "/etc/nsswitch.conf";

fn users(people: People, sample: Sample) -> Vec<Key> {
    people.sample(sample).map(|i| Key::user(&People::user(i))).collect()
}

/// Calls that all have to find what they look for, with so many items.
fn check(keys: &[Key], items: usize) {
    let mut caller = Caller::new();
    for key in keys {
        assert!(caller.call(key), "{key:?} is there");
        let found = caller.items(key);
        assert!(found >= items, "{key:?}: {found} of {items}");
    }
}

fn again(figure: &str, keys: &[Key]) {
    let mut caller = Caller::new();
    let call = |key: &Key| {
        black_box(caller.call(key));
    };
    say(figure, clock::again(keys, call));
}

fn first(keys: &[Key]) -> Vec<f64> {
    let mut caller = Caller::new();
    let mut found = 0;
    let times = clock::each(keys, |key| found += usize::from(caller.call(key)));
    assert!(found == 0 || found == keys.len(), "{found} of {}", keys.len());
    times
}

/// Users that nobody has asked for so far.
pub(super) fn first_users(people: People) {
    let times = first(&users(people, Sample::Lookups));
    say("first.user.p99", clock::quantile(times.clone(), 0.99));
    say("first.user", clock::quantile(times, 0.5));
}

/// The same users again and again, and groups.
pub(super) fn warm(people: People) {
    let names = users(people, Sample::Lookups);
    check(&names, 0);
    again("warm.user", &names);
    let uids: Vec<_> = people.sample(Sample::Lookups).map(|i| Key::Uid(People::uid(i))).collect();
    check(&uids, 0);
    again("warm.uid", &uids);
    let gids: Vec<_> = (0..people.groups().min(500)).map(|i| Key::Gid(People::gid(i))).collect();
    check(&gids, 1);
    again("warm.gid", &gids);
}

/// The same users without what glibc does before it asks a module; and what
/// that is.
pub(super) fn module(people: People) {
    again_stat();
    configure(&service());
    let names = users(people, Sample::Lookups);
    check(&names, 0);
    again("module.user", &names);
}

fn again_stat() {
    let stat = |(): &()| drop(black_box(std::fs::metadata(NSSWITCH)));
    say("stat", clock::again(&[(); 1000], stat));
}

/// The first one that `nsswitch.conf(5)` has for users.
fn service() -> String {
    let text = std::fs::read_to_string(NSSWITCH).expect("every host has it");
    let line = text.lines().find_map(|line| line.strip_prefix("passwd:"));
    line.and_then(|line| line.split_whitespace().next()).expect("it names one").to_owned()
}

/// Every user there is, in no order; and what the memory of this machine
/// makes of that.
pub(super) fn random(people: People) {
    configure(&service());
    let mut numbers: Vec<_> = (0..people.0).collect();
    shuffle(&mut numbers);
    let keys: Vec<_> = numbers.into_iter().map(|i| Key::user(&People::user(i))).collect();
    check(&keys, 0);
    again("random.user", &keys);
    say("three.misses", 3.0 * one_miss(people));
}

/// A walk in which each step says where the next one goes, through as much
/// memory as the users take.
fn one_miss(people: People) -> f64 {
    const BYTES_A_USER: u32 = 150;
    let mut order: Vec<u32> = (0..people.0 * BYTES_A_USER / 64).collect();
    shuffle(&mut order);
    // A cache line each.
    let mut lines = vec![[0_u32; 16]; order.len()];
    for (from, to) in order.iter().zip(order.iter().cycle().skip(1)) {
        lines[*from as usize][0] = *to;
    }
    let mut at = 0_u32;
    let steps = vec![(); order.len()];
    clock::again(&steps, |()| at = black_box(lines[at as usize][0]))
}

/// Fisher and Yates, with a generator of Lehmer's: the same order each time.
fn shuffle(list: &mut [u32]) {
    let mut state = 1_u64;
    for last in (1..list.len()).rev() {
        state = state * 48_271 % 2_147_483_647;
        let other = usize::try_from(state).unwrap_or_default() % (last + 1);
        list.swap(last, other);
    }
}

/// Users that there aren't.
pub(super) fn misses(_: People) {
    let keys: Vec<_> = (0..500).map(|i| Key::user(&format!("ghost{i}"))).collect();
    let times = first(&keys);
    say("miss.first", clock::quantile(times, 0.5));
    again("miss.again", &keys[..100]);
}

/// The groups of users, five and 500.
pub(super) fn groups_of(people: People) {
    let few: Vec<_> =
        people.sample(Sample::Groups).map(|i| Key::groups_of(&People::user(i))).collect();
    say("gids5.first", clock::quantile(first(&few), 0.5));
    check(&few, FEW as usize);
    again("gids5.warm", &few);
    let many = [Key::groups_of("lots")];
    say("gids500.first", clock::quantile(first(&many), 0.5));
    check(&many, MANY as usize);
    again("gids500.warm", &many);
}

/// The large group: with a buffer that has to grow, and with one that is kept.
pub(super) fn large(people: People) {
    let key = [Key::group(LARGE)];
    say("large.first", clock::quantile(first(&key), 0.5));
    check(&key, people.large() as usize);
    again("large.kept", &key);
    let mut caller = Caller::new();
    let growing = clock::again(&key, |key| {
        caller.shrink();
        caller.call(key);
    });
    say("large.warm", growing);
}

/// Several threads with users of their own: lookups in a second, together; and then the
/// same without what glibc does before it asks a module.
pub(super) fn threads(people: People) {
    let keys = users(people, Sample::Lookups);
    check(&keys, 0);
    say("threads.warm", rate(&keys));
    configure(&service());
    check(&keys, 0);
    say("threads.module", rate(&keys));
}

fn rate(keys: &[Key]) -> f64 {
    const LONG_ENOUGH: Duration = Duration::from_secs(1);
    let start = Barrier::new(THREADS as usize);
    let count = |keys: &[Key]| {
        let mut caller = Caller::new();
        for key in keys {
            caller.call(key);
        }
        start.wait();
        let started = Instant::now();
        let mut calls = 0.0;
        while started.elapsed() < LONG_ENOUGH {
            for key in keys {
                black_box(caller.call(key));
                calls += 1.0;
            }
        }
        calls / started.elapsed().as_secs_f64()
    };
    let share = keys.len().div_ceil(THREADS as usize);
    thread::scope(|scope| {
        let threads: Vec<_> =
            keys.chunks(share).map(|keys| scope.spawn(move || count(keys))).collect();
        threads.into_iter().map(|thread| thread.join().expect("it counts")).sum()
    })
}

/// How the times of lookups are distributed, for a plot: quantiles.
pub(super) fn distribution(people: People) {
    let keys = users(people, Sample::Plots);
    let first = first(&keys);
    let warm = (0..20).flat_map(|_| self::first(&keys)).collect::<Vec<_>>();
    for percent in 0..=100_u32 {
        let at = |times: &[f64]| clock::quantile(times.to_vec(), f64::from(percent) / 100.0);
        say(&format!("cdf.first.{percent}"), at(&first));
        say(&format!("cdf.warm.{percent}"), at(&warm));
    }
}

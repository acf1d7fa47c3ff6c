//! Watches accounts that somebody changes as fast as they can, and proves that
//! every answer is a state that existed.
//!
//! A version of an account is written all over it, so that a mixture of two shows:
//! `wN` in gecos, home and shell, group `gN` in both of its members. A
//! process never sees a version older than one that it has seen before. `mover`
//! is put into one of the groups `left` and `right` before it is taken out of the other.
//!
//! Where all accounts change at once ([`Scope::Together`]) every answer is held
//! against all that were given before, and not just those about the same account. There
//! `wN` is in one group, whose gid tells the version, and `w0` has another
//! name, which changes with the version: `alt0` to `alt6`.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::nss::{self, Answer};

/// The names that `w0` has besides, in turn.
const OTHER_NAMES: u64 = 7;
/// The gid of version 0 of a group that tells a version.
const FIRST_VERSION_GID: u64 = 100_000;
const FIRST_UID: u64 = 12_000;
const FIRST_GID: u64 = 22_000;
/// An enumeration comes once in so many lookups.
const LOOKUPS_PER_ENUMERATION: u64 = 3000;

/// What never goes back to an older version.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scope {
    /// Nothing: a state must have existed, some time.
    Nothing,
    /// What one key leads to.
    Key,
    /// An account, by whichever key it is found.
    Each,
    /// All of them.
    Together,
}

static STOP: AtomicBool = AtomicBool::new(false);

struct Watch {
    scope: Scope,
    accounts: u64,
    random: u64,
    /// The newest version that was seen, of an account or of all.
    seen: HashMap<String, u64>,
    lookups: u64,
    versions: u64,
    unavailable: u64,
    slowest: Duration,
}

/// Looks up until standard input ends. `what` is a scope ("state", "key", "each" or
/// "together") and how many accounts there are.
/// Says what it has seen; the first wrong answer ends the program with 1.
pub(crate) fn run(what: &str) -> String {
    let (scope, accounts) = what.split_once(' ').expect("a scope and a number");
    let scope = match scope {
        "together" => Scope::Together,
        "each" => Scope::Each,
        "key" => Scope::Key,
        _ => Scope::Nothing,
    };
    thread::spawn(|| {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        STOP.store(true, Ordering::Relaxed);
    });
    let mut watch = Watch {
        scope,
        accounts: accounts.parse().expect("a number"),
        random: u64::from(std::process::id()),
        seen: HashMap::new(),
        lookups: 0,
        versions: 0,
        unavailable: 0,
        slowest: Duration::ZERO,
    };
    while !STOP.load(Ordering::Relaxed) {
        if let Err(wrong) = watch.look() {
            println!("wrong: {wrong}");
            std::process::exit(1);
        }
    }
    let Watch { lookups, versions, unavailable, slowest, .. } = watch;
    format!(
        "lookups={lookups} versions={versions} unavailable={unavailable} slowest={}",
        slowest.as_millis()
    )
}

impl Watch {
    /// One lookup of a random kind.
    fn look(&mut self) -> Result<(), String> {
        self.lookups += 1;
        if self.lookups.is_multiple_of(LOOKUPS_PER_ENUMERATION) {
            return self.enumerate();
        }
        let n = self.random(self.accounts);
        match self.random(100) {
            0..40 => {
                let answer = self.timed(|| nss::user(&format!("w{n}")));
                self.user("name", n, answer)
            }
            40..75 => {
                let answer = self.timed(|| nss::user_by_id(number(FIRST_UID + n)));
                self.user("id", n, answer)
            }
            75..84 => {
                let answer = self.timed(|| nss::group(&format!("g{n}")));
                self.group("name", n, answer)
            }
            84..90 => {
                let answer = self.timed(|| nss::group_by_id(number(FIRST_GID + n)));
                self.group("id", n, answer)
            }
            90..95 => self.groups_of(n),
            95..98 if self.scope == Scope::Together => self.other_name(),
            _ => match self.timed(|| nss::user("nobody-here")) {
                Ok(None) => Ok(()),
                Ok(Some(line)) => Err(format!("somebody who never existed: {line}")),
                Err(errno) => self.unavailable("nobody-here", errno),
            },
        }
    }

    fn user(&mut self, key: &str, n: u64, answer: Answer) -> Result<(), String> {
        let line = match answer {
            Ok(Some(line)) => line,
            Ok(None) => return Err(format!("w{n} is not found")),
            Err(errno) => return self.unavailable(&format!("w{n}"), errno),
        };
        let version = user_version(n, &line).ok_or_else(|| format!("a mixture: {line}"))?;
        self.note(&format!("w{n}"), key, version, &line)
    }

    fn group(&mut self, key: &str, n: u64, answer: Answer) -> Result<(), String> {
        let line = match answer {
            Ok(Some(line)) => line,
            Ok(None) => return Err(format!("g{n} is not found")),
            Err(errno) => return self.unavailable(&format!("g{n}"), errno),
        };
        let version = line
            .strip_prefix(&format!("g{n}:{}:a", FIRST_GID + n))
            .and_then(|members| members.split_once(",b"))
            .and_then(|(a, b)| (a == b).then(|| a.parse().ok()).flatten())
            .ok_or_else(|| format!("a mixture: {line}"))?;
        self.note(&format!("g{n}"), key, version, &line)
    }

    fn groups_of(&mut self, n: u64) -> Result<(), String> {
        if self.scope != Scope::Together {
            // glibc can't say that it failed: then there is the primary group only.
            let ids = self.timed(|| nss::groups_of("mover"));
            return match ids.as_str() {
                "1 21001" | "1 21002" | "1 21001 21002" => Ok(()),
                "1" => self.unavailable("mover", libc::EAGAIN),
                _ => Err(format!("mover is in {ids}")),
            };
        }
        let ids = self.timed(|| nss::groups_of(&format!("w{n}")));
        if ids == "1" {
            return self.unavailable("groups", libc::EAGAIN);
        }
        let version = ids
            .strip_prefix("1 ")
            .and_then(|gid| gid.parse::<u64>().ok())
            .and_then(|gid| gid.checked_sub(FIRST_VERSION_GID))
            .ok_or_else(|| format!("w{n} is in {ids}"))?;
        self.note(&format!("w{n}"), "groups", version, &ids)
    }

    fn other_name(&mut self) -> Result<(), String> {
        let k = self.random(OTHER_NAMES);
        match self.timed(|| nss::user(&format!("alt{k}"))) {
            Ok(None) => Ok(()),
            Err(errno) => self.unavailable("alt", errno),
            Ok(Some(line)) => match user_version(0, &line) {
                Some(version) if version % OTHER_NAMES == k => {
                    self.note("w0", "name", version, &line)
                }
                _ => Err(format!("alt{k} is {line}")),
            },
        }
    }

    /// Everybody comes once, in a state not older than what was seen before it began.
    fn enumerate(&mut self) -> Result<(), String> {
        let mut missing: Vec<_> = (0..self.accounts).map(Some).collect();
        nss::begin();
        loop {
            let line = match self.timed(nss::next_user) {
                Ok(line) => line,
                Err(libc::ENOENT) => break,
                Err(errno) => return self.unavailable("the enumeration", errno),
            };
            let n = line.strip_prefix('w').and_then(|rest| rest.split_once(':')?.0.parse().ok());
            let Some(n) = n else { continue };
            let version = user_version(n, &line).ok_or_else(|| format!("a mixture: {line}"))?;
            if version < self.newest(&format!("w{n}")) {
                return Err(format!("an enumeration went back to {line}"));
            }
            let place = missing.get_mut(usize::try_from(n).unwrap_or(usize::MAX));
            if place.and_then(Option::take).is_none() {
                return Err(format!("an enumeration gave w{n} twice"));
            }
        }
        match missing.iter().flatten().next() {
            Some(n) => Err(format!("an enumeration came to its end without w{n}")),
            None => Ok(()),
        }
    }

    fn unavailable(&mut self, what: &str, errno: i32) -> Result<(), String> {
        if errno != libc::EAGAIN {
            return Err(format!("{what}: error {errno}"));
        }
        self.unavailable += 1;
        Ok(())
    }

    /// What the version of an account is kept under, found by such a key.
    fn place(&self, account: &str, key: &str) -> String {
        match self.scope {
            Scope::Nothing | Scope::Key => format!("{account} by {key}"),
            Scope::Each => account.into(),
            Scope::Together => "all".into(),
        }
    }

    /// The newest version of a user that was seen.
    fn newest(&self, account: &str) -> u64 {
        let by = |key| self.seen.get(&self.place(account, key)).copied().unwrap_or_default();
        if self.scope == Scope::Nothing { 0 } else { by("name").max(by("id")) }
    }

    fn note(&mut self, account: &str, key: &str, version: u64, line: &str) -> Result<(), String> {
        let place = self.place(account, key);
        let newest = self.seen.get(&place).copied().unwrap_or_default();
        if version < newest && self.scope != Scope::Nothing {
            return Err(format!("{place}: back from version {newest} to {line}"));
        }
        self.versions += u64::from(version > newest);
        self.seen.insert(place, version);
        Ok(())
    }

    fn timed<T>(&mut self, lookup: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let answer = lookup();
        self.slowest = self.slowest.max(start.elapsed());
        answer
    }

    /// Below a limit (xorshift).
    fn random(&mut self, limit: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % limit
    }
}

/// The version of `wN` in its passwd line, `None` if it is a mixture.
fn user_version(n: u64, line: &str) -> Option<u64> {
    let fields: Vec<_> = line.split(':').collect();
    let [name, uid, _, gecos, home, shell] = fields[..] else { return None };
    let version = gecos.strip_prefix('v')?;
    let whole = name == format!("w{n}")
        && uid == (FIRST_UID + n).to_string()
        && home == format!("/home/w{n}/{version}")
        && shell == format!("/bin/{version}");
    version.parse().ok().filter(|_| whole)
}

fn number(id: u64) -> u32 {
    u32::try_from(id).expect("an id")
}

//! What is kept of a user, and what it allows.
//!
//! Pure decisions: the time is an argument. Seconds are of the wall clock, since they must
//! outlive a restart of the machine. A clock that was set back is therefore noticed, and then
//! nobody gets in: otherwise that would be a way to make an old login young, or to end a wait.
//!
//! A record is of an entry of the directory, not of a name: one that has several names has one
//! password, and wrong ones count for all of them. But who logged in under one name isn't let in
//! under another: whether a server would have done that (two entries may share a name, or a
//! directory further up have it) isn't known here. So each name has its own last login.

use std::collections::BTreeMap;
use std::fmt;

use common::account::{Name, Shadow, User};
use common::login::judge_age;
use common::protocol::{LoginAnswer, OfflineStatus, Verdict};
use serde::{Deserialize, Serialize};

use super::hash::Hash;
use super::policy::{Origin, Policy};
use super::whose::are_one_dn;

/// By how much a clock may be corrected without being said to be set back, in seconds.
pub(super) const SLACK: u64 = 60;
/// The longest wait after a wrong password, in seconds.
const LONGEST_WAIT: u64 = 3600;
const DAY: u64 = 86_400;
const EXPIRED: &str = "Your password has expired, and it can't be changed while no server answers.";

/// What is kept of a user. Another form of it needs another number in `store.rs`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) user: User,
    pub(super) dn: String,
    pub(super) uuid: Option<String>,
    /// Which directory has it, by its place in the configuration.
    pub(super) directory: usize,
    pub(super) shadow: Option<Shadow>,
    /// When the server says that the password expires, in seconds since 1970.
    pub(super) password_ends: Option<u64>,
    /// Under which configuration the user was let in.
    pub(super) origin: Origin,
    /// The names under which that happened, and when last, in seconds since 1970.
    pub(super) logins: BTreeMap<Name, u64>,
    /// Wrong passwords since the last right one; counted before they are looked at.
    pub(super) failures: u32,
    /// When the last of these came, in seconds since 1970.
    pub(super) failed: u64,
    pub(super) hash: Hash,
}

/// Why there is no offline login, in words for the log: `no server answers, and …`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The directory, or who may log in, was configured otherwise then.
    OtherConfiguration,
    /// A server of the user's directory answers.
    Answered,
    /// The last login online is too long ago.
    TooOld,
    /// The clock shows a time before one that it has shown already.
    ClockSetBack,
    /// Too many wrong passwords.
    TooManyFailures,
    /// There was a wrong password a moment ago: so many seconds are left.
    Wait(u64),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherConfiguration => {
                f.write_str("the last login was under another configuration")
            }
            Self::Answered => f.write_str("the user's own directory isn't the one that is down"),
            Self::TooOld => f.write_str("the last login online is too long ago"),
            Self::ClockSetBack => f.write_str("the clock was set back since the last login"),
            Self::TooManyFailures => f.write_str("there were too many wrong passwords"),
            Self::Wait(seconds) => {
                write!(f, "after a wrong password the next one has to wait {seconds} s")
            }
        }
    }
}

impl Record {
    /// What it is kept under: which entry it is. A renamed one keeps its UUID; where the server
    /// tells none it is known by its DN, which a server spells in one way but for the case.
    pub(super) fn key(&self) -> String {
        self.uuid.as_deref().unwrap_or(&self.dn).to_lowercase()
    }

    /// Whether this is the entry's name.
    pub(super) fn has_dn(&self, dn: &str) -> bool {
        are_one_dn(&self.dn, dn)
    }

    /// Whether it is about the same entry, and was kept under the same configuration.
    pub(super) fn is_continued_by(&self, other: &Self) -> bool {
        self.key() == other.key()
            && self.directory == other.directory
            && self.origin == other.origin
    }

    /// Whether both can't be true: they claim one name or one entry.
    pub(super) fn is_at_odds_with(&self, other: &Self) -> bool {
        self.key() == other.key()
            || self.has_dn(&other.dn)
            || self.user.name == other.user.name
            || self.logins.keys().any(|name| other.logins.contains_key(name))
    }

    /// When the user last logged in online under whichever name, in seconds since 1970.
    pub(super) fn last_login(&self) -> u64 {
        self.logins.values().copied().max().unwrap_or(0)
    }

    /// Whether it may decide a login under this name now. `seen` is the latest time that the
    /// clock has shown; `silent` says which directories don't answer.
    pub(super) fn counts(
        &self,
        name: &Name,
        policy: &Policy,
        silent: &[bool],
        seen: u64,
        now: u64,
    ) -> Result<(), Refusal> {
        self.counts_since(self.login(name), policy, silent, seen, now)
    }

    fn counts_since(
        &self,
        login: u64,
        policy: &Policy,
        silent: &[bool],
        seen: u64,
        now: u64,
    ) -> Result<(), Refusal> {
        if self.origin != policy.origin {
            return Err(Refusal::OtherConfiguration);
        }
        if silent.get(self.directory) != Some(&true) {
            return Err(Refusal::Answered);
        }
        let latest = self.last_login().max(self.failed).max(seen);
        if now.saturating_add(SLACK) < latest {
            return Err(Refusal::ClockSetBack);
        }
        if now >= until(login, policy) {
            return Err(Refusal::TooOld);
        }
        Ok(())
    }

    /// Whether a password may be tried now.
    pub(super) fn may_try(&self, policy: &Policy, now: u64) -> Result<(), Refusal> {
        if self.failures >= policy.max_failures {
            return Err(Refusal::TooManyFailures);
        }
        let next = if self.failures == 0 { 0 } else { self.failed + wait(self.failures) };
        match next.saturating_sub(now) {
            0 => Ok(()),
            left => Err(Refusal::Wait(left)),
        }
    }

    /// When the user last logged in online under this name, in seconds since 1970; 0: never.
    pub(super) fn login(&self, name: &Name) -> u64 {
        self.logins.get(name).copied().unwrap_or(0)
    }

    /// What the ages say today. What would have to be changed can't be, so it keeps out.
    pub(super) fn judge(&self, now: u64) -> LoginAnswer {
        let answer = |verdict: Verdict, message: &str| LoginAnswer {
            messages: vec![message.into()],
            ..verdict.into()
        };
        if self.password_ends.is_some_and(|end| now >= end) {
            return answer(Verdict::PasswordExpired, EXPIRED);
        }
        let today = i64::try_from(now / DAY).unwrap_or(i64::MAX);
        let aged = self.shadow.as_ref().map(|shadow| judge_age(shadow, today));
        match aged {
            Some(aged) if aged.verdict == Verdict::MustChange => {
                answer(Verdict::PasswordExpired, EXPIRED)
            }
            Some(aged) => aged,
            None => Verdict::Accepted.into(),
        }
    }

    /// How it is told to root. Somebody who has no offline login at the moment has one
    /// until 1970.
    pub(super) fn status(&self, policy: &Policy, seen: u64, now: u64) -> OfflineStatus {
        let silent = vec![true; self.directory.saturating_add(1).min(1024)];
        let login = self.last_login();
        let counts = self.counts_since(login, policy, &silent, seen, now).is_ok()
            && self.failures < policy.max_failures
            && self.judge(now).verdict == Verdict::Accepted;
        let until = if counts { until(login, policy) } else { 0 };
        OfflineStatus { name: self.user.name.clone(), until, failures: self.failures }
    }
}

/// Until when there are offline logins after one online, both in seconds since 1970.
pub(super) fn until(login: u64, policy: &Policy) -> u64 {
    login.saturating_add(policy.max_age)
}

/// Whether a user has logged in since that time, all in seconds since 1970. A login that is still
/// to come says nothing: the clock was set back since, so it may have been before.
pub(super) fn is_later(login: u64, since: u64, now: u64) -> bool {
    since < login && login <= now
}

/// How long the next password has to wait after so many wrong ones.
fn wait(failures: u32) -> u64 {
    2_u64.checked_pow(failures).map_or(LONGEST_WAIT, |wait| wait.min(LONGEST_WAIT))
}

#[cfg(test)]
pub(super) mod tests;

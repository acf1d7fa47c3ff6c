//! What is kept of a user, and what it allows.
//!
//! Pure decisions: the time is an argument. Seconds are of the wall clock, since they must
//! outlive a restart of the machine. A clock that was set back is therefore noticed, and then
//! nobody gets in: otherwise that would be a way to make an old login young, or to end a wait.

use std::fmt;

use common::account::{Shadow, User};
use common::login::judge_age;
use common::protocol::{LoginAnswer, OfflineStatus, Verdict};
use serde::{Deserialize, Serialize};

use super::hash::Hash;
use super::policy::{Origin, Policy};

/// By how much a clock may be corrected without being said to be set back, in seconds.
pub(super) const SLACK: u64 = 60;
/// The longest wait after a wrong password, in seconds.
const LONGEST_WAIT: u64 = 3600;
const DAY: u64 = 86_400;
const EXPIRED: &str = "Your password has expired, and it can't be changed while no server answers.";

/// What is kept of a user.
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
    /// When that was, in seconds since 1970.
    pub(super) login: u64,
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
    /// Whether it may decide a login now. `seen` is the latest time that the clock has shown;
    /// `silent` says which directories don't answer.
    pub(super) fn counts(
        &self,
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
        let latest = self.login.max(self.failed).max(seen);
        if now.saturating_add(SLACK) < latest {
            return Err(Refusal::ClockSetBack);
        }
        if now >= self.until(policy) {
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

    /// Until when there are offline logins, in seconds since 1970.
    pub(super) fn until(&self, policy: &Policy) -> u64 {
        self.login.saturating_add(policy.max_age)
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
        let counts = self.counts(policy, &silent, seen, now).is_ok()
            && self.failures < policy.max_failures
            && self.judge(now).verdict == Verdict::Accepted;
        let until = if counts { self.until(policy) } else { 0 };
        OfflineStatus { name: self.user.name.clone(), until, failures: self.failures }
    }
}

/// How long the next password has to wait after so many wrong ones.
fn wait(failures: u32) -> u64 {
    2_u64.checked_pow(failures).map_or(LONGEST_WAIT, |wait| wait.min(LONGEST_WAIT))
}

#[cfg(test)]
pub(super) mod tests {
    use common::account::{AbsolutePath, Field, Gid, Name, Uid};
    use std::sync::LazyLock;

    use common::secret::Secret;

    use super::*;

    /// One is enough for all tests: it takes a while.
    static HASH: LazyLock<Hash> = LazyLock::new(|| Hash::of(&Secret::new("right".into())).unwrap());

    pub(in super::super) const LOGIN: u64 = 1_700_000_000;

    pub(in super::super) fn policy() -> Policy {
        Policy { max_age: 1000, max_failures: 3, origin: Origin([1; 32]) }
    }

    pub(in super::super) fn record() -> Record {
        Record {
            user: User {
                name: Name::parse("alice").unwrap(),
                uid: Uid::new(10_001).unwrap(),
                gid: Gid::new(20_001).unwrap(),
                gecos: Field::default(),
                home: AbsolutePath::nonexistent(),
                shell: AbsolutePath::bin_sh(),
            },
            dn: "uid=alice,dc=x".into(),
            uuid: None,
            directory: 0,
            shadow: None,
            password_ends: None,
            origin: Origin([1; 32]),
            login: LOGIN,
            failures: 0,
            failed: 0,
            hash: HASH.clone(),
        }
    }

    fn shadow() -> Shadow {
        Shadow {
            name: Name::parse("alice").unwrap(),
            last_change: None,
            min: None,
            max: None,
            warn: None,
            inactive: None,
            expire: None,
            flag: None,
        }
    }

    fn counts(record: &Record, now: u64) -> Result<(), Refusal> {
        record.counts(&policy(), &[true], 0, now)
    }

    #[test]
    fn a_login_counts_for_its_time() {
        assert_eq!(counts(&record(), LOGIN), Ok(()));
        assert_eq!(counts(&record(), LOGIN + 999), Ok(()));
        assert_eq!(counts(&record(), LOGIN + 1000), Err(Refusal::TooOld));
        assert_eq!(counts(&record(), u64::MAX), Err(Refusal::TooOld));
    }

    #[test]
    fn a_clock_that_was_set_back_lets_nobody_in() {
        assert_eq!(counts(&record(), LOGIN - SLACK), Ok(()), "a small correction");
        assert_eq!(counts(&record(), LOGIN - SLACK - 1), Err(Refusal::ClockSetBack));
        assert_eq!(counts(&record(), 0), Err(Refusal::ClockSetBack));
        let failed = Record { failed: LOGIN + 500, ..record() };
        assert_eq!(counts(&failed, LOGIN + 400), Err(Refusal::ClockSetBack));
        let seen = record().counts(&policy(), &[true], LOGIN + 900, LOGIN + 100);
        assert_eq!(seen, Err(Refusal::ClockSetBack), "it has shown a later time");
    }

    #[test]
    fn another_configuration_makes_it_void() {
        let other = Policy { origin: Origin([2; 32]), ..policy() };
        let refusal = record().counts(&other, &[true], 0, LOGIN);
        assert_eq!(refusal, Err(Refusal::OtherConfiguration));
    }

    #[test]
    fn a_directory_that_answers_decides_itself() {
        assert_eq!(record().counts(&policy(), &[false, true], 0, LOGIN), Err(Refusal::Answered));
        assert_eq!(record().counts(&policy(), &[], 0, LOGIN), Err(Refusal::Answered));
    }

    #[test]
    fn after_each_wrong_password_the_next_one_waits_longer() {
        let after = |failures, now| {
            let policy = Policy { max_failures: 100, ..policy() };
            Record { failures, failed: LOGIN, ..record() }.may_try(&policy, now)
        };
        assert_eq!(after(0, LOGIN), Ok(()));
        assert_eq!(after(1, LOGIN), Err(Refusal::Wait(2)));
        assert_eq!(after(1, LOGIN + 2), Ok(()));
        assert_eq!(after(2, LOGIN + 2), Err(Refusal::Wait(2)));
        assert_eq!(after(2, LOGIN + 4), Ok(()));
        assert_eq!(after(4, LOGIN), Err(Refusal::Wait(16)));
        assert_eq!(after(99, LOGIN), Err(Refusal::Wait(LONGEST_WAIT)), "no overflow");
    }

    #[test]
    fn after_too_many_wrong_passwords_no_wait_helps() {
        let record = Record { failures: 3, failed: LOGIN, ..record() };
        assert_eq!(record.may_try(&policy(), LOGIN + 900), Err(Refusal::TooManyFailures));
    }

    #[test]
    fn an_account_that_expires_meanwhile_is_refused() {
        let today = i64::try_from(LOGIN / DAY).unwrap();
        let with = |shadow| Record { shadow: Some(shadow), ..record() }.judge(LOGIN).verdict;
        let expire = Shadow { expire: Some(today), ..shadow() };
        assert_eq!(with(expire), Verdict::AccountExpired);
        let old = Shadow { last_change: Some(today - 10), max: Some(9), ..shadow() };
        assert_eq!(with(old), Verdict::PasswordExpired, "it can't be changed");
        let inactive =
            Shadow { last_change: Some(today - 99), max: Some(9), inactive: Some(1), ..shadow() };
        assert_eq!(with(inactive), Verdict::PasswordExpired);
        let young = Shadow { last_change: Some(today - 9), max: Some(9), ..shadow() };
        assert_eq!(with(young), Verdict::Accepted);
    }

    #[test]
    fn a_password_ends_when_the_server_said_it_would() {
        let record = Record { password_ends: Some(LOGIN + 5), ..record() };
        assert_eq!(record.judge(LOGIN + 4).verdict, Verdict::Accepted);
        assert_eq!(record.judge(LOGIN + 5).verdict, Verdict::PasswordExpired);
    }

    #[test]
    fn who_has_no_offline_login_is_told_to_have_none() {
        let until = |record: &Record, now| record.status(&policy(), 0, now).until;
        assert_eq!(until(&record(), LOGIN), LOGIN + 1000);
        assert_eq!(until(&record(), LOGIN + 1000), 0);
        assert_eq!(until(&Record { failures: 3, ..record() }, LOGIN), 0);
    }
}

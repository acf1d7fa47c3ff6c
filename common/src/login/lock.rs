//! Locks and resets of an account, read from its entry: for logins without a
//! password (an ssh key), where no bind lets the server judge.
//!
//! The attributes are those of draft-behera-ldap-password-policy-10 section 5.3.
//! A directory that doesn't show them to the reader says nothing here.

use std::time::{Duration, SystemTime};

use crate::deadline::Deadline;
use crate::directory::Directory;
use crate::ldap::LdapError;
use crate::ldap::search::Entry;
use crate::protocol::{LoginAnswer, Verdict};

/// What is read of a user besides the account.
pub(super) const ATTRIBUTES: &[&str] = &[LOCKED_TIME, RESET, POLICY, ENTRY_UUID];

/// Which entry it is, whatever its name (RFC 4530); a server that has none leaves it out.
pub(super) const ENTRY_UUID: &str = "entryUUID";

const LOCKED_TIME: &str = "pwdAccountLockedTime";
const RESET: &str = "pwdReset";
const POLICY: &str = "pwdPolicySubentry";
const LOCKOUT_DURATION: &str = "pwdLockoutDuration";

/// Locked until an administrator unlocks it.
const FOR_EVER: &str = "000001010000Z";

/// What an entry says about itself.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct State {
    lock: Option<Lock>,
    reset: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Lock {
    /// Until an administrator unlocks it, or for a time that can't be found out.
    Indefinite,
    Until(SystemTime),
}

impl State {
    /// Reads it. Only a lock with a time needs another search, for the policy
    /// that says how long it lasts.
    pub(super) async fn of(
        directory: &Directory,
        entry: &Entry,
        deadline: Deadline,
    ) -> Result<Self, LdapError> {
        let reset = entry.value(RESET).is_some_and(|value| value.eq_ignore_ascii_case("TRUE"));
        let lock = match entry.value(LOCKED_TIME) {
            None => None,
            Some(FOR_EVER) => Some(Lock::Indefinite),
            Some(since) => {
                let duration = match entry.value(POLICY) {
                    Some(policy) => lockout_duration(directory, policy, deadline).await?,
                    None => None,
                };
                Some(lock_since(since, duration))
            }
        };
        Ok(Self { lock, reset })
    }

    /// What it means now, if anything.
    pub(super) fn judge(&self, now: SystemTime) -> Option<LoginAnswer> {
        let locked = match &self.lock {
            None => false,
            Some(Lock::Indefinite) => true,
            Some(Lock::Until(end)) => now < *end,
        };
        let (verdict, message) = match (locked, self.reset) {
            (true, _) => (Verdict::Locked, "Your account is locked."),
            (false, true) => (Verdict::MustChange, "You have to change your password now."),
            (false, false) => return None,
        };
        Some(LoginAnswer { messages: vec![message.into()], ..verdict.into() })
    }
}

async fn lockout_duration(
    directory: &Directory,
    policy: &str,
    deadline: Deadline,
) -> Result<Option<Duration>, LdapError> {
    let entry = directory.read(policy, &[LOCKOUT_DURATION], deadline).await?;
    let seconds = entry.as_ref().and_then(|entry| entry.value(LOCKOUT_DURATION)?.parse().ok());
    Ok(seconds.filter(|seconds| *seconds > 0).map(Duration::from_secs))
}

fn lock_since(since: &str, duration: Option<Duration>) -> Lock {
    match (generalized_time(since), duration) {
        (Some(since), Some(duration)) => {
            since.checked_add(duration).map_or(Lock::Indefinite, Lock::Until)
        }
        _ => Lock::Indefinite,
    }
}

/// A time as `20260131235959Z`, with or without a fraction (RFC 4517 section 3.3.13).
fn generalized_time(text: &str) -> Option<SystemTime> {
    let digits = text.strip_suffix('Z')?;
    let digits = digits.split_once('.').map_or(digits, |(whole, _)| whole);
    if digits.len() != 14 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let part = |from: usize, to: usize| digits[from..to].parse::<i64>().ok();
    let (year, month, day) = (part(0, 4)?, part(4, 6)?, part(6, 8)?);
    let seconds = part(8, 10)? * 3600 + part(10, 12)? * 60 + part(12, 14)?;
    // Days since 1970-01-01, with years that begin in March so that a leap day comes last.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days =
        365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 719_469;
    let since_epoch = u64::try_from(days * 86_400 + seconds).ok()?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(since_epoch))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn a_time_is_read_as_the_seconds_since_1970() {
        assert_eq!(generalized_time("19700101000000Z"), Some(at(0)));
        assert_eq!(generalized_time("20000229123456Z"), Some(at(951_827_696)));
        assert_eq!(generalized_time("20261231235959.123456Z"), Some(at(1_798_761_599)));
        for bad in ["", "Z", "2026", "20261231235959", "2026123123595xZ", "19000101000000Z"] {
            assert_eq!(generalized_time(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_lock_ends_only_if_its_end_is_known() {
        let hour = Some(Duration::from_secs(3600));
        assert_eq!(lock_since("19700101000000Z", hour), Lock::Until(at(3600)));
        assert_eq!(lock_since("19700101000000Z", None), Lock::Indefinite);
        assert_eq!(lock_since("nonsense", hour), Lock::Indefinite);
        let ages = Some(Duration::from_secs(u64::MAX));
        assert_eq!(lock_since("20260101000000Z", ages), Lock::Indefinite, "no overflow");
    }

    #[test]
    fn a_lock_that_is_over_says_nothing() {
        let state = State { lock: Some(Lock::Until(at(100))), reset: false };
        assert_eq!(state.judge(at(99)).unwrap().verdict, Verdict::Locked);
        assert_eq!(state.judge(at(100)), None);
    }

    #[test]
    fn a_reset_demands_a_change() {
        let state = State { lock: None, reset: true };
        assert_eq!(state.judge(at(0)).unwrap().verdict, Verdict::MustChange);
    }
}

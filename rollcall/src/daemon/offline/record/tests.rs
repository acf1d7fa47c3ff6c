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
        logins: BTreeMap::from([(name(), LOGIN)]),
        failures: 0,
        failed: 0,
        hash: HASH.clone(),
    }
}

fn name() -> Name {
    Name::parse("alice").unwrap()
}

pub(in super::super) fn shadow() -> Shadow {
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
    record.counts(&name(), &policy(), &[true], 0, now)
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
    let seen = record().counts(&name(), &policy(), &[true], LOGIN + 900, LOGIN + 100);
    assert_eq!(seen, Err(Refusal::ClockSetBack), "it has shown a later time");
}

#[test]
fn another_configuration_makes_it_void() {
    let other = Policy { origin: Origin([2; 32]), ..policy() };
    let refusal = record().counts(&name(), &other, &[true], 0, LOGIN);
    assert_eq!(refusal, Err(Refusal::OtherConfiguration));
}

#[test]
fn a_directory_that_answers_decides_itself() {
    assert_eq!(
        record().counts(&name(), &policy(), &[false, true], 0, LOGIN),
        Err(Refusal::Answered)
    );
    assert_eq!(record().counts(&name(), &policy(), &[], 0, LOGIN), Err(Refusal::Answered));
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

//! Days on which nobody logs in online: accounts and passwords end all the same.

use common::account::Shadow;

use super::super::super::record::tests::shadow;
use super::*;

const DAY: u64 = 86_400;

/// Alice, whose account or password ends, logs in once online, and day after day since then
/// offline.
fn verdicts(edit: impl FnOnce(&mut Welcome), days: [u64; 3]) -> Vec<(Verdict, Verdict)> {
    let folder = tempfile::tempdir().unwrap();
    let policy = Policy { max_age: 14 * DAY, ..policy() };
    let mut first = again(&folder);
    let mut alice = welcome("right");
    edit(&mut alice);
    first.keep(&name("alice"), alice, &policy, LOGIN);
    drop(first);
    let verdict = |opinion| match opinion {
        Opinion::Answer { answer, .. } => answer.verdict,
        other => panic!("{other:?}"),
    };
    let at = |now: u64| {
        let mut book = again(&folder);
        let check = book.check(&name("alice"), &secret("right"), &policy, SILENT, now);
        let recall = book.recall(&name("alice"), None, &policy, SILENT, now);
        (verdict(check.unwrap()), verdict(recall.unwrap()))
    };
    days.map(at).to_vec()
}

#[test]
fn an_account_that_ends_while_no_server_answers_is_refused_from_that_day_on() {
    let day = LOGIN / DAY + 3;
    let expire = |welcome: &mut Welcome| {
        welcome.account.shadow = Some(Shadow { expire: i64::try_from(day).ok(), ..shadow() });
    };
    let (accepted, expired) = (Verdict::Accepted, Verdict::AccountExpired);
    let told = verdicts(expire, [LOGIN + DAY, day * DAY - 1, day * DAY]);
    assert_eq!(told, [(accepted, accepted), (accepted, accepted), (expired, expired)]);
    let told = verdicts(|_| (), [LOGIN + DAY, day * DAY - 1, day * DAY]);
    assert_eq!(told, [(accepted, accepted); 3], "without an end");
}

/// She logs in with an ssh key after the day was set.
#[test]
fn an_end_that_a_login_without_a_password_has_shown_counts() {
    let (folder, mut book) = book();
    let day = LOGIN / DAY + 1;
    let policy = Policy { max_age: 14 * DAY, ..policy() };
    let shadow = Some(Shadow { expire: i64::try_from(day).ok(), ..shadow() });
    book.renew(&name("alice"), Account { shadow, ..account() }, LOGIN + 1);
    drop(book);
    let mut book = again(&folder);
    let mut verdict = |now| match book.check(&name("alice"), &secret("right"), &policy, SILENT, now)
    {
        Ok(Opinion::Answer { answer, until, .. }) => (answer.verdict, until),
        other => panic!("{other:?}"),
    };
    let until = LOGIN + 14 * DAY;
    assert_eq!(verdict(day * DAY - 1), (Verdict::Accepted, until), "it is no younger");
    assert_eq!(verdict(day * DAY), (Verdict::AccountExpired, until));
}

/// Her password was changed elsewhere; then she logs in with an ssh key.
#[test]
fn the_ages_of_another_password_are_not_those_of_the_one_that_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let mut book = again(&folder);
    let changed = |day| Account {
        shadow: Some(Shadow { last_change: Some(day), max: Some(90), ..shadow() }),
        ..account()
    };
    let day = i64::try_from(LOGIN / DAY).unwrap();
    let before = Welcome { account: changed(day - 9), ..welcome("right") };
    book.keep(&name("alice"), before, &policy(), LOGIN);
    book.renew(&name("alice"), changed(day - 9), LOGIN + 1);
    assert_eq!(holds(&mut book), ["alice"]);
    book.renew(&name("alice"), changed(day), LOGIN + 1);
    assert!(holds(&mut book).is_empty());
}

#[test]
fn a_password_that_ends_while_no_server_answers_is_refused_from_then_on() {
    let (accepted, expired) = (Verdict::Accepted, Verdict::PasswordExpired);
    let end = LOGIN + 2 * DAY;
    let told = verdicts(|welcome| welcome.password_ends = Some(end), [LOGIN + DAY, end - 1, end]);
    assert_eq!(told, [(accepted, accepted), (accepted, accepted), (expired, expired)]);
    let day = LOGIN / DAY + 2;
    let max = |welcome: &mut Welcome| {
        let last_change = i64::try_from(day - 10).ok();
        welcome.account.shadow = Some(Shadow { last_change, max: Some(9), ..shadow() });
    };
    let told = verdicts(max, [LOGIN, day * DAY - 1, day * DAY]);
    assert_eq!(told, [(accepted, accepted), (accepted, accepted), (expired, expired)]);
}

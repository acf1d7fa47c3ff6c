mod ages;
mod entries;
mod order;
mod trouble;

use std::time::{Duration, SystemTime};

use common::login::Account;

use super::super::record::tests::{LOGIN, policy, record};
use super::*;

const SILENT: &[bool] = &[true];

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn secret(text: &str) -> Secret {
    Secret::new(text.into())
}

fn account() -> Account {
    let Record { user, dn, uuid, directory, shadow, .. } = record();
    Account { directory, user, dn, uuid, shadow }
}

fn welcome(password: &str) -> Welcome {
    welcome_at(password, LOGIN)
}

fn welcome_at(password: &str, login: u64) -> Welcome {
    Welcome { account: account(), password: secret(password), password_ends: None, login }
}

/// A book in which alice logged in with the password "right" at [`LOGIN`].
fn book() -> (tempfile::TempDir, Book) {
    let folder = tempfile::tempdir().unwrap();
    let mut book = Book::new(&folder.path().join("state"));
    book.keep(&name("alice"), welcome("right"), &policy(), LOGIN);
    (folder, book)
}

/// What is kept under a name.
fn kept(book: &Book, who: &str) -> Record {
    book.record_of(&name(who)).unwrap().clone()
}

fn again(folder: &tempfile::TempDir) -> Book {
    Book::new(&folder.path().join("state"))
}

fn check(book: &mut Book, password: &str, now: u64) -> Opinion {
    book.check(&name("alice"), &secret(password), &policy(), SILENT, now).unwrap()
}

fn is_in(opinion: &Opinion) -> bool {
    matches!(opinion, Opinion::Answer { answer, .. } if answer.verdict == Verdict::Accepted)
}

fn holds(book: &mut Book) -> Vec<String> {
    book.list(&policy(), LOGIN).into_iter().map(|kept| kept.name.to_string()).collect()
}

/// CVE-2010-0014: any password did while offline.
#[test]
fn the_password_of_the_last_login_is_right_and_no_other() {
    let (_folder, mut book) = book();
    let opinion = check(&mut book, "right", LOGIN + 10);
    assert!(is_in(&opinion), "{opinion:?}");
    assert!(matches!(opinion, Opinion::Answer { until, .. } if until == LOGIN + 1000));
    assert_eq!(check(&mut book, "wrong", LOGIN + 10), Opinion::WrongPassword);
}

/// CVE-2010-2940
#[test]
fn an_empty_password_is_always_wrong() {
    let (_folder, mut book) = book();
    assert_eq!(check(&mut book, "", LOGIN), Opinion::WrongPassword);
    book.keep(&name("alice"), welcome(""), &policy(), LOGIN + 100);
    assert!(holds(&mut book).is_empty(), "an empty password is not kept");
}

#[test]
fn who_never_logged_in_is_unknown() {
    let (_folder, mut book) = book();
    let opinion = book.check(&name("bob"), &secret("right"), &policy(), SILENT, LOGIN).unwrap();
    assert_eq!(opinion, Opinion::Unknown);
}

/// CVE-2011-1758: a wrong password got into what is kept.
#[test]
fn a_wrong_password_changes_nothing_but_the_count() {
    let (folder, mut book) = book();
    assert_eq!(check(&mut book, "wrong", LOGIN), Opinion::WrongPassword);
    assert_eq!(check(&mut book, "wrong", LOGIN + 2), Opinion::WrongPassword);
    drop(book);
    let mut book = again(&folder);
    assert!(is_in(&check(&mut book, "right", LOGIN + 6)));
}

#[test]
fn wrong_passwords_are_counted_over_a_restart() {
    let (folder, mut book) = book();
    for now in [0, 2] {
        assert_eq!(check(&mut book, "wrong", LOGIN + now), Opinion::WrongPassword);
        drop(book);
        book = again(&folder);
    }
    assert_eq!(check(&mut book, "right", LOGIN + 3), Opinion::Refused(Refusal::Wait(3)));
    assert_eq!(check(&mut book, "wrong", LOGIN + 6), Opinion::WrongPassword);
    drop(book);
    let mut book = again(&folder);
    let refusal = check(&mut book, "right", LOGIN + 500);
    assert_eq!(refusal, Opinion::Refused(Refusal::TooManyFailures));
    assert_eq!(book.list(&policy(), LOGIN + 500)[0].until, 0);
}

/// What a kill between the count and the comparison would leave.
#[test]
fn an_attempt_counts_before_it_is_looked_at() {
    let (folder, mut book) = book();
    let counted = Record { failures: 1, failed: LOGIN, ..kept(&book, "alice").clone() };
    book.put(counted, LOGIN).unwrap();
    drop(book);
    let mut book = again(&folder);
    assert_eq!(check(&mut book, "right", LOGIN + 1), Opinion::Refused(Refusal::Wait(1)));
}

#[test]
fn a_right_password_ends_the_count() {
    let (_folder, mut book) = book();
    assert_eq!(check(&mut book, "wrong", LOGIN), Opinion::WrongPassword);
    assert!(is_in(&check(&mut book, "right", LOGIN + 2)));
    assert_eq!(book.list(&policy(), LOGIN + 2)[0].failures, 0);
}

#[test]
fn a_login_online_ends_the_count() {
    let (_folder, mut book) = book();
    for now in [0, 2, 6] {
        assert_eq!(check(&mut book, "wrong", LOGIN + now), Opinion::WrongPassword);
    }
    book.keep(&name("alice"), welcome("right"), &policy(), LOGIN + 10);
    assert!(is_in(&check(&mut book, "right", LOGIN + 10)));
}

#[test]
fn a_new_password_takes_the_place_of_the_old_one() {
    let (_folder, mut book) = book();
    book.keep(&name("alice"), welcome("new"), &policy(), LOGIN + 10);
    assert_eq!(check(&mut book, "right", LOGIN + 10), Opinion::WrongPassword);
    assert!(is_in(&check(&mut book, "new", LOGIN + 12)));
}

#[test]
fn only_the_password_that_is_kept_is_doubted() {
    let (folder, mut book) = book();
    book.doubt(&name("alice"), None, &secret("mistyped"));
    assert_eq!(holds(&mut book), ["alice"]);
    book.doubt(&name("alice"), None, &secret("right"));
    assert!(holds(&mut book).is_empty());
    drop(book);
    assert!(holds(&mut again(&folder)).is_empty());
}

#[test]
fn a_user_is_forgotten_under_every_name_of_the_entry() {
    let (_folder, mut book) = book();
    book.keep(&name("asmith"), welcome("right"), &policy(), LOGIN);
    book.forget(&name("asmith"), None);
    assert_eq!(book.names().count(), 0, "found by the entry of the name");
    book.keep(&name("asmith"), welcome("right"), &policy(), LOGIN);
    book.forget(&name("another-name"), Some("uid=alice,dc=x"));
    assert_eq!(book.names().count(), 0, "found by the entry's name");
    book.keep(&name("asmith"), welcome("right"), &policy(), LOGIN);
    book.forget(&name("bob"), Some("uid=bob,dc=x"));
    assert_eq!(book.names().count(), 1);
}

#[test]
fn a_clock_that_was_ahead_takes_everybody_along() {
    let (_folder, mut book) = book();
    book.keep(&name("bob"), welcome("right"), &policy(), LOGIN - 1000);
    assert_eq!(book.names().map(|(name, _)| name.to_string()).collect::<Vec<_>>(), ["bob"]);
}

/// It may hold hashes as well.
#[test]
fn a_file_that_was_set_aside_is_removed_with_its_age() {
    let (folder, mut book) = book();
    book.clear_up(&policy(), LOGIN);
    let aside = folder.path().join("state/offline.redb.damaged");
    let file = std::fs::File::create(&aside).unwrap();
    file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(LOGIN)).unwrap();
    book.clear_up(&policy(), LOGIN + 999);
    assert!(aside.exists());
    book.clear_up(&policy(), LOGIN + 1000);
    assert!(!aside.exists());
    book.clear_up(&policy(), LOGIN + 1000);
}

#[test]
fn the_time_that_was_shown_is_remembered_over_a_restart() {
    let (folder, mut book) = book();
    book.clear_up(&policy(), LOGIN + 900);
    drop(book);
    let mut book = again(&folder);
    let refusal = check(&mut book, "right", LOGIN + 100);
    assert_eq!(refusal, Opinion::Refused(Refusal::ClockSetBack));
}

#[test]
fn who_logged_in_too_long_ago_is_let_go_of() {
    let (_folder, mut book) = book();
    book.clear_up(&policy(), LOGIN + 999);
    assert_eq!(book.names().count(), 1);
    book.clear_up(&policy(), LOGIN + 1000);
    assert_eq!(book.names().count(), 0);
}

#[test]
fn where_another_process_has_the_file_nobody_gets_in() {
    let (folder, mut book) = book();
    assert!(is_in(&check(&mut book, "right", LOGIN)));
    let state = folder.path().join("state");
    drop(book);
    let mut book = again(&folder);
    book.read().unwrap();
    let before = book.records.clone();
    // Another process has the file.
    book.store = Store::new(&state);
    let _other = {
        let mut other = again(&folder);
        other.read().unwrap();
        other
    };
    assert_eq!(book.records, before);
    let attempt = book.check(&name("alice"), &secret("right"), &policy(), SILENT, LOGIN);
    assert!(attempt.is_err());
}

#[test]
fn a_login_is_as_old_as_it_is_even_if_its_hash_comes_late() {
    let (_folder, mut book) = book();
    book.clear_up(&policy(), LOGIN + 500);
    book.keep(&name("bob"), welcome_at("right", LOGIN + 100), &policy(), LOGIN + 500);
    assert_eq!(kept(&book, "bob").login(&name("bob")), LOGIN + 100);
    assert_eq!(book.names().count(), 2, "the clock wasn't set back");
}

#[test]
fn the_latest_time_never_goes_back() {
    let (folder, mut book) = book();
    let bob = book.check(&name("bob"), &secret("x"), &policy(), SILENT, LOGIN + 300).unwrap();
    assert_eq!(bob, Opinion::Unknown);
    assert_eq!(book.seen, LOGIN + 300);
    book.keep(&name("carol"), welcome("right"), &policy(), LOGIN + 290);
    assert_eq!(book.seen, LOGIN + 300, "a small correction");
    let failures = policy().max_failures;
    let locked = Record { failures, ..kept(&book, "alice").clone() };
    book.put(locked, LOGIN + 300).unwrap();
    let refusal = check(&mut book, "right", LOGIN + 400);
    assert_eq!(refusal, Opinion::Refused(Refusal::TooManyFailures));
    drop(book);
    let mut book = again(&folder);
    book.read().unwrap();
    assert_eq!(book.seen, LOGIN + 400, "a refusal notes the time as well");
    book.clear_up(&policy(), LOGIN + 2000);
    drop(book);
    let mut book = again(&folder);
    book.read().unwrap();
    assert_eq!((book.seen, book.records.len()), (LOGIN + 2000, 0));
}

#[test]
fn who_may_not_ask_learns_nothing() {
    let (_folder, mut book) = book();
    let mut ask = |asker| book.recall(&name("alice"), asker, &policy(), SILENT, LOGIN).unwrap();
    assert_eq!(ask(Some(10_002)), Opinion::Unknown);
    for asker in [None, Some(0), Some(10_001)] {
        assert!(is_in(&ask(asker)), "{asker:?}");
    }
    let mut later =
        |asker| book.recall(&name("alice"), asker, &policy(), SILENT, u64::MAX).unwrap();
    assert_eq!(later(Some(10_002)), Opinion::Unknown);
    assert_eq!(later(Some(0)), Opinion::Refused(Refusal::TooOld));
}

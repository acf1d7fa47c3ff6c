//! An entry with several names is one account: one password, one count.

use super::super::super::policy::Origin;
use super::*;

fn check_as(book: &mut Book, who: &str, password: &str, now: u64) -> Opinion {
    book.check(&name(who), &secret(password), &policy(), SILENT, now).unwrap()
}

/// Alice's entry, in which she logged in under two of its names.
fn two_names() -> (tempfile::TempDir, Book) {
    let (folder, mut book) = book();
    book.keep(&name("asmith"), welcome("right"), &policy(), LOGIN);
    (folder, book)
}

#[test]
fn wrong_passwords_are_counted_for_the_entry_whichever_name_they_come_under() {
    let (folder, mut book) = two_names();
    assert_eq!(check_as(&mut book, "alice", "wrong", LOGIN), Opinion::WrongPassword);
    let refusal = check_as(&mut book, "asmith", "right", LOGIN);
    assert_eq!(refusal, Opinion::Refused(Refusal::Wait(2)));
    assert_eq!(check_as(&mut book, "asmith", "wrong", LOGIN + 2), Opinion::WrongPassword);
    drop(book);
    let mut book = again(&folder);
    assert_eq!(check_as(&mut book, "alice", "wrong", LOGIN + 6), Opinion::WrongPassword);
    for who in ["alice", "asmith"] {
        let refusal = check_as(&mut book, who, "right", LOGIN + 500);
        assert_eq!(refusal, Opinion::Refused(Refusal::TooManyFailures), "{who}");
    }
}

/// A name in another case is another name, which nobody has logged in under.
#[test]
fn a_name_in_another_case_is_no_way_to_a_try() {
    let (_folder, mut book) = book();
    assert_eq!(check_as(&mut book, "Alice", "right", LOGIN), Opinion::Unknown);
    assert!(is_in(&check_as(&mut book, "alice", "right", LOGIN)));
}

#[test]
fn a_right_password_under_one_name_ends_the_count_for_all() {
    let (_folder, mut book) = two_names();
    assert_eq!(check_as(&mut book, "alice", "wrong", LOGIN), Opinion::WrongPassword);
    assert!(is_in(&check_as(&mut book, "asmith", "right", LOGIN + 2)));
    assert!(is_in(&check_as(&mut book, "alice", "right", LOGIN + 2)));
}

#[test]
fn a_new_password_under_one_name_is_the_only_one_under_all() {
    let (_folder, mut book) = two_names();
    book.keep(&name("asmith"), welcome("new"), &policy(), LOGIN + 10);
    assert_eq!(check_as(&mut book, "alice", "right", LOGIN + 10), Opinion::WrongPassword);
    assert!(is_in(&check_as(&mut book, "alice", "new", LOGIN + 12)));
}

#[test]
fn each_name_is_as_old_as_its_own_login() {
    let (_folder, mut book) = book();
    book.keep(&name("asmith"), welcome_at("right", LOGIN + 900), &policy(), LOGIN + 900);
    assert!(is_in(&check_as(&mut book, "alice", "right", LOGIN + 999)));
    let refusal = check_as(&mut book, "alice", "right", LOGIN + 1000);
    assert_eq!(refusal, Opinion::Refused(Refusal::TooOld));
    assert!(is_in(&check_as(&mut book, "asmith", "right", LOGIN + 1000)));
}

#[test]
fn a_password_that_a_server_refused_under_one_name_is_nobodys_under_all() {
    let (_folder, mut book) = two_names();
    book.doubt(&name("asmith"), None, &secret("right"));
    assert_eq!(check_as(&mut book, "alice", "right", LOGIN), Opinion::Unknown);
}

/// The server refused it under a name that nobody has logged in under here.
#[test]
fn a_refusal_under_a_name_that_is_not_kept_counts_for_its_entry() {
    let (_folder, mut book) = book();
    book.doubt(&name("a.smith"), Some("uid=bob,dc=x"), &secret("right"));
    assert!(is_in(&check_as(&mut book, "alice", "right", LOGIN)), "another entry");
    book.doubt(&name("a.smith"), Some("UID=alice,dc=x"), &secret("right"));
    assert_eq!(check_as(&mut book, "alice", "right", LOGIN), Opinion::Unknown);
}

fn entry(dn: &str, uuid: &str) -> Welcome {
    let account = Account { dn: dn.into(), uuid: Some(uuid.into()), ..account() };
    Welcome { account, ..welcome("right") }
}

#[test]
fn a_renamed_entry_is_the_same_account() {
    let folder = tempfile::tempdir().unwrap();
    let mut book = again(&folder);
    book.keep(&name("alice"), entry("uid=alice,dc=x", "1"), &policy(), LOGIN);
    book.keep(&name("asmith"), entry("uid=asmith,dc=x", "1"), &policy(), LOGIN);
    assert_eq!(check_as(&mut book, "alice", "wrong", LOGIN), Opinion::WrongPassword);
    let refusal = check_as(&mut book, "asmith", "right", LOGIN);
    assert_eq!(refusal, Opinion::Refused(Refusal::Wait(2)));
}

#[test]
fn what_was_kept_of_an_entry_goes_when_another_one_has_its_name() {
    for (who, other) in
        [("alice", entry("uid=alice,ou=new,dc=x", "2")), ("asmith", entry("uid=alice,dc=x", "2"))]
    {
        let folder = tempfile::tempdir().unwrap();
        let mut book = again(&folder);
        for who in ["alice", "a.smith"] {
            book.keep(&name(who), entry("uid=alice,dc=x", "1"), &policy(), LOGIN);
        }
        book.keep(&name(who), other, &policy(), LOGIN);
        assert_eq!(check_as(&mut book, "a.smith", "right", LOGIN), Opinion::Unknown);
        assert!(is_in(&check_as(&mut book, who, "right", LOGIN)));
        drop(book);
        let mut book = again(&folder);
        book.read().unwrap();
        assert_eq!(book.records.len(), 1);
    }
}

#[test]
fn what_is_kept_goes_when_another_entry_of_its_name_is_let_in_without_a_password() {
    for other in [entry("uid=alice,ou=new,dc=x", "2"), entry("uid=alice,dc=x", "2")] {
        let folder = tempfile::tempdir().unwrap();
        let mut book = again(&folder);
        let alice = entry("uid=alice,dc=x", "1");
        let same = alice.account.clone();
        book.keep(&name("alice"), alice, &policy(), LOGIN);
        book.renew(&name("alice"), same, LOGIN + 1);
        assert_eq!(holds(&mut book), ["alice"]);
        book.renew(&name("alice"), other.account, LOGIN + 1);
        drop(book);
        assert!(holds(&mut again(&folder)).is_empty());
    }
}

#[test]
fn a_login_under_another_configuration_leaves_the_other_names_behind() {
    let (_folder, mut book) = two_names();
    let other = Policy { origin: Origin([2; 32]), ..policy() };
    book.keep(&name("alice"), welcome("right"), &other, LOGIN);
    let opinion = book.check(&name("asmith"), &secret("right"), &other, SILENT, LOGIN).unwrap();
    assert_eq!(opinion, Opinion::Unknown, "whether asmith may log in now isn't known");
    let opinion = book.check(&name("alice"), &secret("right"), &other, SILENT, LOGIN).unwrap();
    assert!(is_in(&opinion));
}

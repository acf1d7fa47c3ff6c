//! What a server says while the file can't be used counts once it can: no record outlives it.

use super::*;

/// Puts something in the place of the folder, so that the file can neither be opened nor removed.
fn block(folder: &tempfile::TempDir) {
    let state = folder.path().join("state");
    std::fs::rename(&state, folder.path().join("away")).unwrap();
    std::fs::write(state, "in the way").unwrap();
}

fn unblock(folder: &tempfile::TempDir) {
    let state = folder.path().join("state");
    std::fs::remove_file(&state).unwrap();
    std::fs::rename(folder.path().join("away"), state).unwrap();
}

/// Something that makes the password that is kept count no more.
type Word = fn(&mut Book);

const WORDS: [(&str, Word); 5] = [
    ("forgotten", |book| book.forget(&name("alice"), None)),
    ("a new password", |book| {
        book.keep(&name("alice"), welcome_at("new", LOGIN + 1), &policy(), LOGIN + 1);
    }),
    ("a new password that isn't kept", |book| {
        book.confirm(&name("alice"), None, &secret("new"), LOGIN + 1, LOGIN + 1);
    }),
    ("refused", |book| book.doubt(&name("alice"), None, &secret("right"))),
    ("another entry of the name", |book| {
        let other = Account { dn: "uid=alice,ou=new,dc=x".into(), ..account() };
        book.renew(&name("alice"), other, LOGIN + 1);
    }),
];

#[test]
fn what_is_heard_while_another_process_has_the_file_counts_afterwards() {
    for (what, word) in WORDS {
        let (folder, first) = book();
        let mut second = again(&folder);
        word(&mut second);
        assert!(second.read().is_err(), "the other one has it");
        drop(first);
        assert!(holds(&mut second).is_empty(), "{what}");
        drop(second);
        assert!(holds(&mut again(&folder)).is_empty(), "{what}: in the file");
    }
}

#[test]
fn what_is_heard_while_the_file_cannot_be_opened_counts_afterwards() {
    for (what, word) in WORDS {
        let (folder, first) = book();
        drop(first);
        block(&folder);
        let mut second = again(&folder);
        word(&mut second);
        assert!(second.read().is_err(), "{what}");
        unblock(&folder);
        assert!(holds(&mut second).is_empty(), "{what}");
        drop(second);
        assert!(holds(&mut again(&folder)).is_empty(), "{what}: in the file");
    }
}

/// As on a disk that can't be written to for a while.
#[test]
fn who_can_be_removed_neither_alone_nor_with_the_file_is_removed_later() {
    for (what, word) in WORDS {
        let (folder, mut book) = book();
        book.store = Store::new(&folder.path().join("state"));
        block(&folder);
        word(&mut book);
        let attempt = book.check(&name("alice"), &secret("right"), &policy(), SILENT, LOGIN);
        assert!(attempt.is_err(), "{what}");
        unblock(&folder);
        assert_eq!(check(&mut book, "right", LOGIN + 1), Opinion::Unknown, "{what}");
        drop(book);
        assert!(holds(&mut again(&folder)).is_empty(), "{what}: in the file");
    }
}

#[test]
fn while_some_cannot_be_removed_nobody_gets_in_and_all_of_them_are_remembered() {
    let (folder, mut book) = book();
    let bob = Account { dn: "uid=bob,dc=x".into(), user: renamed("bob"), ..account() };
    let bob = Welcome { account: bob, ..welcome("right") };
    book.keep(&name("bob"), bob, &policy(), LOGIN);
    let carol = Account { dn: "uid=carol,dc=x".into(), user: renamed("carol"), ..account() };
    let carol = Welcome { account: carol, ..welcome("right") };
    book.keep(&name("carol"), carol, &policy(), LOGIN);
    assert_eq!(holds(&mut book), ["alice", "bob", "carol"]);
    book.store = Store::new(&folder.path().join("state"));
    block(&folder);
    for who in ["alice", "bob"] {
        book.forget(&name(who), None);
        assert!(book.read().is_err(), "{who}");
    }
    unblock(&folder);
    assert_eq!(holds(&mut book), ["carol"]);
}

fn renamed(who: &str) -> User {
    User { name: name(who), ..account().user }
}

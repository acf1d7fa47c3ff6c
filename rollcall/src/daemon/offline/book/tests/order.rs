//! Logins may be heard of in another order than they took place in.

use super::*;

#[test]
fn an_older_password_counts_no_more_once_a_server_has_accepted_another_one() {
    let (_folder, mut book) = book();
    let mut confirm = |password, accepted| {
        book.confirm(&name("alice"), None, &secret(password), accepted, LOGIN + 2);
        holds(&mut book)
    };
    assert_eq!(confirm("right", LOGIN + 1), ["alice"]);
    assert_eq!(confirm("before", LOGIN - 1), ["alice"], "that was before the login");
    assert!(confirm("new", LOGIN + 1).is_empty());
}

#[test]
fn a_login_that_is_heard_of_late_takes_no_newer_one_away() {
    let (folder, mut book) = book();
    book.keep(&name("alice"), welcome_at("new", LOGIN + 10), &policy(), LOGIN + 10);
    book.keep(&name("alice"), welcome_at("right", LOGIN + 5), &policy(), LOGIN + 11);
    drop(book);
    let mut book = again(&folder);
    assert_eq!(check(&mut book, "right", LOGIN + 12), Opinion::WrongPassword);
    assert!(is_in(&check(&mut book, "new", LOGIN + 14)));
}

/// Under another name of the entry.
#[test]
fn a_login_that_is_heard_of_late_is_older_under_each_name_of_the_entry() {
    let (_folder, mut book) = book();
    book.keep(&name("alice"), welcome_at("new", LOGIN + 10), &policy(), LOGIN + 10);
    book.keep(&name("asmith"), welcome_at("right", LOGIN + 5), &policy(), LOGIN + 11);
    assert_eq!(check(&mut book, "right", LOGIN + 12), Opinion::WrongPassword);
    assert!(is_in(&check(&mut book, "new", LOGIN + 14)));
}

/// What is kept is of a time that is still to come: nobody knows how long ago that was.
#[test]
fn a_clock_that_was_set_back_makes_no_older_password_count() {
    for back in [30, 500] {
        let (_folder, mut book) = book();
        let now = LOGIN - back;
        book.keep(&name("alice"), welcome_at("new", now), &policy(), now);
        assert_eq!(check(&mut book, "right", now), Opinion::WrongPassword, "{back} s");
        assert!(is_in(&check(&mut book, "new", now + 2)), "{back} s");
    }
}

#[test]
fn a_clock_that_was_set_back_confirms_no_older_password() {
    for back in [30, 500] {
        let (_folder, mut book) = book();
        let now = LOGIN - back;
        book.confirm(&name("alice"), None, &secret("right"), now, now);
        assert_eq!(holds(&mut book), ["alice"], "it is the one that is kept");
        book.confirm(&name("alice"), None, &secret("new"), now, now);
        assert!(holds(&mut book).is_empty(), "{back} s");
    }
}

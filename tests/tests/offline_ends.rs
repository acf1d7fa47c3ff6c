//! When a login is possible no more while no server answers: what is kept goes, or counts no more.

mod kept;
mod pam;

use harness::{PATIENCE, Policy, until};
use kept::{
    NEW, OF_BOB, PASSWORD, RIGHT, WRONG, alice, await_kept, builder, is_kept, log_in_online,
    log_in_online_as_bob, login, login_as, offline, offline_with, people, reconfigure, status,
};
use pam::{
    ACCT_EXPIRED, AUTH_ERR, AUTHINFO_UNAVAIL, NEW_AUTHTOK_REQD, PERM_DENIED, SUCCESS, USER_UNKNOWN,
    probe,
};

#[test]
fn a_password_that_was_changed_here_is_not_kept() {
    let host = builder(people()).start();
    log_in_online(&host);
    let change = host.login().passwd("alice", PASSWORD, NEW);
    assert!(change.success, "{}\n{}", change.transcript, host.log().join("\n"));
    await_kept(&host, false);
}

/// It was changed elsewhere, and the old one is tried here.
#[test]
fn a_kept_password_that_a_server_refuses_is_kept_no_more() {
    let mut host = builder(people()).start();
    log_in_online(&host);
    assert_eq!(login(&host, WRONG)[0], AUTH_ERR);
    host.directory().replace(&alice().dn(), "userPassword", &[NEW]);
    assert_eq!(login(&host, RIGHT)[0], AUTH_ERR);
    await_kept(&host, false);
    host.directory().stop();
    assert_eq!(login(&host, RIGHT)[0], AUTHINFO_UNAVAIL);
}

#[test]
fn a_mistyped_password_online_takes_nothing_away() {
    let mut host = builder(people()).start();
    log_in_online(&host);
    for _ in 0..3 {
        assert_eq!(login(&host, WRONG)[0], AUTH_ERR);
    }
    host.directory().stop();
    assert_eq!(login(&host, RIGHT), [SUCCESS; 2]);
}

#[test]
fn who_is_known_to_be_locked_or_gone_has_no_offline_login() {
    let policy = Policy::new().lock_after(2);
    let mut host = builder(people().policy(policy)).start();
    log_in_online(&host);
    host.directory().replace(&alice().dn(), "pwdAccountLockedTime", &["000001010000Z"]);
    assert_eq!(probe(&host, "alice", &["account"]).codes, [PERM_DENIED]);
    await_kept(&host, false);
    host.directory().stop();
    assert_eq!(login(&host, RIGHT)[0], AUTHINFO_UNAVAIL);

    let mut host = builder(people()).start();
    log_in_online(&host);
    host.directory().delete(&alice().dn());
    assert_eq!(login(&host, RIGHT), [USER_UNKNOWN; 2]);
    await_kept(&host, false);
}

/// Her name went to somebody else, who was let in with an ssh key.
#[test]
fn what_was_kept_of_an_entry_goes_with_a_login_of_another_one_of_its_name() {
    let mut host = builder(people()).start();
    log_in_online(&host);
    assert_eq!(probe(&host, "alice", &["account"]).codes, [SUCCESS]);
    assert!(is_kept(&host), "she is the same still");
    host.directory().delete(&alice().dn());
    host.directory().add_user(&alice().uid(10_003).password(NEW));
    assert_eq!(probe(&host, "alice", &["account"]).codes, [SUCCESS]);
    await_kept(&host, false);
    host.directory().stop();
    assert_eq!(login(&host, RIGHT)[0], AUTHINFO_UNAVAIL);
}

/// Nobody here hears of it before the server is back: told so, or as a wrong password.
#[test]
fn a_lock_that_came_during_the_outage_counts_from_the_first_word_of_the_server() {
    for (is_told, refusal) in [(true, PERM_DENIED), (false, AUTH_ERR)] {
        let directory = people().policy(Policy::new().lock_after(3)).lockout_told(is_told);
        let mut host = offline_with(builder(directory));
        assert_eq!(login(&host, RIGHT), [SUCCESS; 2], "told: {is_told}");
        host.directory().start();
        host.directory().replace(&alice().dn(), "pwdAccountLockedTime", &["000001010000Z"]);
        let codes = until(PATIENCE, || {
            let said = probe(&host, "alice", &[RIGHT, "auth", "account"]);
            assert!(said.codes[0] != SUCCESS || said.has("offline"), "{said:?}");
            (said.codes[0] != SUCCESS).then_some(said.codes)
        });
        let codes = codes.expect("the server is asked again");
        assert_eq!(codes[0], refusal, "told: {is_told}\n{}", host.log().join("\n"));
        await_kept(&host, false);
        host.directory().stop();
        assert_eq!(login(&host, RIGHT)[0], AUTHINFO_UNAVAIL, "told: {is_told}");
    }
}

/// Bob's login is as it should be, each time.
#[test]
fn a_password_that_must_be_changed_is_not_kept_and_takes_along_what_was() {
    let must_be_changed: [(&str, &str, Vec<i32>); 2] = [
        ("pwdReset", "TRUE", vec![SUCCESS, NEW_AUTHTOK_REQD]),
        ("shadowLastChange", "0", vec![SUCCESS, NEW_AUTHTOK_REQD]),
    ];
    for (attribute, value, codes) in must_be_changed {
        let policy = Policy::new().must_change_after_reset();
        let mut host = builder(people().policy(policy)).start();
        log_in_online(&host);
        host.directory().replace(&alice().dn(), attribute, &[value]);
        assert_eq!(login(&host, RIGHT), codes, "{attribute}");
        await_kept(&host, false);
        assert_eq!(login(&host, RIGHT), codes, "{attribute}");
        log_in_online_as_bob(&host);
        assert!(!is_kept(&host), "{attribute}: {}", status(&host));
        host.directory().stop();
        assert_eq!(login(&host, RIGHT)[0], AUTHINFO_UNAVAIL, "{attribute}");
        assert_eq!(login_as(&host, "bob", OF_BOB), [SUCCESS; 2], "{attribute}");
    }
}

/// Nobody asked about her after she was deleted; the replica has heard of it.
#[test]
fn whom_a_replica_knows_to_be_gone_is_not_let_in() {
    let mut host = builder(people()).cache("mode = \"replica\"\nrefresh = 1\n").start();
    host.daemon().wait_until_complete();
    log_in_online(&host);
    log_in_online_as_bob(&host);
    host.directory().delete(&alice().dn());
    until(PATIENCE, || (host.run(["getent", "passwd", "alice"]).status == Some(2)).then_some(()))
        .expect("she is gone");
    host.directory().stop();
    let codes = login(&host, RIGHT);
    assert_eq!(codes[0], USER_UNKNOWN, "{}", host.log().join("\n"));
    assert!(!is_kept(&host), "{}", status(&host));
    assert_eq!(login_as(&host, "bob", OF_BOB), [SUCCESS; 2], "he isn't");
}

/// That the day comes while no server answers is in the unit tests, where days pass at once.
#[test]
fn an_account_that_a_server_says_has_expired_is_kept_no_more() {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let today = now.as_secs() / 86_400;
    let mut host = builder(people()).start();
    host.directory().replace(&alice().dn(), "shadowExpire", &[&(today + 2).to_string()]);
    log_in_online(&host);
    host.directory().stop();
    assert_eq!(login(&host, RIGHT), [SUCCESS; 2]);
    host.directory().start();
    host.directory().replace(&alice().dn(), "shadowExpire", &[&today.to_string()]);
    until(PATIENCE, || (probe(&host, "alice", &["account"]).codes == [ACCT_EXPIRED]).then_some(()))
        .expect("a server is asked again");
    await_kept(&host, false);
    host.directory().stop();
    assert_eq!(login(&host, RIGHT)[0], AUTHINFO_UNAVAIL);
}

#[test]
fn other_rules_make_it_void() {
    let mut host = offline();
    assert_eq!(login(&host, RIGHT), [SUCCESS; 2]);
    reconfigure(&mut host, |text| format!("{text}\n[login]\nallow_users = [\"bob\"]\n"));
    host.wait_for_log("was read again", PATIENCE);
    assert_eq!(login(&host, RIGHT)[0], AUTHINFO_UNAVAIL);
    assert!(status(&host).contains("alice may not"), "{}", status(&host));
}

#[test]
fn a_login_is_too_old_after_its_time() {
    let mut host = offline_with(builder(people()).offline("max_age = 3\n"));
    until(PATIENCE, || (login(&host, RIGHT)[0] == AUTHINFO_UNAVAIL).then_some(()))
        .expect("three seconds pass");
    reconfigure(&mut host, |text| text.replace("max_age = 3", "max_age = 3000"));
    host.wait_for_log("was read again", PATIENCE);
    assert_eq!(login(&host, RIGHT), [SUCCESS; 2], "it was nothing but its age");
}

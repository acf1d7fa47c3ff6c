//! What a password policy of the directory (slapd's ppolicy) means to a login.

mod pam;

use harness::{BASE, Directory, Host, HostBuilder, Outcome, PATIENCE, Policy, User};
use pam::{
    ACCT_EXPIRED, AUTH_ERR, AUTHTOK_EXPIRED, NEW_AUTHTOK_REQD, PERM_DENIED, SUCCESS, knows, probe,
};

const OLD: &str = "alice's secret";
const NEW: &str = "another secret";
const ANSWER_OLD: &str = "answer=alice's secret";
const ANSWER_NEW: &str = "answer=another secret";
const DAY: u64 = 86_400;

fn alice() -> User {
    User::new("alice").uid(10_001).gid(20_001).password(OLD)
}

fn host_with(user: User, policy: Policy) -> HostBuilder {
    let directory = Directory::new()
        .user(user)
        .group("crew", 20_001, ["alice"])
        .policy(policy)
        .lockout_told(true);
    pam::with_probe(Host::new().directory(directory))
}

fn host(user: User, policy: Policy) -> Host {
    host_with(user, policy).start()
}

/// A policy under which a password older than a day is too old.
fn one_day() -> Policy {
    Policy::new().max_age(DAY)
}

fn today() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.expect("it is after 1970").as_secs() / DAY
}

#[track_caller]
fn assert_in(host: &Host, outcome: &Outcome) {
    assert!(outcome.success, "{}\n{}", outcome.transcript, host.log().join("\n"));
}

/// Logs in over ssh, and changes the password when that is demanded.
#[track_caller]
fn ssh_with_change(host: &Host) -> String {
    let mut terminal =
        host.login().ssh_terminal("alice", "keyboard-interactive", &["echo I am in"]);
    terminal.expect("assword:").send(OLD);
    terminal.expect("New password:").send(NEW);
    terminal.expect("Retype new password:").send(NEW);
    terminal.expect("I am in");
    assert_eq!(terminal.wait(), Some(0), "{}", terminal.transcript());
    terminal.transcript()
}

#[test]
fn too_many_wrong_passwords_lock_an_account_even_for_the_right_one() {
    let host = host(alice(), Policy::new().lock_after(2));
    for _ in 0..2 {
        assert_eq!(probe(&host, "alice", &["answer=wrong", "auth"]).codes, [AUTH_ERR]);
    }
    let said = probe(&host, "alice", &[ANSWER_OLD, "auth"]);
    assert_eq!(said.codes, [PERM_DENIED]);
    assert!(said.has("locked"), "{said:?}");
    host.wait_for_log("the account is locked", PATIENCE);
}

/// An ssh key asks for no password, so no bind lets the server judge.
#[test]
fn an_account_locked_for_ever_is_locked_for_logins_without_a_password() {
    let host = host(
        alice().attribute("pwdAccountLockedTime", "000001010000Z"),
        Policy::new().lock_after(2),
    );
    let said = probe(&host, "alice", &["account"]);
    assert_eq!(said.codes, [PERM_DENIED]);
    assert!(said.has("locked"), "{said:?}");
}

#[test]
fn an_account_locked_for_ever_is_locked_for_the_right_password() {
    let host = host(
        alice().attribute("pwdAccountLockedTime", "000001010000Z"),
        Policy::new().lock_after(2),
    );
    assert_eq!(probe(&host, "alice", &[ANSWER_OLD, "auth"]).codes, [PERM_DENIED]);
}

#[test]
fn a_lock_that_is_over_keeps_nobody_out() {
    let policy = Policy::new().lock_after(2).with("pwdLockoutDuration", 60);
    // slapd names a user's policy in the entry only where it isn't the default.
    let user = alice()
        .attribute("pwdAccountLockedTime", "20200101000000Z")
        .attribute("pwdPolicySubentry", &format!("cn=default,ou=policies,{BASE}"));
    let host = host(user, policy);
    assert_eq!(probe(&host, "alice", &["account"]).codes, [SUCCESS]);
    assert_eq!(probe(&host, "alice", &[ANSWER_OLD, "auth", "account"]).codes, [SUCCESS, SUCCESS]);
}

#[test]
fn a_lock_whose_end_cannot_be_found_out_lasts_for_logins_without_a_password() {
    let policy = Policy::new().lock_after(2).with("pwdLockoutDuration", 60);
    let host = host(alice().attribute("pwdAccountLockedTime", "20200101000000Z"), policy);
    assert_eq!(probe(&host, "alice", &["account"]).codes, [PERM_DENIED]);
    // The server knows better; a right password ends the lock there.
    assert!(knows(&host, "alice", OLD));
    assert_eq!(probe(&host, "alice", &["account"]).codes, [SUCCESS]);
}

#[test]
fn a_password_that_ends_soon_is_announced_with_its_time() {
    let policy = Policy::new().max_age(10 * DAY).warn_before(5 * DAY);
    let host = host(alice().password_age(6 * DAY + 3600), policy);
    let said = probe(&host, "alice", &[ANSWER_OLD, "auth", "account"]);
    assert_eq!(said.codes, [SUCCESS, SUCCESS]);
    assert!(said.has("Your password expires in 3 days."), "{said:?}");
}

#[test]
fn a_password_that_is_far_from_its_end_is_not_announced() {
    let policy = Policy::new().max_age(10 * DAY).warn_before(DAY);
    let host = host(alice().password_age(DAY), policy);
    let said = probe(&host, "alice", &[ANSWER_OLD, "auth", "account"]);
    assert_eq!(said.heard, ["Password: "]);
}

#[test]
fn an_expired_password_with_grace_logins_lets_in_and_says_how_many_are_left() {
    let host = host_with(alice().password_age(2 * DAY), one_day().grace_logins(3)).sshd().start();
    let login = host.login().ssh("alice", OLD);
    assert_in(&host, &login);
    assert!(login.transcript.contains("2 more logins are possible"), "{}", login.transcript);
}

#[test]
fn the_last_grace_login_changes_the_password_in_the_same_ssh_login() {
    let host = host_with(alice().password_age(2 * DAY), one_day().grace_logins(1)).sshd().start();
    let transcript = ssh_with_change(&host);
    assert!(transcript.contains("this was the last login with it"), "{transcript}");
    assert_in(&host, &host.login().ssh("alice", NEW));
    assert!(!knows(&host, "alice", OLD));
}

/// A last grace login can't be repeated, so a typo or a password that the
/// server refuses must not be the end of it.
#[test]
fn the_last_grace_login_lets_its_user_try_another_new_password() {
    let user = alice().password_age(2 * DAY);
    let host = host_with(user, one_day().grace_logins(1).min_length(12)).sshd().start();
    let mut terminal =
        host.login().ssh_terminal("alice", "keyboard-interactive", &["echo I am in"]);
    terminal.expect("assword:").send(OLD);
    for (first, second, said) in [
        (NEW, "anoter secret", "don't match"),
        ("short", "short", "too short"),
        (NEW, NEW, "I am in"),
    ] {
        terminal.expect("New password:").send(first);
        terminal.expect("Retype new password:").send(second);
        terminal.expect(said);
    }
    assert_eq!(terminal.wait(), Some(0), "{}", terminal.transcript());
    assert!(knows(&host, "alice", NEW));
}

/// The change happens on the connection of the login: another bind would fail.
#[test]
fn the_last_grace_login_needs_no_second_bind_for_the_change() {
    let mut host = host(alice().password_age(2 * DAY), one_day().grace_logins(1));
    let before = host.directory().counts();
    let words = [ANSWER_OLD, ANSWER_NEW, ANSWER_NEW, "auth", "account", "change-expired"];
    let said = probe(&host, "alice", &words);
    assert_eq!(said.codes, [SUCCESS, NEW_AUTHTOK_REQD, SUCCESS], "{said:?}");
    let counts = host.directory().counts() - before;
    assert_eq!((counts.binds, counts.password_changes), (1, 1));
    assert!(knows(&host, "alice", NEW));
}

#[test]
fn an_expired_password_without_grace_logins_keeps_its_user_out() {
    let host = host(alice().password_age(2 * DAY), one_day());
    let said = probe(&host, "alice", &[ANSWER_OLD, "auth"]);
    assert_eq!(said.codes, [AUTHTOK_EXPIRED]);
    assert!(said.has("Your password has expired."), "{said:?}");
}

/// Whoever doesn't know the password must not learn that it has expired.
#[test]
fn a_wrong_password_for_an_expired_one_is_just_wrong() {
    let host = host(alice().password_age(2 * DAY), one_day());
    let said = probe(&host, "alice", &["answer=wrong", "auth"]);
    assert_eq!(said.codes, [AUTH_ERR]);
    assert_eq!(said.heard, ["Password: "]);
}

#[test]
fn a_password_that_an_administrator_has_set_is_changed_in_the_same_ssh_login() {
    let host =
        host_with(alice().must_change(), Policy::new().must_change_after_reset()).sshd().start();
    let transcript = ssh_with_change(&host);
    assert!(transcript.contains("You have to change your password now."), "{transcript}");
    assert_in(&host, &host.login().ssh("alice", NEW));
    assert!(!knows(&host, "alice", OLD));
}

#[test]
fn a_demanded_change_asks_for_the_old_password_once() {
    let host = host(alice().must_change(), Policy::new().must_change_after_reset());
    let words =
        [ANSWER_OLD, ANSWER_NEW, ANSWER_NEW, "auth", "account", "change-expired", "account"];
    let said = probe(&host, "alice", &words);
    assert_eq!(said.codes, [SUCCESS, NEW_AUTHTOK_REQD, SUCCESS, SUCCESS], "{said:?}");
    let prompts: Vec<_> = said.heard.iter().filter(|text| text.ends_with(": ")).collect();
    assert_eq!(prompts, ["Password: ", "New password: ", "Retype new password: "]);
}

#[test]
fn whoever_does_not_change_a_password_that_must_be_changed_stays_out() {
    let host =
        host_with(alice().must_change(), Policy::new().must_change_after_reset()).sshd().start();
    let mut terminal =
        host.login().ssh_terminal("alice", "keyboard-interactive", &["echo I am in"]);
    terminal.expect("assword:").send(OLD);
    terminal.expect("New password:").send(NEW);
    terminal.expect("Retype new password:").send("something else");
    for _ in 0..4 {
        if terminal.expect_one_of(&["assword:"]).is_none() {
            break;
        }
        terminal.send("");
    }
    assert_ne!(terminal.wait(), Some(0), "{}", terminal.transcript());
    assert!(!terminal.transcript().contains("I am in"), "{}", terminal.transcript());
    assert!(knows(&host, "alice", OLD));
}

#[test]
fn a_password_that_must_be_changed_cannot_be_kept_by_logging_in_with_a_key() {
    let host = host(alice().must_change(), Policy::new().must_change_after_reset());
    assert_eq!(probe(&host, "alice", &["account"]).codes, [NEW_AUTHTOK_REQD]);
}

#[test]
fn an_account_whose_last_day_has_passed_is_over() {
    let host = host(alice().attribute("shadowExpire", "18000"), Policy::new());
    let said = probe(&host, "alice", &[ANSWER_OLD, "auth", "account"]);
    assert_eq!(said.codes, [SUCCESS, ACCT_EXPIRED]);
    assert!(said.has("Your account has expired."), "{said:?}");
}

#[test]
fn an_account_that_is_over_keeps_its_user_out_over_ssh() {
    let host = host_with(alice().attribute("shadowExpire", "18000"), Policy::new()).sshd().start();
    assert!(!host.login().ssh("alice", OLD).success);
}

#[test]
fn a_password_older_than_shadow_max_is_changed_in_the_same_ssh_login_and_dated_anew() {
    let user = alice().attribute("shadowLastChange", "18000").attribute("shadowMax", "90");
    let host = host_with(user, Policy::new()).sshd().start();
    let days = today();
    let transcript = ssh_with_change(&host);
    assert!(transcript.contains("Your password has expired."), "{transcript}");
    let line = host.run(["getent", "shadow", "alice"]).success();
    let changed: u64 = line.split(':').nth(2).and_then(|day| day.parse().ok()).expect("a day");
    assert!((days..=days + 1).contains(&changed), "{line}");
    assert_in(&host, &host.login().ssh("alice", NEW));
}

#[test]
fn a_password_older_than_shadow_inactive_allows_is_over() {
    let user = alice()
        .attribute("shadowLastChange", "18000")
        .attribute("shadowMax", "90")
        .attribute("shadowInactive", "30");
    let host = host(user, Policy::new());
    let said = probe(&host, "alice", &[ANSWER_OLD, "auth", "account"]);
    assert_eq!(said.codes, [SUCCESS, AUTHTOK_EXPIRED]);
}

#[test]
fn shadow_warning_is_shown() {
    let user = alice()
        .attribute("shadowLastChange", &(today() - 86).to_string())
        .attribute("shadowMax", "90")
        .attribute("shadowWarning", "7");
    let said = probe(&host(user, Policy::new()), "alice", &["account"]);
    assert_eq!(said.codes, [SUCCESS]);
    assert!(said.has("Your password expires"), "{said:?}");
}

/// A directory may keep its locks to itself; a login with a password is then
/// judged by the server alone.
#[test]
fn a_server_that_does_not_tell_a_lock_answers_a_wrong_password() {
    let directory = Directory::new().user(alice()).policy(Policy::new().lock_after(1));
    let host = pam::with_probe(Host::new().directory(directory)).start();
    assert_eq!(probe(&host, "alice", &["answer=wrong", "auth"]).codes, [AUTH_ERR]);
    assert_eq!(probe(&host, "alice", &[ANSWER_OLD, "auth"]).codes, [AUTH_ERR]);
}

#[test]
fn an_unlocked_account_is_let_in_at_once() {
    let mut host = host(
        alice().attribute("pwdAccountLockedTime", "000001010000Z"),
        Policy::new().lock_after(2),
    );
    assert_eq!(probe(&host, "alice", &["account"]).codes, [PERM_DENIED]);
    host.directory().ldapmodify(&format!(
        "dn: uid=alice,ou=people,{BASE}\nchangetype: modify\ndelete: pwdAccountLockedTime\n"
    ));
    assert_eq!(probe(&host, "alice", &["account"]).codes, [SUCCESS]);
    assert!(knows(&host, "alice", OLD));
}

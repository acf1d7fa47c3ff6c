//! `ssh`, `su` and `passwd` on a host whose users are in a directory.

use harness::{Directory, DirectoryBuilder, Host, HostBuilder, PATIENCE, Policy, User};

const PASSWORD: &str = "alice's secret";
const NEW: &str = "another secret";

fn alice() -> User {
    User::new("alice").uid(10_001).gid(20_001).password(PASSWORD)
}

fn host_with(directory: DirectoryBuilder) -> HostBuilder {
    let directory = directory.group("crew", 20_001, ["alice"]);
    Host::new().directory(directory).sshd().local_user("lou", 2001, "lou's secret")
}

fn host() -> Host {
    host_with(Directory::new().user(alice())).start()
}

#[track_caller]
fn assert_in(host: &Host, outcome: &harness::Outcome) {
    assert!(outcome.success, "{}\n{}", outcome.transcript, host.log().join("\n"));
}

#[test]
fn the_right_password_lets_a_user_in_over_ssh() {
    let host = host();
    assert_in(&host, &host.login().ssh("alice", PASSWORD));
}

#[test]
fn the_method_password_of_ssh_works_too() {
    let host = host();
    assert_in(&host, &host.login().ssh_password("alice", PASSWORD));
}

#[test]
fn a_wrong_password_keeps_a_user_out() {
    let host = host();
    assert!(!host.login().ssh("alice", "wrong").success);
    host.wait_for_log("pam_ldap", PATIENCE);
}

/// RFC 4513 section 5.1.2: a server answers success to a bind with an empty
/// password. SSSD CVE-2010-2940.
#[test]
fn an_empty_password_keeps_a_user_out_and_is_never_sent() {
    let mut host = host();
    let before = host.directory().counts();
    assert!(!host.login().ssh("alice", "").success);
    assert_eq!((host.directory().counts() - before).binds, 0);
}

/// nslcd CVE-2011-0438: a user absent from the directory counted as success.
#[test]
fn a_user_who_is_nowhere_is_kept_out() {
    assert!(!host().login().ssh("nobody-here", "secret").success);
}

#[test]
fn a_local_user_is_none_of_our_business() {
    let mut host = host();
    let before = host.directory().counts();
    assert_in(&host, &host.login().ssh("lou", "lou's secret"));
    assert_eq!((host.directory().counts() - before).binds, 0);
}

#[test]
fn su_asks_for_the_password_of_the_directory() {
    let host = host();
    assert_in(&host, &host.login().su("lou", "alice", PASSWORD));
    assert!(!host.login().su("lou", "alice", "wrong").success);
}

#[test]
fn a_user_changes_the_password() {
    let host = host();
    let change = host.login().passwd("alice", PASSWORD, NEW);
    assert!(change.success, "{}\n{}", change.transcript, host.log().join("\n"));
    assert_in(&host, &host.login().ssh("alice", NEW));
    assert!(!host.login().ssh("alice", PASSWORD).success);
}

#[test]
fn a_password_is_not_changed_without_the_old_one() {
    let host = host();
    assert!(!host.login().passwd("alice", "wrong", NEW).success);
    assert_in(&host, &host.login().ssh("alice", PASSWORD));
}

#[test]
fn the_servers_reason_against_a_new_password_is_shown() {
    let policy = Policy::new().min_length(10);
    let host = host_with(Directory::new().user(alice()).policy(policy)).start();
    let change = host.login().passwd("alice", PASSWORD, "short");
    assert!(!change.success, "{}", change.transcript);
    assert!(change.transcript.contains("short"), "{}", change.transcript);
}

#[test]
fn a_password_that_must_be_changed_is_changed_in_the_same_login() {
    let policy = Policy::new().must_change_after_reset();
    let host = host_with(Directory::new().user(alice().must_change()).policy(policy)).start();
    let mut terminal =
        host.login().ssh_terminal("alice", "keyboard-interactive", &["echo I am in"]);
    terminal.expect("assword:").send(PASSWORD);
    // The old password may be asked for once more.
    for _ in 0..3 {
        match terminal.expect_one_of(&["I am in", "ew password", "urrent", "assword:"]) {
            Some(0) | None => break,
            Some(2) => terminal.expect("assword:").send(PASSWORD),
            Some(_) => terminal.send(NEW),
        };
    }
    let status = terminal.wait();
    assert_eq!(status, Some(0), "{}\n{}", terminal.transcript(), host.log().join("\n"));
    drop(terminal);
    assert_in(&host, &host.login().ssh("alice", NEW));
}

#[test]
fn a_password_that_ends_soon_is_announced() {
    let policy = Policy::new().max_age(86_400).warn_before(86_000);
    let user = alice().password_age(80_000);
    let host = host_with(Directory::new().user(user).policy(policy)).start();
    let login = host.login().ssh("alice", PASSWORD);
    assert_in(&host, &login);
    assert!(login.transcript.contains("expire"), "{}", login.transcript);
}

#[test]
fn a_locked_account_keeps_a_user_out() {
    let policy = Policy::new().lock_after(1);
    let directory = Directory::new().user(alice()).policy(policy).lockout_told(true);
    let host = host_with(directory).start();
    assert!(!host.login().ssh("alice", "wrong").success);
    assert!(!host.login().ssh("alice", PASSWORD).success);
}

#[test]
fn only_the_allowed_groups_may_log_in() {
    let bob = User::new("bob").uid(10_002).gid(20_002).password("bob's secret");
    let host = host_with(Directory::new().user(alice()).user(bob).group("visitors", 20_002, []))
        .configuration("[login]\nallow_groups = [\"crew\"]")
        .start();
    assert_in(&host, &host.login().ssh("alice", PASSWORD));
    assert!(!host.login().ssh("bob", "bob's secret").success);
}

/// SSSD CVE-2018-16838, winbind CVE-2012-6150: an unknown group in a rule.
#[test]
fn an_unknown_group_in_a_rule_allows_nobody() {
    let host = host_with(Directory::new().user(alice()))
        .configuration("[login]\nallow_groups = [\"no-such-group\"]")
        .start();
    assert!(!host.login().ssh("alice", PASSWORD).success);
}

#[test]
fn an_outage_keeps_users_of_the_directory_out_and_no_one_else() {
    let mut host = host();
    assert_in(&host, &host.login().ssh("alice", PASSWORD));
    host.directory().stop();
    assert!(!host.login().ssh("alice", PASSWORD).success);
    assert_in(&host, &host.login().ssh("lou", "lou's secret"));
    host.directory().start();
    harness::until(PATIENCE, || host.login().ssh("alice", PASSWORD).success.then_some(()))
        .expect("alice gets in again");
}

#[test]
fn no_password_is_in_the_log() {
    let host = host();
    host.login().ssh("alice", PASSWORD);
    host.login().ssh("alice", "a wrong secret");
    host.login().passwd("alice", PASSWORD, NEW);
    let log = host.log().join("\n");
    for secret in [PASSWORD, "a wrong secret", NEW] {
        assert!(!log.contains(secret), "{log}");
    }
}

#[test]
fn a_host_without_a_daemon_lets_users_in() {
    let host = host_with(Directory::new().user(alice())).without_daemon().start();
    assert_in(&host, &host.login().ssh("alice", PASSWORD));
}

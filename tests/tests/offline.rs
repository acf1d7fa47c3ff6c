//! Logins while no server answers: only with what a server accepted before, and never against
//! the word of a server that answers. `offline_ends.rs` has when that is over.

mod kept;
mod pam;

use harness::{PATIENCE, until};
use kept::{
    OF_BOB, PASSWORD, RIGHT, WRONG, alice, await_kept, builder, is_kept, log_in_online,
    log_in_online_as, log_in_online_as_bob, login, login_as, offline, people, status,
};
use pam::{AUTH_ERR, AUTHINFO_UNAVAIL, SUCCESS, TRY_AGAIN, probe};

/// The certificate of an authority that has signed nothing here; its key is lost.
const OTHER_AUTHORITY: &str = "\
-----BEGIN CERTIFICATE-----
MIIBjzCCATWgAwIBAgIUZsKBjD3yL2IFTU55x2G5/kqNBa8wCgYIKoZIzj0EAwIw
HDEaMBgGA1UEAwwRYW5vdGhlciBhdXRob3JpdHkwIBcNMjYxMTIyMTg1ODQ2WhgP
MjEyNjEwMjkxODU4NDZaMBwxGjAYBgNVBAMMEWFub3RoZXIgYXV0aG9yaXR5MFkw
EwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEvTPbCDpMLOfSxLDH8ukytG9ISHJ/FZmy
MTiymFxr9UjWRkbXYzty998sWtb4Gu2OVg/b0CjucdWqrEKSoKPKyqNTMFEwHQYD
VR0OBBYEFEOkhPVcN7QgRKuIUmnLl66RT7SrMB8GA1UdIwQYMBaAFEOkhPVcN7Qg
RKuIUmnLl66RT7SrMA8GA1UdEwEB/wQFMAMBAf8wCgYIKoZIzj0EAwIDSAAwRQIh
ANLJ5FVrSwVILOv6Oiu4CwJzhspRB/xABxfZ79D+NtAlAiACljwGeU4DmMbuNyFx
xPM4Dlfs9k7LL6ItiHBbT94VXw==
-----END CERTIFICATE-----
";

#[test]
fn who_logged_in_before_gets_in_and_reads_that_it_is_offline_and_until_when() {
    let host = offline();
    let said = probe(&host, "alice", &[RIGHT, "auth", "account"]);
    assert_eq!(said.codes, [SUCCESS; 2], "{said:?}\n{}", host.log().join("\n"));
    assert!(said.has("offline") && said.has("until 20") && said.has("UTC"), "{said:?}");
    host.wait_for_log("alice logs in offline", PATIENCE);
}

#[test]
fn ssh_lets_in_offline_who_logged_in_over_ssh_before() {
    let mut host = builder(people()).sshd().cache("mode = \"replica\"\n").start();
    host.daemon().wait_until_complete();
    let online = host.login().ssh("alice", PASSWORD);
    assert!(online.success, "{}\n{}", online.transcript, host.log().join("\n"));
    await_kept(&host, true);
    host.directory().stop();
    let offline = host.login().ssh("alice", PASSWORD);
    assert!(offline.success, "{}\n{}", offline.transcript, host.log().join("\n"));
    assert!(offline.transcript.contains("offline"), "{}", offline.transcript);
    assert!(!host.login().ssh("alice", "wrong").success);
    assert!(!host.login().ssh("bob", "bob's secret").success, "he never logged in here");
}

/// SSSD CVE-2010-0014, CVE-2011-1758, CVE-2010-2940.
#[test]
fn another_password_or_none_keeps_out() {
    let host = offline();
    assert_eq!(login(&host, WRONG)[0], AUTH_ERR);
    assert_eq!(login(&host, "answer=")[0], AUTH_ERR);
    until(PATIENCE, || (login(&host, RIGHT) == [SUCCESS; 2]).then_some(())).expect("her own");
}

#[test]
fn who_never_logged_in_here_cannot_be_judged() {
    let host = offline();
    for name in ["bob", "nobody-here", "Alice"] {
        let said = probe(&host, name, &[OF_BOB, "auth", "account"]);
        assert_eq!(said.codes, [AUTHINFO_UNAVAIL; 2], "{name}: {said:?}");
    }
    assert_eq!(login(&host, RIGHT), [SUCCESS; 2], "who did, can");
}

#[test]
fn a_login_that_failed_keeps_nothing() {
    let mut host = builder(people()).start();
    assert_eq!(login(&host, WRONG)[0], AUTH_ERR);
    assert_eq!(probe(&host, "alice", &[RIGHT, "auth"]).codes, [SUCCESS], "without account check");
    log_in_online_as_bob(&host);
    assert!(!is_kept(&host), "{}", status(&host));
    host.directory().stop();
    assert_eq!(login(&host, RIGHT)[0], AUTHINFO_UNAVAIL);
    assert_eq!(login_as(&host, "bob", OF_BOB), [SUCCESS; 2]);
}

#[test]
fn after_too_many_wrong_passwords_the_right_one_waits_for_a_server() {
    let mut host = offline();
    for _ in 0..3 {
        until(PATIENCE, || (login(&host, WRONG)[0] == AUTH_ERR).then_some(())).expect("its turn");
    }
    assert_eq!(login(&host, RIGHT)[0], AUTHINFO_UNAVAIL);
    assert!(status(&host).contains("alice may not log in without a server"), "{}", status(&host));
    host.daemon().kill();
    host.daemon().start();
    assert_eq!(login(&host, RIGHT)[0], AUTHINFO_UNAVAIL, "a new daemon knows it");
    host.directory().start();
    until(PATIENCE, || (login(&host, RIGHT) == [SUCCESS; 2]).then_some(())).expect("online");
    until(PATIENCE, || status(&host).contains("alice may log in").then_some(())).expect("anew");
    host.directory().stop();
    assert_eq!(login(&host, RIGHT), [SUCCESS; 2]);
}

/// An entry with two names is one account, and has one count.
#[test]
fn wrong_passwords_under_one_name_count_for_the_others() {
    let mut host = builder(people()).start();
    host.directory().add_value(&alice().dn(), "uid", "asmith");
    for name in ["alice", "asmith"] {
        log_in_online_as(&host, name, RIGHT);
    }
    await_kept(&host, true);
    host.directory().stop();
    // Both are kept, once the second hash is made.
    until(PATIENCE, || (login_as(&host, "asmith", RIGHT) == [SUCCESS; 2]).then_some(()))
        .expect("asmith gets in");
    assert_eq!(login(&host, RIGHT), [SUCCESS; 2]);
    for name in ["alice", "asmith", "alice"] {
        until(PATIENCE, || (login_as(&host, name, WRONG)[0] == AUTH_ERR).then_some(()))
            .expect("its turn");
    }
    for name in ["alice", "asmith"] {
        assert_eq!(login_as(&host, name, RIGHT)[0], AUTHINFO_UNAVAIL, "{name}");
    }
    let status = status(&host);
    assert!(status.contains("alice may not log in without a server"), "{status}");
}

#[test]
fn the_first_login_with_a_server_is_online_again() {
    let mut host = offline();
    assert_eq!(login(&host, RIGHT), [SUCCESS; 2]);
    host.directory().start();
    until(PATIENCE, || {
        let said = probe(&host, "alice", &[RIGHT, "auth", "account"]);
        assert_eq!(said.codes, [SUCCESS; 2], "{said:?}");
        (!said.has("offline")).then_some(())
    })
    .expect("a server is asked again");
}

#[test]
fn what_is_kept_survives_a_restart_and_a_kill() {
    let mut host = offline();
    host.daemon().stop();
    host.daemon().start();
    assert_eq!(login(&host, RIGHT), [SUCCESS; 2]);
    host.daemon().kill();
    host.daemon().start();
    assert_eq!(login(&host, RIGHT), [SUCCESS; 2]);
}

/// The hash is made behind the login.
#[test]
fn a_daemon_that_is_told_to_stop_keeps_what_it_still_has_to_keep() {
    let mut host = builder(people()).start();
    log_in_online_as(&host, "alice", RIGHT);
    log_in_online_as(&host, "bob", OF_BOB);
    host.daemon().stop();
    host.directory().stop();
    host.daemon().start();
    assert_eq!(login(&host, RIGHT), [SUCCESS; 2]);
    assert_eq!(login_as(&host, "bob", OF_BOB), [SUCCESS; 2]);
}

#[test]
fn a_server_that_hangs_is_no_server() {
    let mut host = builder(people()).start();
    log_in_online(&host);
    host.directory().freeze();
    assert_eq!(login(&host, RIGHT), [SUCCESS; 2], "{}", host.log().join("\n"));
    host.directory().thaw();
}

/// Any word of a server is the last word: here a certificate of somebody else.
#[test]
fn a_server_that_cannot_prove_who_it_is_lets_nobody_in_offline() {
    let mut host = builder(people()).start();
    log_in_online(&host);
    host.daemon().stop();
    host.write("/etc/ssl/rollcall-test-ca.pem", OTHER_AUTHORITY);
    host.daemon().start();
    assert_eq!(login(&host, RIGHT)[0], AUTHINFO_UNAVAIL, "{}", host.log().join("\n"));
    assert!(is_kept(&host), "{}", status(&host));
    host.directory().stop();
    until(PATIENCE, || (login(&host, RIGHT) == [SUCCESS; 2]).then_some(()))
        .expect("it says nothing any more");
}

#[test]
fn a_refused_reader_lets_nobody_in_offline() {
    let mut host = builder(people().access_by_anonymous(false)).start();
    log_in_online(&host);
    host.daemon().stop();
    host.write("/etc/rollcall.secret", "not the reader's");
    host.run(["chmod", "640", "/etc/rollcall.secret"]).success();
    host.run(["chown", "root:rollcall", "/etc/rollcall.secret"]).success();
    host.daemon().start();
    assert_eq!(login(&host, RIGHT)[0], AUTHINFO_UNAVAIL, "{}", host.log().join("\n"));
    host.directory().stop();
    until(PATIENCE, || (login(&host, RIGHT) == [SUCCESS; 2]).then_some(()))
        .expect("it says nothing any more");
}

#[test]
fn the_account_check_alone_is_answered_offline_for_who_logged_in_before() {
    let host = offline();
    assert_eq!(probe(&host, "alice", &["account"]).codes, [SUCCESS]);
    assert_eq!(probe(&host, "bob", &["account"]).codes, [AUTHINFO_UNAVAIL]);
}

#[test]
fn a_password_cannot_be_changed_offline() {
    let host = offline();
    let said = probe(&host, "alice", &[RIGHT, RIGHT, "answer=x", "answer=x", "change"]);
    assert_eq!(said.codes, [TRY_AGAIN], "{said:?}");
    assert_eq!(login(&host, RIGHT), [SUCCESS; 2]);
}

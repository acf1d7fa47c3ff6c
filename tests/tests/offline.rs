//! Logins while no server answers: only with what a server accepted before, for as long as
//! that may count, and never against the word of a server that answers.

mod pam;

use std::os::unix::fs::MetadataExt;

use harness::{Directory, DirectoryBuilder, Host, HostBuilder, PATIENCE, Policy, User, until};
use pam::{
    ACCT_EXPIRED, AUTH_ERR, AUTHINFO_UNAVAIL, PERM_DENIED, SUCCESS, TRY_AGAIN, USER_UNKNOWN, probe,
    with_probe,
};

const PASSWORD: &str = "alice's secret";
const NEW: &str = "another secret";
const RIGHT: &str = "answer=alice's secret";
const WRONG: &str = "answer=wrong";
const FILE: &str = "/var/lib/rollcall/offline.redb";

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

fn alice() -> User {
    User::new("alice").uid(10_001).gid(20_001).password(PASSWORD)
}

fn people() -> DirectoryBuilder {
    let bob = User::new("bob").uid(10_002).gid(20_001).password("bob's secret");
    Directory::new().user(alice()).user(bob).group("crew", 20_001, ["alice"])
}

fn builder(directory: DirectoryBuilder) -> HostBuilder {
    with_probe(Host::new().directory(directory)).offline("max_failures = 3\n")
}

/// What a login is answered: password check and account check.
#[track_caller]
fn login(host: &Host, answer: &str) -> Vec<i32> {
    probe(host, "alice", &[answer, "auth", "account"]).codes
}

/// Logs alice in, and waits until that is kept.
#[track_caller]
fn log_in_online(host: &Host) {
    let said = probe(host, "alice", &[RIGHT, "auth", "account"]);
    assert_eq!(said.codes, [SUCCESS; 2], "{said:?}\n{}", host.log().join("\n"));
    assert!(!said.has("offline"), "{said:?}");
    await_kept(host, true);
}

fn status(host: &Host) -> String {
    host.run(["rollcall", "status"]).success()
}

fn is_kept(host: &Host) -> bool {
    status(host).contains("alice may")
}

#[track_caller]
fn await_kept(host: &Host, kept: bool) {
    until(PATIENCE, || (is_kept(host) == kept).then_some(()))
        .unwrap_or_else(|| panic!("kept: {}\n{}", !kept, host.log().join("\n")));
}

/// A host on which alice has logged in, and whose server is down since.
fn offline_with(builder: HostBuilder) -> Host {
    let mut host = builder.start();
    log_in_online(&host);
    host.directory().stop();
    host
}

fn offline() -> Host {
    offline_with(builder(people()))
}

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
}

#[test]
fn who_never_logged_in_here_cannot_be_judged() {
    let host = offline();
    for name in ["bob", "nobody-here"] {
        let said = probe(&host, name, &["answer=bob's secret", "auth", "account"]);
        assert_eq!(said.codes, [AUTHINFO_UNAVAIL; 2], "{name}: {said:?}");
    }
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
}

#[track_caller]
fn log_in_online_as_bob(host: &Host) {
    let said = probe(host, "bob", &["answer=bob's secret", "auth", "account"]);
    assert_eq!(said.codes, [SUCCESS; 2], "{said:?}");
    until(PATIENCE, || status(host).contains("bob may log in").then_some(())).expect("he is kept");
}

#[test]
fn after_too_many_wrong_passwords_the_right_one_waits_for_a_server() {
    let mut host = offline();
    assert_eq!(login(&host, WRONG)[0], AUTH_ERR);
    assert_eq!(login(&host, RIGHT)[0], AUTHINFO_UNAVAIL, "it has to wait a moment");
    for _ in 0..2 {
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
}

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

/// Nobody asked about her after she was deleted; the replica has heard of it.
#[test]
fn whom_a_replica_knows_to_be_gone_is_not_let_in() {
    let mut host = builder(people()).cache("mode = \"replica\"\nrefresh = 1\n").start();
    host.daemon().wait_until_complete();
    log_in_online(&host);
    host.directory().delete(&alice().dn());
    until(PATIENCE, || (host.run(["getent", "passwd", "alice"]).status == Some(2)).then_some(()))
        .expect("she is gone");
    host.directory().stop();
    let codes = login(&host, RIGHT);
    assert_eq!(codes[0], USER_UNKNOWN, "{}", host.log().join("\n"));
    assert!(!is_kept(&host), "{}", status(&host));
}

#[test]
fn an_account_that_expires_meanwhile_lets_nobody_in() {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let yesterday = now.as_secs() / 86_400 - 1;
    let mut host = builder(people()).start();
    host.directory().replace(&alice().dn(), "shadowExpire", &[&(yesterday + 3).to_string()]);
    log_in_online(&host);
    host.directory().stop();
    assert_eq!(login(&host, RIGHT), [SUCCESS; 2]);
    // What is kept says that it has expired by now.
    host.directory().start();
    host.directory().replace(&alice().dn(), "shadowExpire", &[&yesterday.to_string()]);
    until(PATIENCE, || (probe(&host, "alice", &["account"]).codes == [ACCT_EXPIRED]).then_some(()))
        .expect("a server is asked again");
    await_kept(&host, false);
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

#[test]
fn other_rules_make_it_void() {
    let mut host = offline();
    let text = std::fs::read_to_string(host.path("/etc/rollcall.toml")).unwrap();
    host.write("/etc/rollcall.toml", &format!("{text}\n[login]\nallow_users = [\"bob\"]\n"));
    host.daemon().reload();
    host.wait_for_log("was read again", PATIENCE);
    assert_eq!(login(&host, RIGHT)[0], AUTHINFO_UNAVAIL);
    assert!(status(&host).contains("alice may not"), "{}", status(&host));
}

#[test]
fn an_age_of_0_removes_what_was_kept() {
    let mut host = offline();
    let text = std::fs::read_to_string(host.path("/etc/rollcall.toml")).unwrap();
    host.write("/etc/rollcall.toml", &text.replace("max_failures = 3", "max_age = 0"));
    host.daemon().reload();
    until(PATIENCE, || (!host.path(FILE).exists()).then_some(())).expect("it is removed");
    assert_eq!(login(&host, RIGHT)[0], AUTHINFO_UNAVAIL);
}

#[test]
fn a_login_is_too_old_after_its_time() {
    let host = offline_with(builder(people()).offline("max_age = 3\n"));
    until(PATIENCE, || (login(&host, RIGHT)[0] == AUTHINFO_UNAVAIL).then_some(()))
        .expect("three seconds pass");
}

#[test]
fn a_flush_removes_everything_that_is_kept() {
    let host = offline();
    let refused = host.run_as("rollcall", ["rollcall", "flush", "--offline"]);
    assert!(refused.stderr.contains("only root"), "{refused:?}");
    assert!(is_kept(&host));
    host.run(["rollcall", "flush", "--offline"]).success();
    assert!(!is_kept(&host) && !host.path(FILE).exists());
    assert_eq!(login(&host, RIGHT)[0], AUTHINFO_UNAVAIL);
}

#[test]
fn only_root_reads_whose_logins_are_kept() {
    let host = offline();
    assert!(is_kept(&host));
    let status = host.run_as("rollcall", ["rollcall", "status"]).success();
    assert!(!status.contains("alice"), "{status}");
}

#[test]
fn only_the_daemon_can_read_what_is_kept() {
    let host = offline();
    let facts = |path| {
        let metadata = std::fs::metadata(host.path(path)).unwrap();
        (metadata.mode() & 0o7777, metadata.uid())
    };
    assert_eq!(facts(FILE), (0o600, 990));
    assert_eq!(facts("/var/lib/rollcall"), (0o700, 990));
    let file = std::fs::read(host.path(FILE)).unwrap();
    let has = |text: &str| file.windows(text.len()).any(|bytes| bytes == text.as_bytes());
    assert!(has("alice") && !has(PASSWORD));
}

#[test]
fn a_damaged_file_is_set_aside_and_begun_anew() {
    let mut host = offline();
    host.daemon().stop();
    host.run(["sh", "-c", &format!("head -c 100000 /dev/urandom >{FILE}")]).success();
    host.daemon().start();
    assert_eq!(login(&host, RIGHT)[0], AUTHINFO_UNAVAIL);
    host.wait_for_log("is set aside", PATIENCE);
    host.directory().start();
    until(PATIENCE, || (login(&host, RIGHT) == [SUCCESS; 2]).then_some(())).expect("online");
    await_kept(&host, true);
    host.directory().stop();
    assert_eq!(login(&host, RIGHT), [SUCCESS; 2]);
}

/// A file system without room.
#[test]
fn a_full_disk_keeps_nobody_out_online() {
    let mut host = builder(people()).start();
    host.daemon().stop();
    host.run(["mount", "-t", "tmpfs", "-o", "size=16k,mode=700", "tmpfs", "/var/lib/rollcall"])
        .success();
    host.run(["chown", "rollcall:rollcall", "/var/lib/rollcall"]).success();
    host.daemon().start();
    assert_eq!(login(&host, RIGHT), [SUCCESS; 2]);
    host.wait_for_log("no offline logins of alice", PATIENCE);
    assert_eq!(login(&host, RIGHT), [SUCCESS; 2]);
    assert!(!is_kept(&host));
}

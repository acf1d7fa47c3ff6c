//! Mistakes that became advisories in programs of this kind, each tried on a
//! whole host. `docs/threat-model.md` has the table.

mod pam;

use harness::{BASE, Directory, DirectoryBuilder, Host, HostBuilder, PATIENCE, Policy, User};
use pam::{
    AUTH_ERR, AUTHINFO_UNAVAIL, NEW_AUTHTOK_REQD, PERM_DENIED, SUCCESS, USER_UNKNOWN, probe,
    probe_as,
};

const OLD: &str = "alice's secret";
const ANSWER_OLD: &str = "answer=alice's secret";

fn alice() -> User {
    User::new("alice").uid(10_001).gid(20_001).password(OLD)
}

fn people() -> DirectoryBuilder {
    let bob = User::new("bob").uid(10_002).gid(20_001).password("bob's secret");
    Directory::new().user(alice()).user(bob).group("crew", 20_001, [])
}

fn host_with(directory: DirectoryBuilder) -> HostBuilder {
    pam::with_probe(Host::new().directory(directory))
}

/// nslcd CVE-2011-0438: a user absent from the directory counted as success.
#[test]
fn an_absent_user_is_unknown_to_libpam_in_every_phase() {
    let host = host_with(people()).start();
    let words = [ANSWER_OLD, "auth", "account", "change-expired"];
    assert_eq!(probe(&host, "nobody-here", &words).codes, [USER_UNKNOWN; 3]);
}

/// The same: the entry goes between the password and the account phase.
#[test]
fn a_user_who_was_deleted_is_unknown_at_once() {
    let mut host = host_with(people()).start();
    assert_eq!(probe(&host, "alice", &[ANSWER_OLD, "auth", "account"]).codes, [SUCCESS; 2]);
    host.directory().ldapmodify(&format!("dn: uid=alice,ou=people,{BASE}\nchangetype: delete\n"));
    let said = probe(&host, "alice", &[ANSWER_OLD, "auth", "account"]);
    assert_eq!(said.codes, [USER_UNKNOWN; 2]);
}

/// Two entries of one name: nobody knows who is meant.
#[test]
fn a_user_whom_the_directory_has_twice_is_denied_and_the_log_says_why() {
    let twin = format!(
        "dn: ou=guests,{BASE}\nobjectClass: organizationalUnit\n\n\
         dn: uid=alice,ou=guests,{BASE}\nobjectClass: account\nobjectClass: posixAccount\n\
         uid: alice\ncn: alice\nuidNumber: 10009\ngidNumber: 20001\nhomeDirectory: /home/alice\n\
         userPassword: the other secret\n"
    );
    let mut host = host_with(people().ldif(&twin)).start();
    for answer in [ANSWER_OLD, "answer=the other secret"] {
        let said = probe(&host, "alice", &[answer, "auth", "account"]);
        assert_eq!(said.codes, [USER_UNKNOWN; 2], "{answer}");
    }
    assert_eq!(host.directory().counts().binds, 0);
    let line = host.wait_for_log("several times", PATIENCE);
    assert!(line.contains("ou=people") && line.contains("ou=guests"), "{line}");
}

/// Many, SSSD CVE-2010-2940: an empty password is an unauthenticated bind,
/// which succeeds (RFC 4513 section 5.1.2). This server is told to allow it.
#[test]
fn an_empty_password_fails_even_where_the_server_would_accept_it() {
    let directory = people().server_configuration("allow bind_anon_dn");
    let mut host = host_with(directory).start();
    let dn = format!("uid=alice,ou=people,{BASE}");
    let bind = ["ldapwhoami", "-x", "-H", "ldap://127.0.0.1", "-D", &dn, "-w", ""];
    host.run(bind).success();
    let before = host.directory().counts();
    let said = probe(&host, "alice", &["answer=", "auth"]);
    assert_eq!(said.codes, [AUTH_ERR]);
    let said = probe_as(&host, "alice", "alice", &["answer=", "change"]);
    assert_eq!(said.codes, [AUTH_ERR]);
    assert_eq!((host.directory().counts() - before).binds, 0);
}

/// PADL CVE-2006-5170: a policy's error fell through to success.
#[test]
fn a_policys_error_never_ends_in_success() {
    let policy = || Policy::new().lock_after(3).max_age(86_400).must_change_after_reset();
    let cases = [
        (alice().attribute("pwdAccountLockedTime", "000001010000Z"), vec![PERM_DENIED; 2]),
        (alice().password_age(3 * 86_400), vec![pam::AUTHTOK_EXPIRED, SUCCESS]),
        (alice().must_change(), vec![SUCCESS, NEW_AUTHTOK_REQD]),
    ];
    for (user, codes) in cases {
        let directory = Directory::new().user(user).policy(policy()).lockout_told(true);
        let host = host_with(directory).start();
        assert_eq!(probe(&host, "alice", &[ANSWER_OLD, "auth", "account"]).codes, codes);
    }
}

/// nslcd's `pam.c`: a server that can't be reached, reported as a wrong password.
#[test]
fn an_outage_and_a_wrong_password_have_different_codes() {
    let mut host = host_with(people()).start();
    assert_eq!(probe(&host, "alice", &["answer=wrong", "auth"]).codes, [AUTH_ERR]);
    host.directory().stop();
    assert_eq!(probe(&host, "alice", &["answer=wrong", "auth"]).codes, [AUTHINFO_UNAVAIL]);
    assert_eq!(probe(&host, "alice", &[ANSWER_OLD, "auth"]).codes, [AUTHINFO_UNAVAIL]);
}

/// SSSD CVE-2011-1758, CVE-2010-0014: a wrong answer while offline.
#[test]
fn nobody_gets_in_with_a_password_that_was_right_before_the_outage() {
    let mut host = host_with(people()).sshd().start();
    let login = host.login().ssh("alice", OLD);
    assert!(login.success, "{}\n{}", login.transcript, host.log().join("\n"));
    host.directory().stop();
    assert!(!host.login().ssh("alice", OLD).success);
}

/// SSSD CVE-2017-12173: an unescaped name in a filter.
#[test]
fn a_name_with_the_signs_of_a_filter_finds_nobody() {
    let host = host_with(people()).start();
    for name in ["*", "al*", "alice)(uid=*", "*)(|(uid=*", "alice\\2a", "(alice)", "bob\\29"] {
        let said = probe(&host, name, &[ANSWER_OLD, "auth", "account"]);
        assert_eq!(said.codes, [USER_UNKNOWN; 2], "{name:?}");
    }
}

/// nslcd CVE-2009-1073: a bind password that everybody can read.
#[test]
fn a_bind_password_that_others_can_read_is_an_error_that_names_the_file() {
    let host = host_with(people().access_by_anonymous(false)).start();
    host.run(["rollcall", "check"]).success();
    for mode in ["644", "604", "666"] {
        host.run(["chmod", mode, "/etc/rollcall.secret"]).success();
        let check = host.run(["rollcall", "check"]);
        assert_ne!(check.status, Some(0), "{mode}");
        assert!(check.stderr.contains("/etc/rollcall.secret"), "{}", check.stderr);
    }
}

/// The same while a daemon runs: the new configuration isn't taken over.
#[test]
fn a_bind_password_that_others_can_read_is_refused_at_a_reload() {
    let mut host = host_with(people().access_by_anonymous(false)).start();
    host.run(["chmod", "644", "/etc/rollcall.secret"]).success();
    let from = host.log().len();
    host.daemon().reload();
    host.wait_for_log_from(from, "/etc/rollcall.secret", PATIENCE);
    assert_eq!(probe(&host, "alice", &[ANSWER_OLD, "auth"]).codes, [SUCCESS]);
}

/// Himmelblau: a password change that isn't bound to who asks for it.
#[test]
fn nobody_changes_the_password_of_another_user() {
    let mut host = host_with(people()).start();
    let words = ["answer=bob's secret", "answer=owned by bob", "answer=owned by bob"];
    for phase in ["change", "change-expired"] {
        let words: Vec<&str> = words.into_iter().chain([phase]).collect();
        let said = probe_as(&host, "bob", "alice", &words);
        assert_eq!(said.codes, [AUTH_ERR], "{phase}");
    }
    assert_eq!(host.directory().counts().password_changes, 0);
}

/// Himmelblau: what one user's login has shown, used for another.
#[test]
fn a_demanded_change_is_for_the_user_of_whom_it_was_demanded() {
    let policy = Policy::new().must_change_after_reset();
    let mut host = host_with(people().policy(policy)).start();
    host.directory().ldapmodify(&format!(
        "dn: uid=alice,ou=people,{BASE}\nchangetype: modify\nreplace: pwdReset\npwdReset: TRUE\n"
    ));
    let new = "answer=another secret";
    let words =
        [ANSWER_OLD, "answer=wrong", new, new, "auth", "account", "user=bob", "change-expired"];
    let said = probe(&host, "alice", &words);
    assert_eq!(said.codes, [SUCCESS, NEW_AUTHTOK_REQD, AUTH_ERR], "{said:?}");
    assert_eq!(host.directory().counts().password_changes, 0);
}

/// Himmelblau GHSA-6gp8, authd CVE-2024-9312: an id of the system's.
#[test]
fn nobody_logs_in_as_an_entry_with_an_id_of_the_system() {
    let ids = [0, 1, 999, 61_184, 65_534, 65_535];
    let users = ids
        .iter()
        .map(|id| User::new(&format!("user{id}")).uid(*id).gid(20_001).password("a secret"));
    let host = host_with(people().people(users)).start();
    for id in ids {
        let said = probe(&host, &format!("user{id}"), &["answer=a secret", "auth", "account"]);
        assert_eq!(said.codes, [USER_UNKNOWN; 2], "{id}");
    }
}

/// The directory has no say about root, whatever it holds.
#[test]
fn an_entry_called_root_is_nobody() {
    let root = User::new("root").uid(10_009).gid(20_001).password("a secret");
    let mut host = host_with(people().user(root)).start();
    let said = probe(&host, "root", &["answer=a secret", "auth", "account"]);
    assert_eq!(said.codes, [USER_UNKNOWN; 2]);
    assert_eq!(host.directory().counts().binds, 0);
}

/// SSSD CVE-2018-16838, winbind CVE-2012-6150.
#[test]
fn a_rule_of_unknown_groups_alone_denies_everybody() {
    let rules = "[login]\nallow_groups = [\"gone\", \"never-was\"]";
    let host = host_with(people()).configuration(rules).start();
    for (name, answer) in [("alice", ANSWER_OLD), ("bob", "answer=bob's secret")] {
        let said = probe(&host, name, &[answer, "auth", "account"]);
        assert_eq!(said.codes, [SUCCESS, PERM_DENIED]);
    }
}

/// The same: a rule that can't be checked because of an outage.
#[test]
fn a_rule_that_cannot_be_checked_lets_nobody_in() {
    let mut host = host_with(people()).configuration("[login]\nallow_groups = [\"crew\"]").start();
    assert_eq!(probe(&host, "alice", &["account"]).codes, [SUCCESS]);
    host.directory().stop();
    assert_eq!(probe(&host, "alice", &["account"]).codes, [AUTHINFO_UNAVAIL]);
}

/// Himmelblau GHSA-p989: secrets in debug logs. Each kind of password goes
/// through the daemon at its most talkative level, and through the module's `debug`.
#[test]
fn no_level_of_the_log_shows_a_password() {
    let stack = pam::STACK.replace("pam_ldap.so", "pam_ldap.so debug");
    let reset = "reset_dn = \"cn=resetter,dc=example,dc=org\"\nreset_password_file = \"/etc/rollcall.reset\"";
    let policy = Policy::new().min_length(12).must_change_after_reset();
    let mut host = host_with(people().policy(policy).access_by_anonymous(false))
        .configuration(reset)
        .file("/etc/pam.d/alone", &stack)
        .start();
    host.daemon().stop();
    host.daemon().start_with(&["--log-level", "trace"]);
    let (wrong, first, second, short) =
        ("Xwrong1X", "Xfirst-passwordX", "Xsecond-passwordX", "Xtiny");
    assert_eq!(go(&host, &[OLD], &["auth", "account"]), [SUCCESS; 2]);
    assert_eq!(go(&host, &[wrong], &["auth"]), [AUTH_ERR]);
    assert_eq!(go(&host, &[OLD, short, short], &["change-expired"]), [pam::AUTHTOK_ERR]);
    assert_eq!(go(&host, &[first, first], &["change"]), [SUCCESS]);
    // slapd leaves it to whoever resets a password to demand another one.
    host.directory().ldapmodify(&format!(
        "dn: uid=alice,ou=people,{BASE}\nchangetype: modify\nreplace: pwdReset\npwdReset: TRUE\n"
    ));
    let phases = ["auth", "account", "change-expired"];
    assert_eq!(go(&host, &[first, second, second], &phases), [SUCCESS, NEW_AUTHTOK_REQD, SUCCESS]);
    host.directory().stop();
    assert_eq!(go(&host, &[second], &["auth"]), [AUTHINFO_UNAVAIL]);
    host.daemon().stop();
    let log = host.log().join("\n");
    assert!(log.contains("DEBUG") && log.contains("alice"), "{log}");
    let reader = harness::READER.1;
    for secret in [OLD, wrong, first, second, short, reader, harness::RESETTER.1] {
        assert!(!log.contains(secret), "{secret} is in the log:\n{log}");
    }
}

fn go(host: &Host, answers: &[&str], phases: &[&str]) -> Vec<i32> {
    let answers: Vec<_> = answers.iter().map(|text| format!("answer={text}")).collect();
    let answers = answers.iter().map(String::as_str);
    let words: Vec<_> = answers.chain(phases.iter().copied()).collect();
    probe(host, "alice", &words).codes
}

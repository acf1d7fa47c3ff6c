//! Passwords: checked, changed and reset, with libpam's exact codes.

mod pam;

use harness::{
    BASE, Directory, DirectoryBuilder, Host, HostBuilder, PATIENCE, Policy, RESETTER, User,
};
use pam::{
    AUTH_ERR, AUTHINFO_UNAVAIL, AUTHTOK_ERR, PERM_DENIED, SUCCESS, TRY_AGAIN, USER_UNKNOWN, knows,
    probe, probe_as, probe_service,
};

const OLD: &str = "alice's secret";
const NEW: &str = "another secret";
const ANSWER_OLD: &str = "answer=alice's secret";
const ANSWER_NEW: &str = "answer=another secret";
const BOBS: &str = "bob's secret";

fn alice() -> User {
    User::new("alice").uid(10_001).gid(20_001).password(OLD)
}

fn people() -> DirectoryBuilder {
    let bob = User::new("bob").uid(10_002).gid(20_001).password(BOBS);
    Directory::new().user(alice()).user(bob).group("crew", 20_001, [])
}

fn host_with(directory: DirectoryBuilder) -> HostBuilder {
    pam::with_probe(Host::new().directory(directory).local_user("lou", 2001, "lou's secret"))
}

fn host() -> Host {
    host_with(people()).start()
}

/// A host whose root may reset passwords.
fn resetting_host(directory: DirectoryBuilder) -> Host {
    let reset =
        format!("reset_dn = {:?}\nreset_password_file = \"/etc/rollcall.reset\"", RESETTER.0);
    host_with(directory).configuration(&reset).start()
}

// --- checking ---------------------------------------------------------------

#[test]
fn the_right_password_is_success_and_a_wrong_one_an_authentication_error() {
    let host = host();
    assert_eq!(probe(&host, "alice", &[ANSWER_OLD, "auth", "account"]).codes, [SUCCESS, SUCCESS]);
    assert_eq!(probe(&host, "alice", &["answer=wrong", "auth"]).codes, [AUTH_ERR]);
}

#[test]
fn another_users_password_is_a_wrong_one() {
    assert_eq!(probe(&host(), "alice", &["answer=bob's secret", "auth"]).codes, [AUTH_ERR]);
}

/// Simple binds take any bytes; a password isn't a filter, a DN or a line.
#[test]
fn a_password_of_odd_characters_is_right() {
    for odd in ["*)(uid=*", "\\2a\\00", " leading and trailing ", "pass:word,=+\"<>;#", "Grüße 🔑"]
    {
        let host = host_with(Directory::new().user(alice().password(odd))).start();
        assert!(knows(&host, "alice", odd), "{odd:?}");
    }
}

#[test]
fn a_user_without_a_password_knows_none() {
    let nopass = User::new("nora").uid(10_005).gid(20_001);
    let host = host_with(people().user(nopass)).start();
    for answer in ["answer=", "answer=x"] {
        assert_eq!(probe(&host, "nora", &[answer, "auth"]).codes, [AUTH_ERR]);
    }
}

#[test]
fn whoever_is_not_in_the_directory_is_unknown_to_it_however_the_name_is_written() {
    let host = host();
    for name in ["nobody-here", "lou", "*", "alice)(uid=bob", "al*", "ALICE", "root"] {
        let said = probe(&host, name, &[ANSWER_OLD, "auth", "account"]);
        assert_eq!(said.codes, [USER_UNKNOWN, USER_UNKNOWN], "{name:?}");
    }
}

#[test]
fn a_screen_locker_checks_its_users_password_without_root() {
    let host = host();
    let said = probe_as(&host, "alice", "alice", &[ANSWER_OLD, "auth", "account"]);
    assert_eq!(said.codes, [SUCCESS, SUCCESS]);
    assert_eq!(probe_as(&host, "alice", "alice", &["answer=wrong", "auth"]).codes, [AUTH_ERR]);
}

#[test]
fn an_outage_is_told_in_every_phase() {
    let mut host = host();
    host.directory().stop();
    let said = probe(&host, "alice", &[ANSWER_OLD, "auth", "account", "change-expired"]);
    assert_eq!(said.codes, [AUTHINFO_UNAVAIL, AUTHINFO_UNAVAIL, TRY_AGAIN]);
    host.wait_for_log("service unavailable", PATIENCE);
}

#[test]
fn a_directory_that_stalls_is_an_outage() {
    let mut host = host_with(people()).configuration("[timeouts]\nlogin = 2").start();
    assert!(knows(&host, "alice", OLD));
    host.directory().freeze();
    let said = probe(&host, "alice", &[ANSWER_OLD, "auth"]);
    host.directory().thaw();
    assert_eq!(said.codes, [AUTHINFO_UNAVAIL]);
}

#[test]
fn a_daemon_that_was_killed_is_an_outage() {
    let mut host = host();
    host.daemon().kill();
    assert_eq!(probe(&host, "alice", &[ANSWER_OLD, "auth"]).codes, [AUTHINFO_UNAVAIL]);
}

#[test]
fn users_get_in_again_when_the_directory_is_back() {
    let mut host = host();
    host.directory().kill();
    assert_eq!(probe(&host, "alice", &[ANSWER_OLD, "auth"]).codes, [AUTHINFO_UNAVAIL]);
    host.directory().start();
    harness::until(PATIENCE, || {
        (probe(&host, "alice", &[ANSWER_OLD, "auth"]).codes == [SUCCESS]).then_some(())
    })
    .expect("alice gets in again");
}

// --- options of the stack ---------------------------------------------------

fn optioned(options: &str) -> Host {
    let line = |phase: &str| format!("{phase} required pam_ldap.so {options}\n");
    let then = |phase: &str| format!("{phase} required pam_permit.so\n");
    let stack: String =
        ["auth", "account"].iter().map(|phase| line(phase) + &then(phase)).collect();
    host_with(people()).file("/etc/pam.d/optioned", &stack).start()
}

fn optioned_codes(host: &Host, name: &str) -> Vec<i32> {
    probe_service(host, "optioned", name, &["answer=wrong", "auth", "account"]).codes
}

#[test]
fn ignore_unknown_user_is_about_unknown_users_only() {
    let host = optioned("ignore_unknown_user");
    assert_eq!(optioned_codes(&host, "lou"), [SUCCESS, SUCCESS]);
    assert_eq!(optioned_codes(&host, "alice"), [AUTH_ERR, SUCCESS]);
}

#[test]
fn ignore_authinfo_unavail_is_about_outages_only() {
    let mut host = optioned("ignore_authinfo_unavail");
    assert_eq!(optioned_codes(&host, "alice"), [AUTH_ERR, SUCCESS]);
    assert_eq!(optioned_codes(&host, "lou"), [USER_UNKNOWN, USER_UNKNOWN]);
    host.directory().stop();
    assert_eq!(optioned_codes(&host, "alice"), [SUCCESS, SUCCESS]);
}

#[test]
fn minimum_uid_leaves_lower_ids_to_other_modules() {
    let host = optioned("minimum_uid=10002");
    assert_eq!(optioned_codes(&host, "alice"), [SUCCESS, SUCCESS]);
    assert_eq!(optioned_codes(&host, "bob"), [AUTH_ERR, SUCCESS]);
}

#[test]
fn a_minimum_uid_that_is_no_number_lets_nobody_in() {
    let host = optioned("minimum_uid=many");
    assert_eq!(optioned_codes(&host, "alice"), [AUTHINFO_UNAVAIL; 2]);
    host.wait_for_log("minimum_uid=many", PATIENCE);
}

#[test]
fn an_unknown_option_is_logged_and_has_no_effect() {
    let host = optioned("nullok");
    assert_eq!(optioned_codes(&host, "alice"), [AUTH_ERR, SUCCESS]);
    host.wait_for_log("unknown option \"nullok\"", PATIENCE);
}

#[test]
fn no_warn_keeps_texts_from_the_user() {
    let host = host_with(
        people().user(User::new("dora").uid(10_006).gid(20_001).attribute("shadowExpire", "18000")),
    )
    .file("/etc/pam.d/quiet", "account required pam_ldap.so no_warn\n")
    .start();
    assert!(probe_service(&host, "quiet", "dora", &["account"]).heard.is_empty());
    assert!(!probe(&host, "dora", &["account"]).heard.is_empty());
}

// --- changing ---------------------------------------------------------------

#[test]
fn passwd_shows_what_it_asks_and_that_it_is_done() {
    let host = host();
    let change = host.login().passwd("alice", OLD, NEW);
    assert!(change.success, "{}", change.transcript);
    for prompt in ["Current password: ", "New password: ", "Retype new password: "] {
        assert!(change.transcript.contains(prompt), "{}", change.transcript);
    }
    assert!(knows(&host, "alice", NEW) && !knows(&host, "alice", OLD));
}

#[test]
fn passwd_says_that_the_old_password_is_wrong() {
    let mut host = host();
    let change = host.login().passwd("alice", "wrong", NEW);
    assert!(!change.success);
    assert!(change.transcript.contains("The current password is wrong."), "{}", change.transcript);
    assert_eq!(host.directory().counts().password_changes, 0);
}

#[test]
fn two_new_passwords_that_differ_change_nothing() {
    let mut host = host();
    let words = [ANSWER_OLD, ANSWER_NEW, "answer=a third secret", "change-expired"];
    let said = probe(&host, "alice", &words);
    assert_eq!(said.codes, [AUTHTOK_ERR]);
    assert!(said.has("The passwords don't match."), "{said:?}");
    assert_eq!(host.directory().counts().password_changes, 0);
}

#[test]
fn an_empty_new_password_changes_nothing() {
    let mut host = host();
    let said = probe(&host, "alice", &[ANSWER_OLD, "answer=", "answer=", "change-expired"]);
    assert_eq!(said.codes, [AUTHTOK_ERR]);
    assert_eq!(host.directory().counts().password_changes, 0);
}

#[test]
fn passwd_shows_why_a_password_is_too_short() {
    let host = host_with(people().policy(Policy::new().min_length(12))).start();
    let change = host.login().passwd("alice", OLD, "short");
    assert!(!change.success);
    assert!(change.transcript.contains("The new password is too short."), "{}", change.transcript);
    assert!(knows(&host, "alice", OLD));
}

#[test]
fn passwd_shows_that_a_password_was_used_before() {
    let host = host_with(people().policy(Policy::new().history(3))).start();
    assert!(host.login().passwd("alice", OLD, NEW).success);
    let change = host.login().passwd("alice", NEW, OLD);
    assert!(!change.success);
    assert!(change.transcript.contains("was used before"), "{}", change.transcript);
    assert!(knows(&host, "alice", NEW));
}

#[test]
fn passwd_shows_that_a_password_is_too_young() {
    let policy = Policy::new().with("pwdMinAge", 86_400);
    let directory = Directory::new().user(alice().password_age(60)).policy(policy);
    let host = host_with(directory).start();
    let change = host.login().passwd("alice", OLD, NEW);
    assert!(!change.success);
    assert!(change.transcript.contains("changed too recently"), "{}", change.transcript);
}

#[test]
fn passwd_shows_that_a_directory_lets_nobody_change_passwords() {
    let mut host = host();
    host.directory().ldapmodify(&format!(
        "dn: cn=default,ou=policies,{BASE}\nchangetype: modify\n\
         replace: pwdAllowUserChange\npwdAllowUserChange: FALSE\n"
    ));
    let change = host.login().passwd("alice", OLD, NEW);
    assert!(!change.success);
    assert!(
        change.transcript.contains("You may not change your password."),
        "{}",
        change.transcript
    );
}

#[test]
fn passwd_says_that_the_directory_cannot_be_reached() {
    let mut host = host();
    host.run(["getent", "passwd", "alice"]).success();
    host.directory().stop();
    let said = probe(&host, "alice", &[ANSWER_OLD, "change-expired"]);
    assert_eq!(said.codes, [TRY_AGAIN]);
    assert_eq!(said.heard, ["The directory can't be reached; the password was not changed."]);
}

#[test]
fn a_change_dates_the_shadow_entry() {
    let user = alice().attribute("shadowLastChange", "18000");
    let host = host_with(Directory::new().user(user)).start();
    assert!(host.login().passwd("alice", OLD, NEW).success);
    let line = host.run(["getent", "shadow", "alice"]).success();
    let day: u64 = line.split(':').nth(2).and_then(|day| day.parse().ok()).expect("a day");
    assert!(day > 20_000, "{line}");
}

#[test]
fn a_local_user_changes_a_local_password_during_an_outage() {
    let mut host = host();
    host.directory().stop();
    let change = host.login().passwd("lou", "lou's secret", "Quite another 1");
    assert!(change.success, "{}\n{}", change.transcript, host.log().join("\n"));
}

// --- resetting --------------------------------------------------------------

#[test]
fn root_resets_nothing_without_an_identity_that_may() {
    let mut host = host();
    let said = probe(&host, "alice", &[ANSWER_NEW, ANSWER_NEW, "change"]);
    assert_eq!(said.codes, [PERM_DENIED]);
    assert!(said.has("not configured to reset passwords"), "{said:?}");
    assert_eq!(host.directory().counts().password_changes, 0);
    assert!(!host.login().reset("alice", NEW).success);
    assert!(knows(&host, "alice", OLD));
}

#[test]
fn root_resets_a_password_without_the_old_one() {
    let host = resetting_host(people());
    let reset = host.login().reset("alice", NEW);
    assert!(reset.success, "{}\n{}", reset.transcript, host.log().join("\n"));
    assert!(!reset.transcript.contains("Current"), "{}", reset.transcript);
    assert!(knows(&host, "alice", NEW) && !knows(&host, "alice", OLD));
}

#[test]
fn a_user_resets_nobodys_password() {
    let host = resetting_host(people());
    let said = probe_as(&host, "bob", "alice", &["answer=wrong", ANSWER_NEW, ANSWER_NEW, "change"]);
    assert_eq!(said.codes, [AUTH_ERR]);
    assert!(knows(&host, "alice", OLD));
}

#[test]
fn an_identity_that_may_not_reset_passwords_resets_none() {
    let reset = "reset_dn = \"cn=reader,dc=example,dc=org\"\nreset_password_file = \"/etc/rollcall.secret\"";
    let host = host_with(people()).configuration(reset).start();
    let said = probe(&host, "alice", &[ANSWER_NEW, ANSWER_NEW, "change"]);
    assert_eq!(said.codes, [PERM_DENIED], "{}", host.log().join("\n"));
    assert!(knows(&host, "alice", OLD));
}

/// What a user is told then: "An administrator has to set a new one."
#[test]
fn a_password_that_was_over_is_good_again_after_a_reset() {
    let user = alice()
        .attribute("shadowLastChange", "18000")
        .attribute("shadowMax", "90")
        .attribute("shadowInactive", "30");
    let host = resetting_host(Directory::new().user(user));
    let codes = probe(&host, "alice", &[ANSWER_OLD, "auth", "account"]).codes;
    assert_eq!(codes, [SUCCESS, pam::AUTHTOK_EXPIRED]);
    assert!(host.login().reset("alice", NEW).success);
    assert_eq!(probe(&host, "alice", &[ANSWER_NEW, "auth", "account"]).codes, [SUCCESS; 2]);
}

// --- becoming somebody else -------------------------------------------------

#[test]
fn su_to_another_user_of_the_directory_needs_that_users_password() {
    let host = host();
    let su = host.login().su("bob", "alice", OLD);
    assert!(su.success, "{}\n{}", su.transcript, host.log().join("\n"));
    assert!(!host.login().su("bob", "alice", BOBS).success);
}

#[test]
fn root_becomes_a_user_of_the_directory_without_a_password() {
    let host = host();
    assert_eq!(host.run(["su", "alice", "-c", "id -un"]).success(), "alice\n");
}

//! Who may log in: `[login]` of the configuration.

mod pam;

use harness::{BASE, Directory, DirectoryBuilder, Host, HostBuilder, PATIENCE, User};
use pam::{PERM_DENIED, SUCCESS, USER_UNKNOWN, probe};

const PASSWORD: &str = "a long secret";
const ANSWER: &str = "answer=a long secret";

fn user(name: &str, uid: u32, gid: u32) -> User {
    User::new(name).uid(uid).gid(gid).password(PASSWORD)
}

/// alice is in `crew` by her gid alone, bob by the group's list, carol isn't.
fn people() -> DirectoryBuilder {
    Directory::new()
        .user(user("alice", 10_001, 20_001))
        .user(user("bob", 10_002, 20_002))
        .user(user("carol", 10_003, 20_002))
        .group("crew", 20_001, ["bob"])
        .group("visitors", 20_002, [])
}

fn host_with(rules: &str) -> HostBuilder {
    let builder = Host::new().directory(people()).local_user("lou", 2001, "lou's secret");
    pam::with_probe(builder.configuration(&format!("[login]\n{rules}")))
}

fn host(rules: &str) -> Host {
    host_with(rules).start()
}

/// Whether a user who knows the password may log in.
#[track_caller]
fn may(host: &Host, name: &str) -> bool {
    let said = probe(host, name, &[ANSWER, "auth", "account"]);
    match said.codes[..] {
        [SUCCESS, SUCCESS] => true,
        [SUCCESS, PERM_DENIED] => false,
        _ => panic!("{said:?}\n{}", host.log().join("\n")),
    }
}

#[track_caller]
fn assert_only(host: &Host, allowed: &[&str]) {
    for name in ["alice", "bob", "carol"] {
        assert_eq!(may(host, name), allowed.contains(&name), "{name}");
    }
}

#[test]
fn only_the_allowed_users_may_log_in() {
    assert_only(&host("allow_users = [\"carol\"]"), &["carol"]);
}

#[test]
fn a_primary_group_counts_as_much_as_a_membership() {
    assert_only(&host("allow_groups = [\"crew\"]"), &["alice", "bob"]);
}

#[test]
fn allowed_users_and_groups_add_to_each_other() {
    let rules = "allow_users = [\"carol\"]\nallow_groups = [\"crew\"]";
    assert_only(&host(rules), &["alice", "bob", "carol"]);
}

#[test]
fn a_filter_takes_away_from_the_lists_and_adds_nothing() {
    let rules = "allow_groups = [\"crew\"]\nfilter = \"(|(uid=alice)(uid=carol))\"";
    assert_only(&host(rules), &["alice"]);
}

#[test]
fn a_filter_alone_is_a_rule() {
    assert_only(&host("filter = \"(uidNumber>=10002)\""), &["bob", "carol"]);
}

/// A condition that a server can't evaluate is Undefined (RFC 4511 section
/// 4.5.1.7), with a "not" around it as well.
#[test]
fn a_filter_that_the_server_cannot_evaluate_lets_nobody_in() {
    assert_only(&host("filter = \"(!(noSuchAttribute=x))\""), &[]);
}

/// SSSD CVE-2018-16838, winbind CVE-2012-6150.
#[test]
fn an_unknown_group_beside_a_known_one_adds_nobody() {
    assert_only(&host("allow_groups = [\"no-such-group\", \"crew\"]"), &["alice", "bob"]);
}

#[test]
fn a_group_whose_name_differs_in_case_is_another_one() {
    assert_only(&host("allow_groups = [\"Crew\"]"), &[]);
}

/// An entry of that name whose gid isn't acceptable is no group here, and being
/// in it is no membership.
#[test]
fn a_group_with_an_id_of_the_system_lets_nobody_in() {
    let directory = people().group("wheelie", 0, ["alice"]);
    let builder = Host::new().directory(directory);
    let builder = builder.configuration("[login]\nallow_groups = [\"wheelie\"]");
    assert_only(&pam::with_probe(builder).start(), &[]);
}

#[test]
fn the_user_and_the_log_are_told_of_a_denial() {
    let host = host("allow_users = [\"carol\"]");
    let said = probe(&host, "alice", &[ANSWER, "rhost=10.9.8.7", "auth", "account"]);
    assert!(said.has("You may not log in to this host."), "{said:?}");
    let line = host.wait_for_log("denied by an access rule", PATIENCE);
    assert!(line.contains("alice") && line.contains("10.9.8.7"), "{line}");
}

#[test]
fn a_denied_user_stays_out_over_ssh_and_su() {
    let host = host_with("allow_groups = [\"crew\"]").sshd().start();
    assert!(!host.login().ssh("carol", PASSWORD).success);
    assert!(!host.login().su("lou", "carol", PASSWORD).success);
    let login = host.login().ssh("alice", PASSWORD);
    assert!(login.success, "{}\n{}", login.transcript, host.log().join("\n"));
}

/// An ssh key asks for no password; the account phase decides all the same.
#[test]
fn a_denied_user_with_a_key_stays_out() {
    let host = host_with("allow_groups = [\"crew\"]").sshd().start();
    assert!(key_login(&host, "bob"));
    assert!(!key_login(&host, "carol"));
}

#[test]
fn a_login_with_a_key_binds_as_nobody() {
    let mut host = host_with("allow_groups = [\"crew\"]").sshd().start();
    give_key(&host, "bob");
    let before = host.directory().counts();
    assert!(key_login(&host, "bob"));
    let counts = host.directory().counts() - before;
    assert_eq!(counts.binds, 0, "{}", host.directory().log());
}

#[test]
fn an_account_locked_for_ever_keeps_a_user_with_a_key_out() {
    let locked = user("dora", 10_004, 20_001).attribute("pwdAccountLockedTime", "000001010000Z");
    let directory = people().user(locked);
    let host = pam::with_probe(Host::new().directory(directory)).sshd().start();
    assert!(key_login(&host, "bob"));
    assert!(!key_login(&host, "dora"));
}

#[test]
fn an_outage_keeps_a_user_with_a_key_out() {
    let mut host = host_with("allow_groups = [\"crew\"]").sshd().start();
    assert!(key_login(&host, "bob"));
    host.directory().stop();
    assert!(!login_with_key(&host, "bob"));
}

/// A rule is for users of the directory; others aren't found there.
#[test]
fn a_rule_says_nothing_about_local_users() {
    let host = host_with("allow_groups = [\"crew\"]").sshd().start();
    assert_eq!(probe(&host, "lou", &["account"]).codes, [USER_UNKNOWN]);
    let login = host.login().ssh("lou", "lou's secret");
    assert!(login.success, "{}\n{}", login.transcript, host.log().join("\n"));
}

#[test]
fn a_user_who_joins_an_allowed_group_gets_in_at_once() {
    let mut host = host("allow_groups = [\"crew\"]");
    assert!(!may(&host, "carol"));
    host.directory().ldapmodify(&format!(
        "dn: cn=crew,ou=groups,{BASE}\nchangetype: modify\nadd: memberUid\nmemberUid: carol\n"
    ));
    assert!(may(&host, "carol"));
}

#[test]
fn a_rule_holds_from_the_reload_on() {
    let mut host = host("allow_users = [\"carol\"]");
    assert!(!may(&host, "bob"));
    let path = "/etc/rollcall.toml";
    let text = std::fs::read_to_string(host.path(path)).expect("the harness has written it");
    host.write(path, &text.replace("carol", "bob"));
    host.daemon().reload();
    harness::until(PATIENCE, || may(&host, "bob").then_some(())).expect("bob may log in");
    assert!(!may(&host, "carol"));
}

/// Puts a key of root's into the user's hands.
fn give_key(host: &Host, name: &str) {
    let script = r#"set -e
        [ -e /root/key ] || ssh-keygen -q -t ed25519 -N "" -f /root/key
        install -d -o "$1" -m 700 "/home/$1" "/home/$1/.ssh"
        install -o "$1" -m 600 /root/key.pub "/home/$1/.ssh/authorized_keys""#;
    host.run(["sh", "-c", script, "sh", name]).success();
}

fn key_login(host: &Host, name: &str) -> bool {
    give_key(host, name);
    login_with_key(host, name)
}

fn login_with_key(host: &Host, name: &str) -> bool {
    let rest = ["-i", "/root/key", "echo I am $(id -un)"];
    let mut terminal = host.login().ssh_terminal(name, "publickey", &rest);
    let status = terminal.wait();
    status == Some(0) && terminal.transcript().contains(&format!("I am {name}"))
}

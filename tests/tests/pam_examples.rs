//! The stacks that Rollcall ships, with options that their administrator adds.

mod pam;

use harness::{Directory, Host, User};
use pam::{PERM_DENIED, SUCCESS, probe_service};

const ACCOUNT: &str = include_str!("../../packaging/pam/examples/common-account");

/// Only bob may log in. The last module, `pam_unix`, would let everybody in.
fn host(options: &str) -> Host {
    let stack = ACCOUNT.replace("pam_ldap.so", &format!("pam_ldap.so {options}"));
    let user = |name, uid| User::new(name).uid(uid).gid(20_001);
    let directory = Directory::new()
        .user(user("alice", 10_001))
        .user(user("bob", 10_002))
        .user(user("carol", 10_003))
        .group("crew", 20_001, []);
    Host::new()
        .directory(directory)
        .local_user("lou", 2001, "lou's secret")
        .configuration("[login]\nallow_users = [\"bob\"]")
        .file("/etc/pam.d/shipped", &stack)
        .start()
}

#[track_caller]
fn codes(host: &Host, names: [&str; 4]) -> [i32; 4] {
    names.map(|name| match probe_service(host, "shipped", name, &["account"]).codes[..] {
        [code] => code,
        ref codes => panic!("{codes:?}"),
    })
}

const ALL: [&str; 4] = ["alice", "bob", "carol", "lou"];

#[test]
fn the_directory_alone_decides_about_its_users() {
    let host = host("");
    assert_eq!(codes(&host, ALL), [PERM_DENIED, SUCCESS, PERM_DENIED, SUCCESS]);
}

#[test]
fn whom_an_option_passes_over_is_left_to_the_next_module() {
    let host = host("minimum_uid=10002");
    assert_eq!(codes(&host, ALL), [SUCCESS, SUCCESS, PERM_DENIED, SUCCESS]);
}

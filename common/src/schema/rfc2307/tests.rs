use std::path::Path;

use super::*;
use crate::config::Config;
use crate::schema;

fn schema_of(more: &str) -> Box<dyn Schema> {
    let text = format!("[directory]\nuri = \"ldap://localhost\"\nbase = \"dc=example\"\n{more}");
    let config = Config::parse(&text, Path::new("test.toml")).unwrap();
    let Config { ids, home, shell, .. } = config;
    schema::new(&config.directories[0], Rules { ids, home, shell })
}

const ALICE: &[(&str, &[&str])] = &[
    ("uid", &["alice"]),
    ("uidNumber", &["10001"]),
    ("gidNumber", &["20001"]),
    ("cn", &["Alice Example"]),
    ("homeDirectory", &["/home/alice"]),
    ("loginShell", &["/bin/bash"]),
];

/// Alice with some attributes put in the place of hers.
fn alice_with(changes: &[(&str, &[&str])]) -> Entry {
    let kept = ALICE.iter().filter(|(name, _)| !changes.iter().any(|(n, _)| n == name));
    let all: Vec<_> = kept.chain(changes).copied().collect();
    Entry::of("uid=alice,dc=example", &all)
}

fn renamed(mut entry: Entry, dn: &str) -> Entry {
    entry.dn = dn.into();
    entry
}

fn user(entry: &Entry) -> Result<User, Rejected> {
    schema_of("").user(entry, "example.org")
}

#[test]
fn an_entry_becomes_a_user() {
    let alice = user(&alice_with(&[])).unwrap();
    assert_eq!(alice.name.as_str(), "alice");
    assert_eq!((alice.uid.get(), alice.gid.get()), (10001, 20001));
    assert_eq!(alice.gecos.as_str(), "Alice Example", "cn where there is no gecos");
    assert_eq!((alice.home.as_str(), alice.shell.as_str()), ("/home/alice", "/bin/bash"));
}

#[test]
fn attribute_names_know_no_case() {
    let entry = Entry::of(
        "uid=alice,dc=example",
        &[("UID", &["alice"]), ("UIDNUMBER", &["10001"]), ("gidnumber", &["20001"])],
    );
    assert_eq!(user(&entry).unwrap().uid.get(), 10001);
}

/// SSSD CVE-2019-3811: a missing home returned as `/`.
#[test]
fn a_missing_or_empty_home_is_never_the_root_folder() {
    for home in [&[][..], &[""], &["relative"], &["/a:b"]] {
        let alice = user(&alice_with(&[("homeDirectory", home)])).unwrap();
        assert_eq!(alice.home.as_str(), "/nonexistent", "{home:?}");
    }
}

#[test]
fn an_empty_shell_is_the_standard_one() {
    assert_eq!(user(&alice_with(&[("loginShell", &[""])])).unwrap().shell.as_str(), "/bin/sh");
}

#[test]
fn a_shell_that_cannot_be_used_lets_nobody_in() {
    for shell in ["nologin", "/bin/a:b", "false"] {
        let alice = user(&alice_with(&[("loginShell", &[shell])])).unwrap();
        assert_eq!(alice.shell.as_str(), "/usr/sbin/nologin", "{shell:?}");
    }
}

#[test]
fn an_override_that_cannot_be_filled_in_does_not_fall_back_to_the_entry() {
    let schema = schema_of("[home]\noverride = \"/net/%d/%u\"\n");
    let alice = schema.user(&alice_with(&[]), "").unwrap();
    assert_eq!(alice.home.as_str(), "/nonexistent");
}

#[test]
fn a_home_comes_from_the_override_before_the_entry_before_the_default() {
    let schema = schema_of("[home]\noverride = \"/net/%d/%u\"\n[shell]\ndefault = \"/bin/zsh\"\n");
    let alice = schema.user(&alice_with(&[("loginShell", &[])]), "example.org").unwrap();
    assert_eq!(alice.home.as_str(), "/net/example.org/alice");
    assert_eq!(alice.shell.as_str(), "/bin/zsh");
}

/// Himmelblau GHSA-6gp8, authd CVE-2024-9312
#[test]
fn ids_outside_the_range_or_of_the_system_are_refused() {
    for id in ["0", "-1", "999", "65534", "62000", "4294967295", "4294967296", "1e4", "", " 10001"]
    {
        assert!(user(&alice_with(&[("uidNumber", &[id])])).is_err(), "uid {id:?}");
        assert!(user(&alice_with(&[("gidNumber", &[id])])).is_err(), "gid {id:?}");
    }
    assert!(user(&alice_with(&[("uidNumber", &["3000000000"])])).is_ok(), "above 2147483647");
}

/// Himmelblau GHSA-x259
#[test]
fn colons_and_newlines_never_reach_a_passwd_line() {
    assert!(user(&alice_with(&[("uid", &["a:b"])])).is_err());
    let alice = user(&alice_with(&[("gecos", &["x:0:0\n"])])).unwrap();
    assert_eq!(alice.gecos.as_str(), "x 0 0 ");
}

#[test]
fn of_several_names_the_one_in_the_rdn_is_the_main_one() {
    let entry = alice_with(&[("uid", &["al", "alice"])]);
    assert_eq!(user(&entry).unwrap().name.as_str(), "alice");
    let entry = renamed(entry, "cn=Alice+uid=alice,dc=example");
    assert_eq!(user(&entry).unwrap().name.as_str(), "alice");
    let entry = renamed(entry, "cn=Alice,dc=example");
    assert_eq!(user(&entry).unwrap().name.as_str(), "al");
}

#[test]
fn a_name_is_compared_with_its_case() {
    let schema = schema_of("");
    let name = |text| Name::parse(text).unwrap();
    let entry = alice_with(&[("uid", &["alice", "Al"])]);
    assert!(schema.has_name(&entry, &name("alice")) && schema.has_name(&entry, &name("Al")));
    assert!(!schema.has_name(&entry, &name("ALICE")));
}

#[test]
fn a_member_that_is_no_name_is_left_out() {
    let entry = Entry::of(
        "cn=staff,dc=example",
        &[
            ("cn", &["staff"]),
            ("gidNumber", &["20001"]),
            ("memberUid", &["alice", "", "a:b", "bob"]),
        ],
    );
    let group = schema_of("").group(&entry).unwrap();
    assert_eq!(group.members.iter().collect::<Vec<_>>(), ["alice", "bob"]);
}

#[test]
fn searches_ask_only_for_what_is_needed() {
    let schema = schema_of("");
    assert!(!schema.user_attributes().contains(&"userPassword"));
    assert!(!schema.shadow_attributes().contains(&"userPassword"));
    assert!(!schema.gid_attributes().contains(&"memberUid"), "gids come without member lists");
}

#[test]
fn a_configured_filter_and_names_are_in_every_filter() {
    let schema = schema_of(
        "[directory.users]\nfilter = \"(l=Oslo)\"\n[directory.users.attributes]\nname = \"sAMAccountName\"\n",
    );
    let filter = schema.user_by_name(&Name::parse("t(u)ser").unwrap());
    assert_eq!(
        filter.as_str(),
        "(&(objectClass=posixAccount)(sAMAccountName=t\\28u\\29ser)(l=Oslo))"
    );
    assert_eq!(schema.users().as_str(), "(&(objectClass=posixAccount)(l=Oslo))");
}

#[test]
fn shadow_days_that_say_nothing_are_absent() {
    let entry = alice_with(&[
        ("shadowLastChange", &["19000"]),
        ("shadowExpire", &["-1"]),
        ("shadowMax", &[""]),
    ]);
    let shadow = schema_of("").shadow(&entry).unwrap();
    assert_eq!((shadow.last_change, shadow.expire, shadow.max), (Some(19000), None, None));
}

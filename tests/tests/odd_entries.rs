//! Entries as directories really have them.

#[macro_use]
mod modes;
mod probe;

use harness::{BASE, Directory, DirectoryBuilder, Host, User};
use modes::Mode;
use probe::{Running, UNAVAILABLE, ask, install, people};

fn host_with(mode: Mode, directory: DirectoryBuilder) -> Host {
    install(mode.start(Host::new().directory(directory)))
}

/// A host whose replica can't become complete.
fn limited_host(mode: Mode, directory: DirectoryBuilder) -> Host {
    install(mode.start_at_once(Host::new().directory(directory)))
}

/// What a first question leaves in a cache changes no answer.
#[track_caller]
fn ask_twice(host: &Host, command: &str) -> String {
    let first = ask(host, command);
    assert_eq!(ask(host, command), first, "{command:?}");
    first
}

/// The names that an enumeration gives, those of this machine left out.
fn enumerated(host: &Host) -> Vec<String> {
    let users = host.run(["getent", "-s", "ldap", "passwd"]).success();
    let mut names: Vec<_> =
        users.lines().map(|line| line.split(':').next().unwrap_or_default().to_owned()).collect();
    names.sort_unstable();
    names
}

/// A person whose name isn't in the DN.
fn odd_user(name: &str, cn: &str, uid: u32) -> String {
    format!(
        "dn: cn={cn},ou=people,{BASE}\nobjectClass: account\nobjectClass: posixAccount\n\
         objectClass: extensibleObject\nuid: {name}\ncn: {cn}\nuidNumber: {uid}\n\
         gidNumber: 20001\nhomeDirectory: /home/x\n"
    )
}

fn odd_group(name: &str, gid: u32) -> String {
    format!(
        "dn: gidNumber={gid},ou=groups,{BASE}\nobjectClass: posixGroup\ncn: {name}\n\
         gidNumber: {gid}\nmemberUid: t(u)ser\n"
    )
}

modes! { all:
    fn a_name_may_have_characters_that_filters_and_dns_use(mode: Mode) {
        let host = host_with(mode,
            Directory::new()
                .ldif(&odd_user("t(u)ser", "odd-1", 10_001))
                .ldif(&odd_user("usr\\001", "odd-2", 10_002))
                .ldif(&odd_user("a*b", "odd-3", 10_003))
                .ldif(&odd_group("my#group", 20_001))
                .ldif(&odd_group("Domain Users", 20_002)),
        );
        for (n, name) in ["t(u)ser", "usr\\001", "a*b"].into_iter().enumerate() {
            let start = format!("{name}:{}:", 10_001 + n);
            assert!(ask_twice(&host, &format!("user {name}")).starts_with(&start), "{name}");
            assert!(ask_twice(&host, &format!("uid {}", 10_001 + n)).starts_with(&start), "{name}");
        }
        assert_eq!(ask_twice(&host, "group my#group"), "my#group:20001:t(u)ser");
        assert_eq!(ask_twice(&host, "gid 20002"), "Domain Users:20002:t(u)ser");
        assert_eq!(ask_twice(&host, "groups t(u)ser"), "1 20001 20002");
        for other in ["user t*ser", "user a*", "user *", "user t\\28u\\29ser", "group my*"] {
            assert_eq!(ask_twice(&host, other), "none", "{other}");
        }
    }

    fn a_user_with_several_names_answers_to_each_with_the_one_in_the_dn(mode: Mode) {
        let entry = odd_user("carol\nuid: caro", "c", 10_003).replace("dn: cn=c,", "dn: uid=carol,");
        let host = host_with(mode, people().ldif(&entry));
        for command in ["user carol", "user caro", "uid 10003"] {
            let line = ask_twice(&host, command);
            assert!(line.starts_with("carol:10003:"), "{command}: {line}");
        }
        assert_eq!(enumerated(&host), ["alice", "bob", "carol"]);
    }

    fn names_that_differ_in_case_only_are_different(mode: Mode) {
        let host = host_with(mode,
            Directory::new()
                .ldif(&odd_user("dora", "lower", 10_001))
                .ldif(&odd_user("Dora", "upper", 10_002)),
        );
        assert!(ask_twice(&host, "user dora").starts_with("dora:10001:"));
        assert!(ask_twice(&host, "user Dora").starts_with("Dora:10002:"));
        assert_eq!(ask_twice(&host, "user DORA"), "none");
    }

    /// The same answer each time, and a line in the log for the administrator.
    fn one_of_two_users_with_the_same_id_is_taken_always(mode: Mode) {
        let host = host_with(mode, people().user(User::new("zoe").uid(10_001)));
        for _ in 0..5 {
            assert!(ask_twice(&host, "uid 10001").starts_with("alice:10001:"));
        }
        assert!(ask_twice(&host, "user zoe").starts_with("zoe:10001:"));
        host.wait_for_log("several entries of one name or id", harness::PATIENCE);
    }

    fn one_of_two_users_with_the_same_name_is_taken_always(mode: Mode) {
        let twice =
            people().ldif(&odd_user("eve", "one", 10_011)).ldif(&odd_user("eve", "two", 10_012));
        let host = host_with(mode, twice);
        let first = ask_twice(&host, "user eve");
        assert!(first.starts_with("eve:1001"), "{first}");
        for _ in 0..5 {
            assert_eq!(ask_twice(&host, "user eve"), first);
        }
    }

    fn an_id_above_2147483647_is_an_id(mode: Mode) {
        let high = people().user(User::new("high").uid(4_000_000_000).gid(3_000_000_000));
        let host = host_with(mode, high.group("high", 3_000_000_000, ["high"]));
        assert!(ask_twice(&host, "user high").starts_with("high:4000000000:3000000000:"));
        assert!(ask_twice(&host, "uid 4000000000").starts_with("high:"));
        assert_eq!(ask_twice(&host, "gid 3000000000"), "high:3000000000:high");
        assert_eq!(ask_twice(&host, "groups high"), "1 3000000000");
    }

    fn an_id_above_32_bits_is_no_user_and_harms_no_other(mode: Mode) {
        let entry = odd_user("giant", "giant", 1).replace("uidNumber: 1\n", "uidNumber: 4294968297\n");
        let host = host_with(mode, people().ldif(&entry));
        assert_eq!(ask_twice(&host, "user giant"), "none");
        assert_eq!(ask_twice(&host, "uid 1001"), "none");
        assert_eq!(enumerated(&host), ["alice", "bob"]);
    }

    /// SSSD CVE-2019-3811: a missing home was returned as `/`.
    fn an_empty_home_and_shell_are_replaced_by_harmless_ones(mode: Mode) {
        let host = host_with(mode, people().user(User::new("fay").uid(10_003).home("").shell("")));
        assert!(ask_twice(&host, "user fay").ends_with(":/nonexistent:/bin/sh"));
    }

    fn an_attribute_above_64_kib_harms_nobody(mode: Mode) {
        let long = "x".repeat(100_000);
        let host = host_with(mode, people().user(User::new("gus").uid(10_003).gecos(&long)));
        let line = ask_twice(&host, "user gus");
        assert!(line.starts_with("gus:10003:10000:xxx") && line.ends_with("x:/home/gus:/bin/sh"));
        assert_eq!(enumerated(&host), ["alice", "bob", "gus"]);
    }

    /// `:` and newlines reach no passwd line.
    fn a_field_that_would_make_another_line_is_cleaned(mode: Mode) {
        let entry = people().user(
            User::new("hal").uid(10_003).attribute("description", "x").gecos("Hal\nroot::0:0::/:"),
        );
        let host = host_with(mode, entry);
        let lines = host.run(["getent", "passwd", "hal"]).success();
        assert_eq!(lines.lines().count(), 1, "{lines}");
        assert_eq!(lines.trim_end().split(':').count(), 7, "{lines}");
    }

    fn a_referral_in_the_directory_is_passed_over(mode: Mode) {
        let referral = format!(
            "dn: ou=elsewhere,{BASE}\nobjectClass: referral\nobjectClass: extensibleObject\n\
             ou: elsewhere\nref: ldap://192.0.2.1/ou=elsewhere,{BASE}\n"
        );
        let host = host_with(mode, people().ldif(&referral));
        assert!(ask_twice(&host, "user alice").starts_with("alice:10001:"));
        assert_eq!(ask_twice(&host, "user nobody-here"), "none");
        assert_eq!(ask_twice(&host, "groups alice"), "1 20001 20002");
        assert_eq!(enumerated(&host), ["alice", "bob"]);
    }

    /// SSSD #6951: an enumeration that the server cut short was taken for complete.
    fn an_enumeration_that_reaches_the_servers_limit_says_that_it_is_not_complete(mode: Mode) {
        let many = people().people((0..50).map(|n| User::new(&format!("x{n}")).uid(12_000 + n)));
        let host = limited_host(mode, many.configuration("limits * size.soft=10 size.hard=10 size.prtotal=10"));
        let mut probe = Running::start(&host);
        let end = probe.ask("rest");
        assert!(end.ends_with(" end 11"), "{end}");
        probe.end();
        assert!(ask_twice(&host, "user x49").starts_with("x49:12049:"));
    }

    fn a_search_that_the_server_refuses_is_an_outage(mode: Mode) {
        let host = limited_host(mode, people().configuration("restrict search"));
        assert_eq!(ask_twice(&host, "user alice"), UNAVAILABLE);
        assert_eq!(ask_twice(&host, "user nobody-here"), UNAVAILABLE);
    }
}

//! A host that caches gives the answers of one that doesn't, for a directory full of
//! odd entries: by every key, and in enumerations.

mod modes;
mod probe;

use std::collections::{BTreeMap, BTreeSet};

use harness::{BASE, Directory, DirectoryBuilder, Host, User};
use modes::Mode;
use probe::{Running, install};

/// How many groups `busy` is in.
const MANY_GROUPS: u32 = 500;
/// How many members the group `large` has.
const MANY_MEMBERS: u32 = 5000;

/// A person with a DN that doesn't tell the name.
fn person(cn: &str, lines: &str) -> String {
    format!(
        "dn: cn={cn},ou=people,{BASE}\nobjectClass: account\nobjectClass: posixAccount\n\
         objectClass: extensibleObject\ncn: {cn}\n{lines}\n"
    )
}

fn plain(cn: &str, name: &str, uid: u32) -> String {
    person(
        cn,
        &format!("uid: {name}\nuidNumber: {uid}\ngidNumber: 20001\nhomeDirectory: /home/{uid}"),
    )
}

fn group(rdn: &str, lines: &str) -> String {
    format!(
        "dn: {rdn},ou=groups,{BASE}\nobjectClass: posixGroup\nobjectClass: extensibleObject\n{lines}\n"
    )
}

fn odd_directory() -> DirectoryBuilder {
    let people = [
        plain("same-uid-1", "sameuid1", 10_010),
        plain("same-uid-2", "sameuid2", 10_010),
        plain("same-name-1", "samename", 10_011),
        plain("same-name-2", "samename", 10_012),
        plain("case-1", "dora", 10_013),
        plain("case-2", "Dora", 10_014),
        plain("odd-1", "t(u)ser", 10_015),
        plain("odd-2", "usr\\001", 10_016),
        plain("odd-3", "a*b", 10_017),
        plain("root", "toor", 0),
        plain("overflow", "nobodytoo", 65_534),
        plain("dynamic", "dynamic", 61_184),
        plain("low", "low", 999),
        plain("high", "high", 4_000_000_000),
        plain("wide", "wide", 1).replace("uidNumber: 1\n", "uidNumber: 4294968297\n"),
        plain("colon", "co:lon", 10_018),
        plain("digits", "12345", 10_019),
        plain("dash", "-dash", 10_020),
        plain("long", &"n".repeat(32), 10_021),
        plain("longer", &"n".repeat(255), 10_022),
        plain("longest", &"n".repeat(256), 10_023),
        plain("umlaut", "jürgen", 10_024),
        plain("names", "two\nuid: twotoo\nuid: twothree", 10_025),
        // One of its names is another's only one.
        plain("shared", "shared\nuid: lonely", 10_026),
        plain("lonely", "lonely", 10_027),
        plain("many", "several\nuid: SEVERAL\nuid: Several2", 10_028),
        person("nothing", "uid: nothing\nuidNumber: 10029\ngidNumber: 20001\nhomeDirectory:"),
        person(
            "fields",
            "uid: fields\nuidNumber: 10030\ngidNumber: 20001\nhomeDirectory: /home/a:b\n\
             loginShell: relative\ngecos: a:b,c",
        ),
        person("zero-gid", "uid: zerogid\nuidNumber: 10031\ngidNumber: 0\nhomeDirectory: /x"),
        plain("first+uid=second", "first", 10_032)
            .replace("cn: first+uid=second", "cn: first\nuid: second"),
    ];
    let groups = [
        group("cn=same-1", "cn: same-1\ngidNumber: 20010\nmemberUid: alice"),
        group("cn=same-2", "cn: same-2\ngidNumber: 20010\nmemberUid: bob"),
        group("gidNumber=20011", "cn: twin\ngidNumber: 20011\nmemberUid: alice"),
        group("gidNumber=20012", "cn: twin\ngidNumber: 20012\nmemberUid: bob"),
        group("gidNumber=20013", "cn: Case\ngidNumber: 20013\nmemberUid: ALICE\nmemberUid: alice"),
        group(
            "gidNumber=20014",
            "cn: case\ngidNumber: 20014\nmemberUid: Alice\nmemberUid: nobody-here",
        ),
        group(
            "cn=known",
            "cn: known\ncn: as\ncn: both\ngidNumber: 20015\nmemberUid: two\nmemberUid: bob",
        ),
        group("cn=other", "cn: other\ngidNumber: 20016\nmemberUid: twotoo"),
        group("cn=my\\#group", "cn: my#group\ngidNumber: 20017\nmemberUid: t(u)ser"),
        group("cn=Domain Users", "cn: Domain Users\ngidNumber: 20018\nmemberUid: alice"),
        group("cn=rooted", "cn: rooted\ngidNumber: 0\nmemberUid: alice"),
        group("cn=giant", "cn: giant\ngidNumber: 4000000001\nmemberUid: alice"),
        group("cn=nobodys", "cn: nobodys\ngidNumber: 20019"),
        group("cn=locals", "cn: locals\ngidNumber: 20020\nmemberUid: lou\nmemberUid: root"),
        group(
            "cn=bad",
            "cn: bad\ngidNumber: 20021\nmemberUid: a:b\nmemberUid: alice\nmemberUid: 99",
        ),
        group("cn=twice", "cn: twice\ngidNumber: 20022\nmemberUid: lonely\nmemberUid: shared"),
    ];
    let members: Vec<_> = (0..MANY_MEMBERS).map(|n| format!("member{n}")).collect();
    let directory = Directory::new()
        .user(User::new("alice").uid(10_001).gid(20_001))
        .user(User::new("bob").uid(10_002).gid(20_002).home("").shell(""))
        .user(User::new("busy").uid(10_003).gid(20_001))
        .user(User::new("empty").uid(10_004).gid(20_001).gecos(" "))
        .group("crew", 20_001, ["alice", "bob"])
        .group("large", 20_002, members.iter().map(String::as_str));
    let directory = people.iter().chain(&groups).fold(directory, |all, entry| all.ldif(entry));
    (0..MANY_GROUPS).fold(directory, |directory, n| {
        directory.group(&format!("many{n}"), 30_000 + n, ["busy", "alice"])
    })
}

fn host(mode: Mode) -> Host {
    install(mode.start(Host::new().directory(odd_directory()).local_user("lou", 2001, "")))
}

/// Everything that can be asked about the odd directory.
fn questions() -> Vec<String> {
    let users = [
        "alice",
        "Alice",
        "ALICE",
        "bob",
        "busy",
        "empty",
        "sameuid1",
        "sameuid2",
        "samename",
        "dora",
        "Dora",
        "DORA",
        "t(u)ser",
        "usr\\001",
        "a*b",
        "*",
        "toor",
        "nobodytoo",
        "dynamic",
        "low",
        "high",
        "wide",
        "co:lon",
        "12345",
        "-dash",
        "jürgen",
        "two",
        "twotoo",
        "twothree",
        "TWO",
        "shared",
        "lonely",
        "several",
        "SEVERAL",
        "Several2",
        "nothing",
        "fields",
        "zerogid",
        "first",
        "second",
        "nobody-here",
        "member7",
        "lou",
        "root",
        "nn",
    ];
    let long = [32, 255, 256, 300].map(|length| "n".repeat(length));
    let users: Vec<_> = users.into_iter().chain(long.iter().map(String::as_str)).collect();
    let groups = [
        "crew",
        "large",
        "same-1",
        "same-2",
        "twin",
        "Case",
        "case",
        "CASE",
        "known",
        "as",
        "both",
        "other",
        "my#group",
        "Domain Users",
        "domain users",
        "rooted",
        "giant",
        "nobodys",
        "locals",
        "bad",
        "twice",
        "many0",
        "many499",
        "many500",
        "alice",
    ];
    let ids = |range: std::ops::Range<u32>| range.map(|id| id.to_string());
    let system = ["0", "999", "1001", "61184", "65534", "4000000000", "4000000001", "4294967295"];
    let system = || system.iter().map(ToString::to_string);
    let mut questions = Vec::new();
    questions.extend(users.iter().map(|name| format!("user {name}")));
    questions.extend(users.iter().map(|name| format!("groups {name}")));
    questions.extend(ids(10_000..10_040).chain(system()).map(|id| format!("uid {id}")));
    questions.extend(groups.iter().map(|name| format!("group {name}")));
    questions.extend(ids(20_000..20_030).chain(system()).map(|id| format!("gid {id}")));
    questions
}

/// The answers, each asked for several times in a running process and once in a fresh one.
fn answers(host: &Host) -> BTreeMap<String, String> {
    let mut probe = Running::start(host);
    let mut answers = BTreeMap::new();
    for _ in 0..3 {
        for question in questions() {
            let answer = probe.ask(&question);
            let before = answers.insert(question.clone(), answer.clone());
            assert!(before.is_none_or(|before| before == answer), "{question}: {answer}");
        }
    }
    probe.end();
    answers
}

fn enumerated(host: &Host, map: &str) -> Vec<String> {
    let output = host.run(["getent", "-s", "ldap", map]).success();
    let mut lines: Vec<_> = output.lines().map(in_order).collect();
    lines.sort_unstable();
    lines
}

/// A directory keeps the members of a group in an order of its own.
fn in_order(line: &str) -> String {
    let mut fields: Vec<_> = line.split(':').map(str::to_owned).collect();
    if let [_, _, _, members] = &mut fields[..] {
        let mut names: Vec<_> = members.split(',').collect();
        names.sort_unstable();
        *members = names.join(",");
    }
    fields.join(":")
}

#[track_caller]
fn compare(mode: Mode) {
    let (plain, cached) = (host(Mode::Off), host(mode));
    let (expected, found) = (answers(&plain), answers(&cached));
    let differences: Vec<_> = expected
        .iter()
        .filter(|(question, answer)| found[*question] != **answer)
        .map(|(question, answer)| format!("{question}: {answer:.200} / {:.200}", found[question]))
        .collect();
    assert!(differences.is_empty(), "off / {mode:?}:\n{}", differences.join("\n"));
    assert!(expected.values().filter(|answer| answer.contains(':')).count() > 80);
    for map in ["passwd", "group"] {
        // Of two entries with the same name a table enumerates one.
        let (expected, found) = (enumerated(&plain, map), enumerated(&cached, map));
        assert_eq!(names(&expected), names(&found), "{mode:?}, {map}");
        let unexpected: Vec<_> = found.iter().filter(|line| !expected.contains(line)).collect();
        assert!(unexpected.is_empty(), "{mode:?} has {unexpected:?}");
        let mut once = found.clone();
        once.dedup();
        assert_eq!(once, found, "{mode:?}: some entries come twice");
    }
}

fn names(lines: &[String]) -> BTreeSet<&str> {
    lines.iter().filter_map(|line| line.split(':').next()).collect()
}

#[test]
fn a_replica_answers_as_the_directory_does() {
    compare(Mode::Replica);
}

#[test]
fn what_was_asked_on_demand_is_answered_as_the_directory_does() {
    compare(Mode::OnDemand);
}

//! A replica of 100,000 users, with a group of 50,000 members.
//!
//! Loading it takes a while, so the tests share one host and take turns on it.

mod modes;
mod probe;

use std::collections::HashSet;
use std::fs;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use harness::{Directory, DirectoryBuilder, Host, PATIENCE, User, until};
use modes::Mode;
use probe::{Running, install};

const USERS: u32 = 100_000;
const BIG: usize = 50_000;
const FIRST_UID: u32 = 200_000;
const BIG_GID: u32 = 500_000;
/// What the daemon may take besides the table, and what the table may take: a
/// fifth above what is aimed at, since measuring varies.
const DAEMON_KIB: u64 = 60 * 1024 * 12 / 10;
const BYTES_PER_USER: u64 = 150 * 12 / 10;

fn users(count: u32) -> DirectoryBuilder {
    Directory::new().people(
        (0..count).map(|i| {
            User::new(&format!("u{i}")).uid(FIRST_UID + i).gid(BIG_GID).gecos("One Of Many")
        }),
    )
}

fn host() -> MutexGuard<'static, Host> {
    static HOST: OnceLock<Mutex<Host>> = OnceLock::new();
    let host = HOST.get_or_init(|| {
        let members: Vec<_> = (0..BIG).map(|i| format!("u{i}")).collect();
        let directory = users(USERS).group("big", BIG_GID, members.iter().map(String::as_str));
        let directory = directory.group("small", BIG_GID + 1, ["u1", "u2"]);
        Mutex::new(install(Mode::Replica.start(Host::new().directory(directory))))
    });
    host.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A line of a file of `/proc/PID` in KiB (`proc(5)`).
fn kib(pid: u32, file: &str, what: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/{file}")).expect("it runs");
    let line = text.lines().find_map(|line| line.strip_prefix(what)).expect("there is such a line");
    line.split_whitespace().next().and_then(|n| n.parse().ok()).expect("a number")
}

/// The memory of the table that a process has mapped, as far as it is in memory.
fn table_kib(pid: u32) -> u64 {
    let maps = fs::read_to_string(format!("/proc/{pid}/smaps")).expect("it runs");
    let mut within = false;
    let mut sum = 0;
    for line in maps.lines() {
        if let Some(value) = line.strip_prefix("Rss:") {
            let value: u64 = value.trim().trim_end_matches(" kB").parse().expect("a number");
            sum += if within { value } else { 0 };
        } else if line.split(' ').next().is_some_and(|word| word.contains('-')) {
            within = line.contains("/rollcall/table");
        }
    }
    sum
}

#[test]
fn every_one_of_100_000_users_is_enumerated_once() {
    let mut host = host();
    let before = host.directory().searches();
    let lines = host.run(["getent", "-s", "ldap", "passwd"]).success();
    let names: Vec<_> =
        lines.lines().map(|line| line.split(':').next().unwrap_or_default()).collect();
    assert_eq!(names.len(), USERS as usize);
    assert_eq!(names.iter().collect::<HashSet<_>>().len(), names.len(), "some come twice");
    let groups = host.run(["getent", "-s", "ldap", "group"]).success();
    assert_eq!(groups.lines().count(), 2);
    // Polls go on meanwhile.
    println!("{} searches meanwhile", host.directory().searches() - before);
}

#[test]
fn everybody_is_found_by_name_and_by_id() {
    let host = host();
    let mut probe = Running::start(&host);
    for i in (0..USERS).step_by(997) {
        let line = format!("u{i}:{}:{BIG_GID}:One Of Many:/home/u{i}:/bin/sh", FIRST_UID + i);
        assert_eq!(probe.ask(&format!("user u{i}")), line);
        assert_eq!(probe.ask(&format!("uid {}", FIRST_UID + i)), line);
    }
    assert_eq!(probe.ask(&format!("user u{USERS}")), "none");
    assert_eq!(probe.ask(&format!("uid {}", FIRST_UID + USERS)), "none");
    assert_eq!(probe.ask("groups u1"), format!("1 {BIG_GID} {}", BIG_GID + 1));
    probe.end();
}

/// glibc doubles its buffer some ten times until the group fits.
#[test]
fn a_group_of_50_000_members_is_complete() {
    let host = host();
    let line = host.run(["getent", "group", "big"]).success();
    let members: HashSet<_> =
        line.trim_end().rsplit(':').next().unwrap_or_default().split(',').collect();
    assert_eq!(members.len(), BIG);
    assert!((0..BIG).all(|i| members.contains(format!("u{i}").as_str())));
    let by_id = host.run(["getent", "group", &BIG_GID.to_string()]).success();
    assert_eq!(by_id, line);
}

#[test]
fn the_daemon_and_its_table_stay_small() {
    let mut host = host();
    host.run(["getent", "passwd"]).success();
    let pid = host.daemon().pid();
    let (resident, table) = (kib(pid, "status", "VmRSS:"), table_kib(pid));
    let size = fs::metadata(host.path(common::paths::TABLE)).expect("it is there").len();
    let members: u64 = (0..BIG).map(|i| format!("u{i}").len() as u64 + 2).sum();
    let per_user = (size - members) / u64::from(USERS);
    println!(
        "the daemon: {resident} KiB, of them {table} KiB of the table; \
         the table: {size} bytes, {per_user} a user"
    );
    assert!(
        resident.saturating_sub(table) <= DAEMON_KIB,
        "{resident} KiB, {table} KiB of the table"
    );
    assert!(per_user <= BYTES_PER_USER, "{per_user} bytes a user");
}

#[test]
fn a_change_among_100_000_users_is_seen() {
    let mut host = host();
    let mut probe = Running::start(&host);
    let dn = format!("uid=u77,ou=people,{}", harness::BASE);
    host.directory().replace(&dn, "loginShell", &["/bin/zsh"]);
    until(PATIENCE, || probe.ask("user u77").ends_with("/bin/zsh").then_some(()))
        .expect("it is seen");
    host.directory().replace(&dn, "loginShell", &["/bin/sh"]);
    until(PATIENCE, || probe.ask("user u77").ends_with("/bin/sh").then_some(()))
        .expect("it is seen");
    probe.end();
}

#[test]
fn more_accounts_than_a_replica_is_kept_of_are_served_on_demand() {
    let host = Host::new()
        .directory(users(300))
        .cache("mode = \"auto\"\nmax_replica = 200\nrefresh = 1\n");
    let host = install(host.start());
    let mut probe = Running::start(&host);
    let said = until(PATIENCE, || {
        let said = host.run(["rollcall", "status"]).success();
        said.contains("more accounts than cache.max_replica").then_some(said).or_else(|| {
            probe.ask("user u1");
            None
        })
    });
    assert!(said.is_some(), "{}", host.run(["rollcall", "status"]).success());
    host.wait_for_log("max_replica", PATIENCE);
    for i in [0, 7, 299] {
        assert!(probe.ask(&format!("user u{i}")).starts_with(&format!("u{i}:{}:", FIRST_UID + i)));
    }
    assert_eq!(probe.ask("user nobody-here"), "none");
    let lines = host.run(["getent", "-s", "ldap", "passwd"]).success();
    assert_eq!(lines.lines().count(), 300);
    probe.end();
}

#[test]
fn a_small_population_is_kept_as_a_replica() {
    let mut host =
        Host::new().directory(users(100)).cache("mode = \"auto\"\nrefresh = 1\n").start();
    host.daemon().wait_until_complete();
    let said = host.run(["rollcall", "status"]).success();
    assert!(said.contains("all users and groups"), "{said}");
}

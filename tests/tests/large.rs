//! A directory of 100,000 users, with a group of 50,000 members.
//!
//! Loading it takes a while, so the tests share one host and take turns on it.

use std::collections::HashSet;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::Stdio;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use harness::{Directory, DirectoryBuilder, Host, PATIENCE, User, until};

const USERS: u32 = 100_000;
const BIG: usize = 50_000;
/// The groups that `u7` is in, besides the big one.
const GROUPS: u32 = 600;

const FIRST_UID: u32 = 200_000;
const FIRST_GID: u32 = 400_000;
const BIG_GID: u32 = 500_000;

fn name(number: u32) -> String {
    format!("u{number}")
}

fn users(count: u32) -> DirectoryBuilder {
    Directory::new().people(
        (0..count)
            .map(|i| User::new(&name(i)).uid(FIRST_UID + i).gid(BIG_GID).gecos("One Of Many")),
    )
}

fn start(directory: DirectoryBuilder) -> Host {
    let host = Host::new().directory(directory).start();
    host.install(Path::new(env!("CARGO_BIN_EXE_peak")), "/usr/local/bin/peak");
    host
}

/// The host with the large directory; one test at a time has it.
fn host() -> MutexGuard<'static, Host> {
    static HOST: OnceLock<Mutex<Host>> = OnceLock::new();
    let host = HOST.get_or_init(|| {
        let members: Vec<_> = (0..USERS).map(name).collect();
        let members: Vec<_> = members.iter().map(String::as_str).collect();
        let directory = users(USERS).group("big", BIG_GID, members[..BIG].iter().copied());
        // Each has a few hundred members, who must not be fetched when only ids are asked for.
        let directory = (0..GROUPS).fold(directory, |directory, i| {
            directory.group(&format!("g{i}"), FIRST_GID + i, members[..200].iter().copied())
        });
        Mutex::new(start(directory))
    });
    host.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs a command; gives what it printed, and how many KiB it held at most.
fn measured(host: &Host, command: &[&str]) -> (String, u64) {
    let output = host.run(["peak"].iter().chain(command));
    let last = output.stderr.lines().last().unwrap_or_default();
    let peak = last.strip_prefix("peak: ").and_then(|rest| rest.strip_suffix(" KiB"));
    let peak = peak.unwrap_or_else(|| panic!("{}", output.stderr)).parse().unwrap();
    (output.success(), peak)
}

/// A line of `/proc/PID/status` in KiB (`proc(5)`).
fn memory(pid: u32, what: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(what)).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

#[track_caller]
fn assert_complete(lines: &str) {
    let ours = lines.lines().filter(|line| line.contains(":One Of Many:"));
    let names: Vec<_> = ours.map(|line| line.split(':').next().unwrap()).collect();
    assert_eq!(names.len(), USERS as usize);
    assert_eq!(names.iter().collect::<HashSet<_>>().len(), names.len(), "some come twice");
}

#[test]
fn every_one_of_100_000_users_is_enumerated_once() {
    assert_complete(&host().run(["getent", "passwd"]).success());
}

#[test]
fn an_enumeration_takes_the_same_memory_however_many_users_there_are() {
    let small = start(users(1000));
    let (_, few) = measured(&small, &["getent", "passwd"]);
    let (_, many) = measured(&host(), &["getent", "passwd"]);
    assert!(many < few + 8 * 1024, "{few} KiB for 1,000 users, {many} KiB for {USERS}");
}

#[test]
fn an_enumeration_does_not_fill_the_daemon() {
    let mut host = host();
    host.run(["getent", "passwd", "u1"]).success();
    let pid = host.daemon().pid();
    // Other tests have used this daemon (`proc_pid_clear_refs(5)`).
    fs::write(format!("/proc/{pid}/clear_refs"), "5").unwrap();
    let before = memory(pid, "VmRSS:");
    host.run(["getent", "passwd"]).success();
    let most = memory(pid, "VmHWM:");
    assert!(most < before + 16 * 1024, "{before} KiB before, at most {most} KiB");
}

/// All of it is one page, and who asked doesn't go on reading for a while.
#[test]
fn an_enumeration_that_is_not_read_on_waits_in_the_server() {
    let directory = users(USERS);
    let mut host = Host::new().directory(directory).configuration("page_size = 100000").start();
    host.run(["getent", "passwd", "u1"]).success();
    let pid = host.daemon().pid();
    let before = memory(pid, "VmRSS:");
    let mut reader = host.command(["getent", "-s", "ldap", "passwd"]);
    let mut reader = reader.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(reader.stdout.take().unwrap());
    let mut text = String::new();
    lines.read_line(&mut text).unwrap();
    await_rest(pid);
    let most = memory(pid, "VmHWM:");
    assert!(most < before + 16 * 1024, "{before} KiB before, at most {most} KiB");
    lines.read_to_string(&mut text).unwrap();
    assert!(reader.wait().unwrap().success());
    assert_complete(&text);
}

/// Waits until a process has needed no more memory for a second.
fn await_rest(pid: u32) {
    let (mut most, mut since) = (0, Instant::now());
    until(PATIENCE, || {
        let now = memory(pid, "VmHWM:");
        if now > most {
            (most, since) = (now, Instant::now());
        }
        (since.elapsed() > Duration::from_secs(1)).then_some(())
    })
    .expect("it doesn't grow for ever");
}

#[test]
fn two_enumerations_at_once_are_both_complete() {
    let host = host();
    let both = [(); 2].map(|()| {
        host.command(["getent", "passwd"]).stdin(Stdio::null()).stdout(Stdio::piped()).spawn()
    });
    // Each reads a pipe of its own: neither waits for the other to be read.
    let readers = both.map(|child| std::thread::spawn(|| child.unwrap().wait_with_output()));
    for reader in readers {
        let output = reader.join().unwrap().unwrap();
        assert!(output.status.success());
        assert_complete(&String::from_utf8(output.stdout).unwrap());
    }
}

#[test]
fn a_group_of_50_000_members_costs_one_search_and_is_complete() {
    let mut host = host();
    let before = host.directory().searches();
    // glibc doubles its buffer some ten times until the group fits.
    let line = host.run(["getent", "group", "big"]).success();
    assert_eq!(host.directory().searches() - before, 1);
    let members: HashSet<_> = line.trim_end().rsplit(':').next().unwrap().split(',').collect();
    assert_eq!(members.len(), BIG);
    assert!((0..BIG).all(|i| members.contains(format!("u{i}").as_str())));
}

#[test]
fn every_group_is_enumerated_once_with_its_members() {
    let lines = host().run(["getent", "group"]).success();
    let groups = lines.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let ours: Vec<_> = groups.filter(|f| f[2].parse::<u32>().unwrap() >= FIRST_GID).collect();
    assert_eq!(ours.len(), GROUPS as usize + 1);
    assert_eq!(ours.iter().map(|f| f[0]).collect::<HashSet<_>>().len(), ours.len());
    for fields in ours {
        let expected = if fields[0] == "big" { BIG } else { 200 };
        assert_eq!(fields[3].split(',').count(), expected, "{}", fields[0]);
    }
}

#[test]
fn the_groups_of_a_user_are_found_without_their_members() {
    let mut host = host();
    let before = host.directory().log().len();
    let ids = host.run(["id", "-G", "u7"]).success();
    assert_eq!(ids.split_whitespace().count(), GROUPS as usize + 1);
    let log = host.directory().log().split_off(before);
    let searches: Vec<_> = log.lines().filter(|line| line.contains(" SRCH attr=")).collect();
    assert!(searches.iter().any(|line| line.contains("gidNumber")), "{log}");
    assert!(searches.iter().all(|line| !line.to_lowercase().contains("memberuid")), "{log}");
}

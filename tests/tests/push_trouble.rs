//! A replica that is told of changes by servers that don't behave.

mod probe;
mod told;

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use harness::{BASE, Counts, Directory, DirectoryBuilder, Host, PATIENCE, READER, User, until};
use probe::{Running, UNAVAILABLE, install, people};
use told::{ALICE, ALICE_DN, REPLICA, TOLD, await_status, host, status, user_dn, users};

const MANY: u32 = 150;

fn carl() -> User {
    User::new("carl").uid(10_007).gid(20_001)
}

const CARL: &str = "carl:10007:20001:carl:/home/carl:/bin/sh";

#[test]
fn a_few_who_are_deleted_are_gone_at_once() {
    let mut host = host(users(MANY));
    let mut probe = Running::start(&host);
    (0..5).for_each(|n| host.directory().delete(&user_dn(n)));
    probe.await_answer("user u4", "none");
    (0..5).for_each(|n| assert_eq!(probe.ask(&format!("user u{n}")), "none"));
    assert!(probe.ask("user u5").starts_with("u5:"));
    probe.end();
}

fn the_vanished_stay_until_somebody_insists(people: DirectoryBuilder, few: DirectoryBuilder) {
    let mut host = host(people);
    let mut probe = Running::start(&host);
    let last = format!("user u{}", MANY - 1);
    let known = probe.ask(&last);
    assert!(known.starts_with("u149:"), "{known}");
    let lines = host.log().len();
    host.directory().wipe(few);
    let gone = "users are gone from the directory; that is believed after";
    host.wait_for_log_from(lines, gone, PATIENCE);
    assert_eq!(probe.ask(&last), known, "nobody has said that this is meant");
    await_status(&host, gone);
    // What has come is true all the same, and who isn't known is asked for.
    probe.await_answer("user carl", CARL);
    assert_eq!(probe.ask("user nobody-here"), "none");
    let is_warning = |line: &&String| line.contains("WARN") && line.contains(gone);
    let warnings = host.log().iter().filter(is_warning).count();
    assert_eq!(warnings, 1, "{}", host.log().join("\n"));
    host.run(["rollcall", "flush"]).success();
    assert_eq!(probe.ask(&last), "none");
    assert_eq!(probe.ask("user alice"), ALICE);
    // And it goes on as ever.
    await_status(&host, "told by the server as they happen");
    host.directory().replace(ALICE_DN, "loginShell", &["/bin/zsh"]);
    probe.await_answer("user alice", &ALICE.replace("/bin/sh", "/bin/zsh"));
    assert!(!status(&host).contains(gone), "{}", status(&host));
    probe.end();
}

#[test]
fn who_vanishes_with_most_others_stays_until_somebody_insists() {
    the_vanished_stay_until_somebody_insists(users(MANY), people().user(carl()));
}

#[test]
fn with_389_directory_server_as_well() {
    the_vanished_stay_until_somebody_insists(users(MANY).ds389(), people().user(carl()));
}

/// Asks for alice, who must be found each time, and for somebody who doesn't exist, until the
/// server behaves.
#[track_caller]
fn while_it_misbehaves(host: &mut Host, misbehave: impl FnOnce(&mut Host)) {
    let mut probe = Running::start(host);
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let mut lookups = 0_u32;
            while !is_over.load(Ordering::Relaxed) {
                assert_eq!(probe.ask("user alice"), ALICE);
                assert_eq!(probe.ask("groups alice"), "1 20001 20002");
                let nobody = probe.ask("user nobody-here");
                assert!(["none", UNAVAILABLE].contains(&&*nobody), "{nobody}");
                lookups += 1;
                thread::sleep(Duration::from_millis(20));
            }
            lookups
        });
        misbehave(host);
        is_over.store(true, Ordering::Relaxed);
        assert!(asking.join().expect("alice was there") > 0);
    });
    probe.end();
}

fn lines_of_the_daemon(host: &Host, from: usize) -> Vec<String> {
    host.log().split_off(from).into_iter().filter(|line| line.starts_with("daemon:")).collect()
}

/// Whether a server was asked so little, and so little was logged about it.
#[track_caller]
fn is_at_most(asked: Counts, said: &[String], requests: usize, lines: usize) {
    assert!(asked.searches + asked.binds + asked.connections <= requests, "{asked:?}");
    assert!(said.len() <= lines, "{said:#?}");
}

#[test]
fn a_server_that_ends_each_subscription_is_not_asked_all_the_time() {
    let builder = Host::new().directory(people()).relay("127.0.0.9").uri("\"ldap://127.0.0.9\"");
    let mut host = install(builder.cache(REPLICA).start());
    host.wait_for_log(TOLD, PATIENCE);
    host.daemon().wait_until_complete();
    let (before, lines) = (host.directory().counts(), host.log().len());
    while_it_misbehaves(&mut host, |host| {
        for n in 0..100 {
            host.relay().cut();
            thread::sleep(Duration::from_millis(100));
            if n == 50 {
                host.directory().add_user(&carl());
            }
        }
    });
    is_at_most(host.directory().counts() - before, &lines_of_the_daemon(&host, lines), 100, 20);
    let mut probe = Running::start(&host);
    probe.await_answer("user carl", CARL);
    await_status(&host, "told by the server as they happen");
    probe.await_answer("user nobody-here", "none");
    probe.end();
}

/// slapd writes down where its history stands when it ends. If it doesn't come to that it takes
/// the newest change of an entry that is there for it, and forgets deletions.
#[test]
fn a_deletion_that_a_server_forgot_when_it_crashed_is_found_out() {
    let mut host = host_that_looks_soon(users(MANY));
    let mut probe = Running::start(&host);
    // It writes that down for the first time.
    host.directory().delete(&user_dn(0));
    host.directory().stop();
    host.directory().start();
    probe.await_answer("user u0", "none");
    probe.await_answer("user nobody-here", "none");
    let file = host.path("/var/cache/rollcall/replica");
    until(PATIENCE, || file.exists().then_some(())).expect("it is written soon after loading");
    host.daemon().stop();
    host.directory().delete(&user_dn(1));
    host.directory().kill();
    host.directory().start();
    let lines = host.log().len();
    host.daemon().start();
    // Before that the directory itself is asked.
    host.wait_for_log_from(lines, TOLD, PATIENCE);
    host.daemon().wait_until_complete();
    probe.await_answer("user u1", "none");
    assert!(probe.ask("user u2").starts_with("u2:"));
    probe.end();
}

/// A second after it is told again what happens.
fn host_that_looks_soon(people: DirectoryBuilder) -> Host {
    let cache = "mode = \"replica\"\nrefresh = 1\n";
    let mut host = install(Host::new().directory(people).cache(cache).start());
    host.wait_for_log(TOLD, PATIENCE);
    host.daemon().wait_until_complete();
    host
}

#[test]
fn a_server_that_is_started_again_and_again_is_followed_in_the_end() {
    let mut host = host_that_looks_soon(users(MANY));
    let (before, lines) = (host.directory().counts(), host.log().len());
    while_it_misbehaves(&mut host, |host| {
        for n in 0..5 {
            host.directory().delete(&user_dn(n));
            if n % 2 == 0 {
                host.directory().stop();
            } else {
                host.directory().kill();
            }
            host.directory().start();
            thread::sleep(Duration::from_millis(500));
        }
    });
    // For each of five times: the end, the outage and the beginning.
    is_at_most(host.directory().counts() - before, &lines_of_the_daemon(&host, lines), 100, 30);
    let mut probe = Running::start(&host);
    (0..5).for_each(|n| probe.await_answer(&format!("user u{n}"), "none"));
    host.directory().add_user(&carl());
    probe.await_answer("user carl", CARL);
    probe.end();
}

/// A host of two directories; only Carl is in the second one.
fn host_of_two() -> Host {
    let second = Directory::new().user(carl());
    let directory = |address| {
        format!(
            "[[directory]]\nuri = \"ldap://{address}\"\nbase = \"{BASE}\"\n\
             ca_file = \"/etc/ssl/rollcall-test-ca.pem\"\nbind_dn = \"{}\"\n\
             bind_password_file = \"/etc/rollcall.secret\"\n",
            READER.0
        )
    };
    let configuration = ["127.0.0.1", "127.0.0.2"].map(directory).concat() + "[cache]\n" + REPLICA;
    let builder = Host::new().directory(people()).directory(second.listen("127.0.0.2"));
    let mut host = install(builder.whole_configuration(&configuration).start());
    host.daemon().wait_until_complete();
    host
}

#[test]
fn one_directory_is_followed_while_the_other_is_down() {
    let mut host = host_of_two();
    await_status(&host, "told by the server as they happen");
    let mut probe = Running::start(&host);
    assert_eq!(probe.ask("user nobody-here"), "none");
    let people = [("user alice", ALICE, ALICE_DN.to_owned()), ("user carl", CARL, carl().dn())];
    let change = |host: &mut Host, probe: &mut Running, number: usize, shell: &str| {
        let (question, answer, dn) = &people[number];
        host.directories()[number].replace(dn, "loginShell", &[shell]);
        probe.await_answer(question, &answer.replace("/bin/sh", shell));
    };
    for (dead, alive) in [(0, 1), (1, 0)] {
        host.directories()[dead].kill();
        probe.await_answer("user nobody-here", UNAVAILABLE);
        change(&mut host, &mut probe, alive, "/bin/zsh");
        let (question, answer, _) = &people[dead];
        assert_eq!(probe.ask(question), *answer);
        assert_eq!(probe.ask("user nobody-here"), UNAVAILABLE, "the dead one may have it");
        host.directories()[dead].start();
        probe.await_answer("user nobody-here", "none");
        // Both are heard, and as they were in the end.
        change(&mut host, &mut probe, dead, "/bin/fish");
        change(&mut host, &mut probe, dead, "/bin/sh");
        change(&mut host, &mut probe, alive, "/bin/sh");
    }
    probe.end();
}

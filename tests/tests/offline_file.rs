//! What is kept for logins while no server answers: the file, and ways to be rid of it.

mod kept;
mod pam;

use std::os::unix::fs::MetadataExt;

use harness::{Host, PATIENCE, until};
use kept::{
    FILE, FOLDER, NEW, PASSWORD, RIGHT, alice, await_kept, builder, is_kept, log_in_online,
    log_in_until_online, login, offline, people, reconfigure,
};
use pam::{AUTHINFO_UNAVAIL, SUCCESS};

#[test]
fn an_age_of_0_removes_what_was_kept() {
    let mut host = offline();
    assert!(host.path(FILE).exists());
    assert_eq!(login(&host, RIGHT), [SUCCESS; 2]);
    reconfigure(&mut host, |text| text.replace("max_failures = 3", "max_age = 0"));
    until(PATIENCE, || (!host.path(FILE).exists()).then_some(())).expect("it is removed");
    assert_eq!(login(&host, RIGHT)[0], AUTHINFO_UNAVAIL);
}

#[test]
fn a_flush_removes_everything_that_is_kept() {
    let host = offline();
    let refused = host.run_as("rollcall", ["rollcall", "flush", "--offline"]);
    assert!(refused.stderr.contains("only root"), "{refused:?}");
    assert_eq!(login(&host, RIGHT), [SUCCESS; 2]);
    assert!(is_kept(&host) && host.path(FILE).exists());
    host.run(["rollcall", "flush", "--offline"]).success();
    assert!(!is_kept(&host) && !host.path(FILE).exists());
    assert_eq!(login(&host, RIGHT)[0], AUTHINFO_UNAVAIL);
}

#[test]
fn a_flush_needs_no_configuration_that_can_be_used() {
    let mut host = offline();
    reconfigure(&mut host, |_| "[directory]\nurl = []\n".into());
    host.wait_for_log("the new configuration is not used", PATIENCE);
    assert_eq!(login(&host, RIGHT), [SUCCESS; 2], "the old one stays");
    host.run(["rollcall", "flush", "--offline"]).success();
    assert!(!is_kept(&host) && !host.path(FILE).exists());
    assert_eq!(login(&host, RIGHT)[0], AUTHINFO_UNAVAIL);
}

#[test]
fn only_root_reads_whose_logins_are_kept() {
    let host = offline();
    assert!(is_kept(&host));
    let status = host.run_as("rollcall", ["rollcall", "status"]).success();
    assert!(!status.contains("alice"), "{status}");
}

#[test]
fn only_the_daemon_can_read_what_is_kept() {
    let host = offline();
    let facts = |path| {
        let metadata = std::fs::metadata(host.path(path)).unwrap();
        (metadata.mode() & 0o7777, metadata.uid())
    };
    assert_eq!(facts(FILE), (0o600, 990));
    assert_eq!(facts("/var/lib/rollcall"), (0o700, 990));
    let file = std::fs::read(host.path(FILE)).unwrap();
    let has = |text: &str| file.windows(text.len()).any(|bytes| bytes == text.as_bytes());
    assert!(has("alice") && !has(PASSWORD));
}

#[test]
fn a_damaged_file_is_set_aside_and_begun_anew() {
    let mut host = offline();
    host.daemon().stop();
    host.run(["sh", "-c", &format!("head -c 100000 /dev/urandom >{FILE}")]).success();
    host.daemon().start();
    assert_eq!(login(&host, RIGHT)[0], AUTHINFO_UNAVAIL);
    host.wait_for_log("is set aside", PATIENCE);
    host.directory().start();
    until(PATIENCE, || (login(&host, RIGHT) == [SUCCESS; 2]).then_some(())).expect("online");
    await_kept(&host, true);
    host.directory().stop();
    assert_eq!(login(&host, RIGHT), [SUCCESS; 2]);
}

/// Has the daemon keep everything on a file system of this many bytes.
fn on_a_disk_of(size: &str) -> Host {
    let mut host = builder(people()).start();
    host.daemon().stop();
    let options = format!("size={size},mode=700");
    host.run(["mount", "-t", "tmpfs", "-o", &options, "tmpfs", FOLDER]).success();
    host.run(["chown", "rollcall:rollcall", FOLDER]).success();
    host.daemon().start();
    host
}

/// What couldn't be written whole is no hindrance once there is room.
#[test]
fn a_full_disk_keeps_nobody_out_online_and_leaves_nothing_half_written() {
    let mut host = on_a_disk_of("16k");
    assert_eq!(login(&host, RIGHT), [SUCCESS; 2]);
    host.wait_for_log("no offline logins of alice", PATIENCE);
    assert_eq!(login(&host, RIGHT), [SUCCESS; 2]);
    assert!(!is_kept(&host));
    host.directory().stop();
    assert_eq!(login(&host, RIGHT)[0], AUTHINFO_UNAVAIL);
    host.run(["mount", "-o", "remount,size=16m", FOLDER]).success();
    host.directory().start();
    log_in_until_online(&host, RIGHT);
    await_kept(&host, true);
    host.directory().stop();
    assert_eq!(login(&host, RIGHT), [SUCCESS; 2]);
    let log = host.log();
    assert!(!log.iter().any(|line| line.contains("set aside")), "{}", log.join("\n"));
}

/// The new one may be kept, or nothing.
#[test]
fn a_disk_that_fills_up_does_not_bring_an_older_password_back() {
    let mut host = on_a_disk_of("8m");
    log_in_online(&host);
    host.directory().stop();
    assert_eq!(login(&host, RIGHT), [SUCCESS; 2]);
    host.run(["sh", "-c", &format!("! head -c 20000000 /dev/zero >{FOLDER}/more")]).success();
    host.directory().start();
    log_in_until_online(&host, RIGHT);
    host.directory().replace(&alice().dn(), "userPassword", &[NEW]);
    let new = format!("answer={NEW}");
    assert_eq!(login(&host, &new), [SUCCESS; 2]);
    host.directory().stop();
    assert_ne!(login(&host, RIGHT)[0], SUCCESS);
    host.daemon().kill();
    host.daemon().start();
    assert_ne!(login(&host, RIGHT)[0], SUCCESS, "nor to a new daemon");
    host.run(["rm", &format!("{FOLDER}/more")]).success();
    host.directory().start();
    log_in_until_online(&host, &new);
    await_kept(&host, true);
    host.directory().stop();
    assert_eq!(login(&host, &new), [SUCCESS; 2], "there is room again");
}

/// Where wrong passwords can't be counted, none may be tried.
#[test]
fn a_disk_that_cannot_be_written_to_lets_nobody_in_offline_and_keeps_nobody_out_online() {
    let mut host = on_a_disk_of("8m");
    log_in_online(&host);
    host.daemon().stop();
    host.run(["mount", "-o", "remount,ro", FOLDER]).success();
    host.daemon().start();
    assert_eq!(login(&host, RIGHT), [SUCCESS; 2]);
    host.directory().stop();
    assert_eq!(login(&host, RIGHT)[0], AUTHINFO_UNAVAIL, "{}", host.log().join("\n"));
    host.directory().start();
    log_in_until_online(&host, RIGHT);
}

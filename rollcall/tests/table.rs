//! The table's file, and the commands that are about it. No directory is needed for that.

mod support;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use nix::unistd::Uid;
use support::{Folder, PATIENCE};

fn table(folder: &Folder) -> PathBuf {
    folder.socket().with_file_name("table")
}

/// Waits until something is so.
#[track_caller]
fn until(what: &str, is_so: impl Fn() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < PATIENCE, "{what}");
        thread::sleep(Duration::from_millis(20));
    }
}

fn rollcall(command: &str, socket: &Path) -> Output {
    let mut program = Command::new(env!("CARGO_BIN_EXE_rollcall"));
    program.arg(command).arg("--socket").arg(socket).output().unwrap()
}

fn is_whole(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|file| file.len() > 4096)
}

#[test]
fn the_table_lies_beside_the_socket_for_all_to_read_and_nobody_to_write() {
    let folder = Folder::new();
    let _daemon = folder.start();
    let path = table(&folder);
    until("there is a table", || is_whole(&path));
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o444);
}

#[test]
fn a_table_that_was_removed_or_replaced_comes_back() {
    let folder = Folder::new();
    let _daemon = folder.start();
    let path = table(&folder);
    until("there is a table", || is_whole(&path));
    fs::remove_file(&path).unwrap();
    until("it is back", || is_whole(&path));
    let other = path.with_file_name("other");
    fs::write(&other, "no table").unwrap();
    fs::rename(&other, &path).unwrap();
    until("it is back", || is_whole(&path));
}

#[test]
fn a_table_that_is_cut_short_or_overwritten_is_made_anew_and_the_daemon_lives() {
    let folder = Folder::new();
    let daemon = folder.start();
    let path = table(&folder);
    for length in [0, 100, 4096] {
        until("there is a table", || is_whole(&path));
        let old = fs::metadata(&path).unwrap().ino();
        fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
        fs::File::options().write(true).open(&path).unwrap().set_len(length).unwrap();
        folder.ask();
        until("it is another one", || fs::metadata(&path).is_ok_and(|file| file.ino() != old));
    }
    fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
    let (length, old) = (fs::metadata(&path).unwrap().len(), fs::metadata(&path).unwrap().ino());
    let noise = vec![0xa5; usize::try_from(length).unwrap()];
    std::os::unix::fs::FileExt::write_all_at(
        &fs::File::options().write(true).open(&path).unwrap(),
        &noise,
        0,
    )
    .unwrap();
    folder.ask();
    until("it is another one", || fs::metadata(&path).is_ok_and(|file| file.ino() != old));
    assert!(daemon.stop().success());
}

#[test]
fn with_mode_off_there_is_no_table_and_an_old_one_goes() {
    let folder = Folder::new();
    let daemon = folder.start();
    let path = table(&folder);
    until("there is a table", || is_whole(&path));
    let text = fs::read_to_string(folder.config()).unwrap();
    folder.configure(&text.replace("on-demand", "off"));
    daemon.signal(Signal::SIGHUP);
    until("it is gone", || !path.exists());
}

#[test]
fn status_tells_what_is_kept_and_why_nothing_is_found() {
    let folder = Folder::new();
    let _daemon = folder.start();
    folder.ask();
    let output = rollcall("status", &folder.socket());
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    for part in ["on-demand", "ldap://127.0.0.1:1", "the directory last answered never", "outage"] {
        assert!(text.contains(part), "{part:?} is missing in:\n{text}");
    }
}

#[test]
fn without_a_daemon_status_and_flush_say_so_and_fail() {
    let folder = Folder::new();
    for command in ["status", "flush"] {
        let output = rollcall(command, &folder.socket());
        assert_eq!(output.status.code(), Some(1));
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(text.contains("no rollcall daemon is running"), "{text}");
    }
}

#[test]
fn only_root_may_flush() {
    let folder = Folder::new();
    let _daemon = folder.start();
    let output = rollcall("flush", &folder.socket());
    assert_eq!(output.status.success(), Uid::effective().is_root(), "{output:?}");
}

fn status(folder: &Folder) -> String {
    String::from_utf8(rollcall("status", &folder.socket()).stdout).unwrap()
}

#[test]
fn while_the_copy_cannot_be_loaded_status_says_so_and_a_flush_works() {
    let folder = Folder::new();
    let text = fs::read_to_string(folder.config()).unwrap();
    folder.configure(&text.replace("on-demand", "auto"));
    let _daemon = folder.start();
    until("it is told", || status(&folder).contains("the copy can't be loaded"));
    let output = rollcall("flush", &folder.socket());
    assert_eq!(output.status.success(), Uid::effective().is_root(), "{output:?}");
}

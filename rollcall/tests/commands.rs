//! The administrator's commands.

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output};

use support::Folder;

fn rollcall(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_rollcall")).args(arguments).output().unwrap()
}

fn check(folder: &Folder) -> Output {
    rollcall(&["check", "--config", folder.config().to_str().unwrap()])
}

#[test]
fn check_says_what_the_configuration_means() {
    let folder = Folder::new();
    let output = check(&folder);
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    for part in ["ldap://127.0.0.1:1", "dc=example,dc=org", "TLS", "every user"] {
        assert!(text.contains(part), "{part:?} is missing in:\n{text}");
    }
}

#[test]
fn check_says_what_is_wrong_and_fails() {
    let folder = Folder::new();
    folder.configure("[directory]\nurl = []\n");
    let output = check(&folder);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("rollcall.toml") && text.contains("url"), "{text}");
}

#[test]
fn check_never_prints_a_secret() {
    let folder = Folder::new();
    let secret = folder.path().join("secret");
    fs::write(&secret, "hunter2\n").unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    folder.configure(&format!(
        "[directory]\nuri = [\"ldap://127.0.0.1:1\"]\nbase = \"dc=a\"\nbind_dn = \"cn=reader,dc=a\"\n\
         bind_password_file = {secret:?}\n"
    ));
    let output = check(&folder);
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("cn=reader,dc=a") && !text.contains("hunter2"), "{text}");
}

#[test]
fn completions_and_manual_pages_cover_the_daemon() {
    let script = rollcall(&["completions", "bash"]).stdout;
    assert!(String::from_utf8(script).unwrap().contains("--foreground"));

    let folder = tempfile::tempdir().unwrap();
    assert!(rollcall(&["man", folder.path().to_str().unwrap()]).status.success());
    let page = fs::read_to_string(folder.path().join("rollcall-daemon.1")).unwrap();
    assert!(page.contains("foreground"), "{page}");
}

#[test]
fn without_a_daemon_a_flush_of_the_offline_logins_says_what_to_do_instead() {
    let folder = Folder::new();
    let socket = folder.socket();
    let output = rollcall(&["flush", "--offline", "--socket", socket.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stderr).unwrap();
    for part in
        ["was not removed", "no rollcall daemon is running", "/var/lib/rollcall/offline.redb"]
    {
        assert!(text.contains(part), "{part:?} is missing in:\n{text}");
    }
}

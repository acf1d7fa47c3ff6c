//! What systemd is told, and what is different under it.

mod support;

use std::os::unix::net::UnixDatagram;
use std::process::Command;

use common::protocol::{Response, Unavailable};
use nix::sys::signal::Signal;
use nix::unistd::Uid;
use support::{Daemon, Folder, PATIENCE};

const WRONG: &str = "[directory]\nurl = []\n";

/// Where the daemon says how things stand (`sd_notify(3)`).
struct Supervisor(UnixDatagram);

impl Supervisor {
    fn start(folder: &Folder) -> (Self, Daemon) {
        let address = folder.path().join("notify");
        let notify = UnixDatagram::bind(&address).unwrap();
        notify.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut command = folder.command();
        command.env("NOTIFY_SOCKET", &address);
        (Self(notify), Daemon::start(command))
    }

    fn message(&self) -> String {
        let mut bytes = [0; 4096];
        let length = self.0.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..length].to_vec()).unwrap()
    }
}

#[test]
fn systemd_is_told_about_start_reload_and_stop() {
    let folder = Folder::new();
    let (systemd, daemon) = Supervisor::start(&folder);
    assert!(systemd.message().contains("READY=1"));

    daemon.signal(Signal::SIGHUP);
    let reloading = systemd.message();
    assert!(reloading.contains("RELOADING=1") && reloading.contains("MONOTONIC_USEC="));
    assert!(systemd.message().contains("READY=1"));

    daemon.signal(Signal::SIGTERM);
    assert!(systemd.message().contains("STOPPING=1"));
    assert!(daemon.wait().success());
}

#[test]
fn with_a_wrong_configuration_each_asker_is_told_what_is_wrong() {
    let folder = Folder::new();
    folder.configure(WRONG);
    let (systemd, _daemon) = Supervisor::start(&folder);
    let message = systemd.message();
    assert!(message.contains("READY=1"), "it would be started again and again: {message}");
    assert!(message.contains("STATUS=") && message.contains("url"), "{message}");
    for _ in 0..2 {
        match folder.ask() {
            Response::Unavailable(Unavailable::Configuration(why)) => {
                assert!(why.contains("rollcall.toml") && why.contains("url"), "{why}");
            }
            answer => panic!("{answer:?}"),
        }
    }
}

#[test]
fn a_reload_of_the_corrected_configuration_ends_it() {
    let folder = Folder::new();
    let right = std::fs::read_to_string(folder.config()).unwrap();
    folder.configure(WRONG);
    let (systemd, daemon) = Supervisor::start(&folder);
    systemd.message();

    folder.configure("[directory]\nuri = 1\n");
    daemon.signal(Signal::SIGHUP);
    assert!(systemd.message().contains("RELOADING=1"));
    let message = systemd.message();
    assert!(message.contains("STATUS=") && message.contains("uri"), "still wrong: {message}");

    folder.configure(&right);
    daemon.signal(Signal::SIGHUP);
    assert!(systemd.message().contains("RELOADING=1"));
    assert!(systemd.message().contains("Answering requests"));
    assert!(matches!(folder.ask(), Response::Unavailable(Unavailable::Directory(_))));
}

/// What is kept needs no configuration to be removed.
#[test]
fn with_a_wrong_configuration_the_offline_logins_can_be_flushed() {
    let folder = Folder::new();
    folder.configure(WRONG);
    let state = folder.socket().with_file_name("state");
    std::fs::create_dir_all(&state).unwrap();
    let file = state.join("offline.redb");
    std::fs::write(&file, "hashes").unwrap();
    let (systemd, _daemon) = Supervisor::start(&folder);
    systemd.message();
    assert!(matches!(folder.ask(), Response::Unavailable(Unavailable::Configuration(_))));
    assert!(file.exists(), "a configuration that can't be used removes nothing");
    let output = Command::new(env!("CARGO_BIN_EXE_rollcall"))
        .args(["flush", "--offline", "--socket"])
        .arg(folder.socket())
        .output()
        .unwrap();
    let is_root = Uid::effective().is_root();
    assert_eq!((output.status.success(), !file.exists()), (is_root, is_root), "{output:?}");
}

//! How the daemon starts, reloads and stops.

mod support;

use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::Stdio;
use std::{fs, thread};

use common::protocol::{Response, Unavailable};
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use nix::unistd::Pid;
use support::{Daemon, Folder, PATIENCE, ask, silent_server};

fn is_answered(answer: &Response) -> bool {
    matches!(answer, Response::Unavailable(Unavailable::Directory(_)))
}

#[test]
fn everybody_may_connect() {
    let folder = Folder::new();
    let _daemon = Daemon::start(folder.command_after("umask 077;"));
    let mode = |path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(folder.socket()), 0o666);
    assert_eq!(mode(folder.path().join("run")), 0o755);
}

#[test]
fn a_wrong_new_configuration_leaves_the_old_one_in_use() {
    let folder = Folder::new();
    let daemon = folder.start();
    folder.configure("[directory]\nurl = []\n");
    daemon.signal(Signal::SIGHUP);
    let line = daemon.logs("the old one stays");
    assert!(line.contains("rollcall.toml"), "it says where to look: {line}");
    assert!(is_answered(&folder.ask()));
}

#[test]
fn a_new_configuration_is_taken_into_use() {
    let folder = Folder::new();
    let daemon = folder.start();
    let (server, address) = silent_server();
    folder.configure(&format!("[directory]\nuri = [\"ldap://{address}\"]\nbase = \"dc=a\"\n"));
    daemon.signal(Signal::SIGHUP);
    daemon.logs("the configuration was read again");
    let socket = folder.socket();
    let asker = thread::spawn(move || ask(&socket));
    // It asks the new server, which refuses from now on.
    drop(server.accept().unwrap());
    drop(server);
    assert!(matches!(asker.join().unwrap(), Response::Unavailable(_)));
}

#[test]
fn a_graceful_stop_removes_the_socket() {
    let folder = Folder::new();
    let daemon = folder.start();
    assert!(daemon.stop().success());
    assert!(!folder.socket().exists());
}

#[test]
fn a_graceful_stop_answers_what_was_asked_before() {
    let (server, address) = silent_server();
    let folder = Folder::with_server(address);
    let daemon = folder.start();
    let socket = folder.socket();
    let asker = thread::spawn(move || ask(&socket));
    let open = server.accept().unwrap();
    daemon.signal(Signal::SIGTERM);
    daemon.logs("stopping");
    drop((open, server));
    let answer = asker.join().unwrap();
    assert!(
        matches!(answer, Response::Unavailable(Unavailable::Directory(_) | Unavailable::TimedOut)),
        "an answer, and not a closed connection: {answer:?}"
    );
    assert!(daemon.wait().success());
}

#[test]
fn a_second_daemon_does_not_start() {
    let folder = Folder::new();
    let _first = folder.start();
    let second = folder.command().output().unwrap();
    assert_eq!(second.status.code(), Some(1));
    let stderr = String::from_utf8(second.stderr).unwrap();
    assert!(stderr.contains("another daemon is running"), "{stderr}");
    assert!(is_answered(&folder.ask()), "the first one still answers");
}

#[test]
fn the_socket_of_a_killed_daemon_is_replaced() {
    let folder = Folder::new();
    let killed = folder.start();
    killed.signal(Signal::SIGKILL);
    killed.wait();
    assert!(folder.socket().exists());
    let _daemon = folder.start();
    assert!(is_answered(&folder.ask()));
}

#[test]
fn a_wrong_configuration_is_told_and_the_daemon_does_not_start() {
    let folder = Folder::new();
    folder.configure("[directory]\nurl = []\n");
    let output = folder.command().output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("rollcall.toml") && stderr.contains("url"), "{stderr}");
    assert!(!folder.socket().exists());
}

#[test]
fn a_user_who_does_not_exist_keeps_the_daemon_from_starting() {
    let folder = Folder::new();
    let output = folder.command().args(["--user", "no-such-user"]).output().unwrap();
    assert!(!output.status.success());
    assert!(!folder.socket().exists());
}

/// As systemd does it: the listening socket is descriptor 3.
#[test]
fn a_socket_that_is_handed_over_is_used_and_left_behind() {
    let folder = Folder::new();
    let path = folder.path().join("handed-over");
    let listener = UnixListener::bind(&path).unwrap();
    let mut command =
        folder.command_after("exec 3<&0 </dev/null; export LISTEN_FDS=1 LISTEN_PID=$$;");
    command.stdin(Stdio::from(OwnedFd::from(listener)));
    let daemon = Daemon::start(command);
    assert!(is_answered(&ask(&path)));
    assert!(!folder.socket().exists(), "it makes none of its own");
    assert!(daemon.stop().success());
    assert!(path.exists());
}

/// Nobody supervises it: the command ends once the daemon listens.
#[test]
fn without_a_supervisor_the_daemon_detaches_once_it_listens() {
    let folder = Folder::new();
    let output = folder.detached().output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(is_answered(&folder.ask()));

    let mut stream = UnixStream::connect(folder.socket()).unwrap();
    let pid = getsockopt(&stream, PeerCredentials).unwrap().pid();
    kill(Pid::from_raw(pid), Signal::SIGTERM).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    // Ends when the daemon does.
    let _ = stream.read(&mut [0]);
    assert!(!folder.socket().exists());
}

#[test]
fn a_daemon_that_cannot_start_says_so_before_it_detaches() {
    let folder = Folder::new();
    folder.configure("[directory]\nurl = []\n");
    let output = folder.detached().output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("rollcall.toml"), "{stderr}");
}

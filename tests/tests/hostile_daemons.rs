//! A daemon that is broken, or isn't one at all: what a module makes of it.

mod probe;

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::thread;
use std::time::Duration;

use harness::Host;
use probe::{Running, UNAVAILABLE, Way, host, people};

/// Asks with something else in the daemon's place; `direct.so` is installed, and
/// must not be asked instead. SIGPIPE would end the probe.
#[track_caller]
fn endure(deed: fn(UnixStream)) {
    let host = host(Way::Direct, Host::new().directory(people()));
    fs::create_dir_all(host.path("/run/rollcall")).expect("the folder can be made");
    let path = host.path(common::paths::SOCKET);
    let listener = UnixListener::bind(&path).expect("the socket can be made");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).expect("it is ours");
    thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || deed(client));
        }
    });
    let mut probe = Running::start(&host);
    for command in ["user alice", "uid 10001", "group crew", "user nobody-here"] {
        assert_eq!(probe.ask(command), UNAVAILABLE, "{command}");
    }
    probe.end();
}

fn answer(mut client: UnixStream, bytes: &[u8]) {
    let _ = client.read(&mut [0; 4096]);
    let _ = client.write_all(bytes);
    while client.read(&mut [0; 512]).is_ok_and(|length| length > 0) {}
}

#[test]
fn one_that_closes_at_once_is_an_outage() {
    endure(drop);
}

#[test]
fn one_that_closes_after_the_request_is_an_outage() {
    endure(|mut client| drop(client.read(&mut [0; 4096])));
}

#[test]
fn one_that_stalls_is_an_outage() {
    endure(|client| answer(client, &[]));
}

#[test]
fn one_that_answers_garbage_is_an_outage() {
    endure(|client| answer(client, &[0xff; 4096]));
}

#[test]
fn one_that_trickles_is_an_outage() {
    endure(|mut client| {
        let _ = client.read(&mut [0; 4096]);
        let frame = common::frame::encode_response(&common::protocol::Response::NotFound);
        for byte in frame.expect("it is small") {
            thread::sleep(Duration::from_secs(1));
            if client.write_all(&[byte]).is_err() {
                return;
            }
        }
    });
}

#[test]
fn one_that_closes_in_the_middle_of_an_answer_is_an_outage() {
    endure(|mut client| {
        let _ = client.read(&mut [0; 4096]);
        let frame = common::frame::encode_response(&common::protocol::Response::NotFound);
        let frame = frame.expect("it is small");
        let _ = client.write_all(&frame[..frame.len() - 1]);
    });
}

#[test]
fn one_that_says_more_than_an_answer_is_an_outage() {
    endure(|client| {
        let frame = common::frame::encode_response(&common::protocol::Response::NotFound);
        answer(client, &[frame.expect("it is small"), vec![0]].concat());
    });
}

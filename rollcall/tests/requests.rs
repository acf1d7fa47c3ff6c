//! What the daemon does with connections, good and bad.

mod support;

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::thread;

use common::frame::{self, RESPONSE_HEADER};
use common::protocol::{Refused, Response, Unavailable};
use support::{Daemon, Folder, PATIENCE, ask, request, silent_server};

fn response(stream: &mut UnixStream) -> Response {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    let length = frame::response_header(bytes.first_chunk().unwrap()).unwrap();
    assert_eq!(bytes.len(), RESPONSE_HEADER + length, "one response, and nothing behind it");
    frame::decode(&bytes[RESPONSE_HEADER..]).unwrap()
}

#[test]
fn without_a_directory_server_the_answer_is_unavailable() {
    let folder = Folder::new();
    let _daemon = folder.start();
    let answer = folder.ask();
    assert!(
        matches!(answer, Response::Unavailable(Unavailable::Directory(_))),
        "neither an error of the daemon nor \"not found\": {answer:?}"
    );
}

#[test]
fn garbage_is_refused() {
    let folder = Folder::new();
    let daemon = folder.start();
    let mut stream = UnixStream::connect(folder.socket()).unwrap();
    stream.write_all(&[0xff; frame::REQUEST_HEADER]).unwrap();
    assert_eq!(response(&mut stream), Response::Refused(Refused::Malformed));
    daemon.logs("not a frame of this protocol");
}

#[test]
fn a_request_that_is_longer_than_allowed_is_refused_unread() {
    let folder = Folder::new();
    let _daemon = folder.start();
    let mut stream = UnixStream::connect(folder.socket()).unwrap();
    let mut header = frame::encode_request(&request(), 1000).unwrap().to_vec();
    header.truncate(frame::REQUEST_HEADER);
    header[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
    stream.write_all(&header).unwrap();
    assert_eq!(response(&mut stream), Response::Refused(Refused::Malformed));
}

#[test]
fn a_request_of_another_version_is_answered_in_this_one() {
    let folder = Folder::new();
    let daemon = folder.start();
    let mut stream = UnixStream::connect(folder.socket()).unwrap();
    let mut frame = frame::encode_request(&request(), 1000).unwrap().to_vec();
    frame[2] = 99;
    frame.truncate(frame::REQUEST_HEADER);
    stream.write_all(&frame).unwrap();
    assert_eq!(response(&mut stream), Response::Refused(Refused::Malformed));
    daemon.logs("protocol version 99");
}

#[test]
fn a_peer_that_never_finishes_its_request_is_cut_off() {
    let folder = Folder::new();
    let _daemon = folder.start();
    let mut stream = UnixStream::connect(folder.socket()).unwrap();
    stream.write_all(b"RC").unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(stream.read(&mut [0]).unwrap(), 0, "closed by the daemon");
}

#[test]
fn a_peer_that_never_finishes_its_request_keeps_nobody_waiting() {
    let folder = Folder::new();
    let _daemon = folder.start();
    let mut slow = UnixStream::connect(folder.socket()).unwrap();
    slow.write_all(b"RC").unwrap();
    assert!(matches!(folder.ask(), Response::Unavailable(Unavailable::Directory(_))));
    slow.write_all(b"..").expect("the slow peer is still connected");
}

#[test]
fn two_hundred_askers_at_once_are_all_answered() {
    let folder = Folder::new();
    let _daemon = folder.start();
    let askers: Vec<_> = (0..200)
        .map(|_| {
            let socket = folder.socket();
            thread::spawn(move || ask(&socket))
        })
        .collect();
    for asker in askers {
        let answer = asker.join().unwrap();
        assert!(matches!(answer, Response::Unavailable(Unavailable::Directory(_))), "{answer:?}");
    }
}

#[test]
fn a_lookup_is_given_up_when_its_asker_hangs_up() {
    let (server, address) = silent_server();
    let folder = Folder::with_server(address);
    let daemon = folder.start();
    let mut stream = UnixStream::connect(folder.socket()).unwrap();
    stream.write_all(&frame::encode_request(&request(), u32::MAX).unwrap()).unwrap();
    let _asked = server.accept().unwrap();
    stream.shutdown(Shutdown::Both).unwrap();
    daemon.logs("the asker hung up");
}

#[test]
fn who_comes_when_there_are_too_many_is_told_so() {
    let folder = Folder::new();
    // Half of the descriptors are for connections, where there are so few.
    let daemon = Daemon::start(folder.command_after("ulimit -n 256;"));
    let idle: Vec<_> = (0..128).map(|_| UnixStream::connect(folder.socket()).unwrap()).collect();
    assert_eq!(folder.ask(), Response::Unavailable(Unavailable::Busy));
    daemon.logs("too many connections");
    drop(idle);
}

#[test]
fn running_out_of_descriptors_is_survived() {
    let folder = Folder::new();
    let daemon = Daemon::start(folder.command_after("ulimit -n 16;"));
    let idle: Vec<_> = (0..16).map(|_| UnixStream::connect(folder.socket()).unwrap()).collect();
    daemon.logs("can't accept connections for the moment");
    drop(idle);
    assert!(matches!(folder.ask(), Response::Unavailable(_)));
    assert!(daemon.stop().success(), "it is still the same daemon");
}

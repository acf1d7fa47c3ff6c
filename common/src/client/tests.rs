use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use super::*;
use crate::account::{Gid, Name};
use crate::frame::encode_response;

mod patience;

/// A daemon that does one thing with each connection.
fn daemon(serve: impl Fn(UnixStream) + Send + 'static) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            serve(stream.unwrap());
        }
    });
    (dir, path)
}

fn read_request(stream: &mut UnixStream) {
    let mut header = [0; frame::REQUEST_HEADER];
    stream.read_exact(&mut header).unwrap();
    let (length, _) = frame::request_header(&header).unwrap();
    stream.read_exact(&mut vec![0; length]).unwrap();
}

fn ask(path: &Path, budget: Duration) -> Response {
    let request = Request::GroupsOf(Name::parse("alice").unwrap());
    Client::Socket(path).ask(&request, Deadline::after(budget))
}

const LONG: Duration = Duration::from_secs(30);

#[test]
fn an_answer_of_any_length_arrives_whole() {
    for count in [0_u32, 1, 2000, 100_000] {
        let response =
            Response::Gids((1..=count).map(|n| Gid::new(100_000 + n).unwrap()).collect());
        let sent = response.clone();
        let (_dir, path) = daemon(move |mut stream| {
            read_request(&mut stream);
            stream.write_all(&encode_response(&sent).unwrap()).unwrap();
        });
        assert_eq!(ask(&path, LONG), response);
    }
}

#[test]
fn no_socket_means_no_daemon() {
    let dir = tempfile::tempdir().unwrap();
    let answer = ask(&dir.path().join("socket"), LONG);
    assert_eq!(answer, Response::Unavailable(Unavailable::NoDaemon));
}

#[test]
fn a_daemon_that_hangs_up_is_unavailable() {
    let (_dir, path) = daemon(|mut stream| read_request(&mut stream));
    assert!(matches!(ask(&path, LONG), Response::Unavailable(Unavailable::Daemon(_))));
}

#[test]
fn an_answer_cut_short_is_unavailable() {
    let (_dir, path) = daemon(|mut stream| {
        read_request(&mut stream);
        let frame = encode_response(&Response::Gids(vec![Gid::new(1000).unwrap(); 50])).unwrap();
        stream.write_all(&frame[..frame.len() - 1]).unwrap();
    });
    assert!(matches!(ask(&path, LONG), Response::Unavailable(Unavailable::Daemon(_))));
}

#[test]
fn bytes_behind_an_answer_are_unavailable() {
    let (_dir, path) = daemon(|mut stream| {
        read_request(&mut stream);
        let mut frame = encode_response(&Response::NotFound).unwrap();
        frame.push(0);
        stream.write_all(&frame).unwrap();
    });
    assert!(matches!(ask(&path, LONG), Response::Unavailable(Unavailable::Protocol(_))));
}

#[test]
fn garbage_is_unavailable() {
    let (_dir, path) = daemon(|mut stream| {
        read_request(&mut stream);
        let _ = stream.write_all(&[0xff; 64]);
    });
    assert!(matches!(ask(&path, LONG), Response::Unavailable(Unavailable::Protocol(_))));
}

/// The length announces 64 MiB; nothing near that is allocated or waited for.
#[test]
fn an_announced_length_is_not_believed() {
    let (_dir, path) = daemon(|mut stream| {
        read_request(&mut stream);
        let mut frame = encode_response(&Response::NotFound).unwrap();
        let length = u32::try_from(frame::MAX_RESPONSE).unwrap();
        frame[4..8].copy_from_slice(&length.to_le_bytes());
        stream.write_all(&frame).unwrap();
    });
    assert!(matches!(ask(&path, LONG), Response::Unavailable(Unavailable::Daemon(_))));
}

/// A user never takes megabytes of a host's memory.
#[test]
fn an_answer_longer_than_its_question_can_need_is_unavailable() {
    let (_dir, path) = daemon(|mut stream| {
        read_request(&mut stream);
        let ids = vec![Gid::new(100_000).unwrap(); 50_000];
        let _ = stream.write_all(&encode_response(&Response::Gids(ids)).unwrap());
    });
    let request = Request::UserByName(Name::parse("alice").unwrap());
    let answer = Client::Socket(&path).ask(&request, Deadline::after(LONG));
    let Response::Unavailable(Unavailable::Protocol(why)) = answer else { panic!("{answer:?}") };
    assert_eq!(why, frame::FrameError::TooLong.to_string());
}

#[test]
fn a_daemon_that_trickles_runs_into_the_deadline() {
    let (_dir, path) = daemon(|mut stream| {
        read_request(&mut stream);
        let frame = encode_response(&Response::Gids(vec![Gid::new(1000).unwrap(); 5000])).unwrap();
        for byte in frame {
            if stream.write_all(&[byte]).is_err() {
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
    });
    let started = Instant::now();
    let answer = ask(&path, Duration::from_millis(200));
    assert_eq!(answer, Response::Unavailable(Unavailable::TimedOut));
    assert!(started.elapsed() < Duration::from_secs(10), "the trickle alone takes 100 s");
}

#[test]
fn a_daemon_that_never_accepts_runs_into_the_deadline() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    let _listener = UnixListener::bind(&path).unwrap();
    let answer = ask(&path, Duration::from_millis(100));
    assert_eq!(answer, Response::Unavailable(Unavailable::TimedOut));
}

//! How long a daemon is waited for that may hang. The deadline is long: who comes back before
//! half of it hasn't waited for it.

use rustix::net::{bind, listen};

use super::*;
use crate::table::Heart::{Beats, Stopped, Unknown};

/// A socket that takes what comes, and a daemon that doesn't look.
fn nobody_reads() -> (tempfile::TempDir, PathBuf, UnixListener) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    (dir, path, listener)
}

fn request() -> Request {
    Request::GroupsOf(Name::parse("alice").unwrap())
}

/// A lookup that the old table knows the answer to, or doesn't.
fn look_up(
    path: &Path,
    heart: Heart,
    is_known: bool,
    hung: &Hung,
) -> Result<Response, Unavailable> {
    let mut can_do_without = || is_known;
    let deadline = Deadline::after(LONG);
    let mut wait = Wait { deadline, heart, can_do_without: &mut can_do_without };
    patiently(path, &request(), &mut wait, hung)
}

/// The same, and it must not wait for its deadline.
#[track_caller]
fn soon(path: &Path, heart: Heart, is_known: bool, hung: &Hung) -> Result<Response, Unavailable> {
    let started = Instant::now();
    let answer = look_up(path, heart, is_known, hung);
    assert!(started.elapsed() < LONG / 2);
    answer
}

/// A process that has just waited in vain.
fn met(has_waited: bool) -> Hung {
    let hung = Hung::new();
    // Ahead, so that it stays true on a slow machine.
    hung.note(Now::read().0 + 5, has_waited);
    hung
}

fn is_known(hung: &Hung) -> bool {
    hung.known(Now::read().0).is_some()
}

const IN_VAIN: Result<Response, Unavailable> = Err(Unavailable::TimedOut);
const NOBODY: Result<Response, Unavailable> = Err(Unavailable::NoDaemon);

#[test]
fn who_is_known_from_the_old_table_waits_for_no_deadline() {
    let (_dir, path, _listener) = nobody_reads();
    for heart in [Stopped(0), Stopped(wait::LONG_AGO), Unknown] {
        let hung = Hung::new();
        assert_eq!(soon(&path, heart, true, &hung), IN_VAIN);
        assert!(is_known(&hung), "{heart:?}");
    }
}

#[test]
fn who_is_not_known_waits_for_one_deadline() {
    let (_dir, path, _listener) = nobody_reads();
    for heart in [Stopped(60), Unknown, Beats] {
        let hung = Hung::new();
        let budget = wait::PATIENCE * 2;
        let started = Instant::now();
        let deadline = Deadline::after(budget);
        let mut wait = Wait { deadline, heart, can_do_without: &mut || false };
        assert_eq!(patiently(&path, &request(), &mut wait, &hung), IN_VAIN);
        assert!(started.elapsed() >= budget, "{heart:?}");
        assert!(hung.known(Now::read().0).unwrap().has_waited, "{heart:?}");
    }
}

/// There is no socket, so whoever asks finds that out.
#[test]
fn after_a_deadline_nobody_is_asked_for_a_while() {
    let path = Path::new("/nonexistent/socket");
    for (heart, is_known) in [(Stopped(0), true), (Stopped(0), false), (Unknown, true)] {
        assert_eq!(look_up(path, heart, is_known, &met(true)), IN_VAIN);
    }
}

/// Nothing else would tell that the daemon is back.
#[test]
fn where_no_heart_can_begin_to_beat_who_is_not_known_is_asked_for_all_the_same() {
    let path = Path::new("/nonexistent/socket");
    assert_eq!(look_up(path, Unknown, false, &met(true)), NOBODY);
}

#[test]
fn after_a_shorter_wait_only_who_is_not_known_is_asked_for() {
    let path = Path::new("/nonexistent/socket");
    assert_eq!(look_up(path, Stopped(0), true, &met(false)), IN_VAIN);
    assert_eq!(look_up(path, Stopped(0), false, &met(false)), NOBODY);
}

#[test]
fn a_heart_that_beats_is_believed_whatever_is_remembered() {
    let path = Path::new("/nonexistent/socket");
    assert_eq!(look_up(path, Beats, true, &met(true)), NOBODY);
}

#[test]
fn who_tries_again_has_no_more_than_patience() {
    let (_dir, path, _listener) = nobody_reads();
    let hung = Hung::new();
    hung.note(Now::read().0.saturating_sub(30), true);
    assert_eq!(soon(&path, Stopped(60), false, &hung), IN_VAIN);
}

#[test]
fn an_answer_ends_what_is_remembered() {
    let (_dir, path) = daemon(|mut stream| {
        read_request(&mut stream);
        stream.write_all(&encode_response(&Response::NotFound).unwrap()).unwrap();
    });
    for heart in [Stopped(60), Unknown, Beats] {
        let hung = Hung::new();
        hung.note(Now::read().0.saturating_sub(30), true);
        assert_eq!(look_up(&path, heart, true, &hung), Ok(Response::NotFound));
        assert!(!is_known(&hung), "{heart:?}");
    }
}

/// It has no room for a table, and a slow directory.
#[test]
fn a_daemon_without_a_table_that_has_read_the_request_is_waited_for() {
    let (_dir, path) = daemon(|mut stream| {
        read_request(&mut stream);
        thread::sleep(wait::PATIENCE * 3);
        stream.write_all(&encode_response(&Response::NotFound).unwrap()).unwrap();
    });
    assert_eq!(look_up(&path, Unknown, true, &Hung::new()), Ok(Response::NotFound));
}

#[test]
fn a_daemon_whose_heart_has_stopped_is_not_waited_for_even_if_it_reads() {
    let (_dir, path) = daemon(|mut stream| {
        read_request(&mut stream);
        thread::sleep(LONG);
    });
    assert_eq!(soon(&path, Stopped(0), true, &Hung::new()), IN_VAIN);
}

#[test]
fn a_daemon_that_is_slow_with_its_directory_is_no_daemon_that_hangs() {
    for heart in [Unknown, Beats] {
        let (_dir, path) = daemon(|mut stream| {
            read_request(&mut stream);
            thread::sleep(LONG);
        });
        let hung = Hung::new();
        let deadline = Deadline::after(wait::PATIENCE * 2);
        let mut wait = Wait { deadline, heart, can_do_without: &mut || false };
        assert_eq!(patiently(&path, &request(), &mut wait, &hung), IN_VAIN);
        assert!(!is_known(&hung), "{heart:?}");
    }
}

#[test]
fn a_full_queue_under_a_stopped_heart_is_left_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    let address = SocketAddrUnix::new(&path).unwrap();
    let new = |flags| socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None).unwrap();
    let listener = new(SocketFlags::CLOEXEC);
    bind(&listener, &address).unwrap();
    listen(&listener, 0).unwrap();
    let mut waiting = Vec::new();
    loop {
        let socket = new(SocketFlags::CLOEXEC | SocketFlags::NONBLOCK);
        match connect(&socket, &address) {
            Ok(()) => waiting.push(socket),
            Err(why) => break assert_eq!(why, Errno::AGAIN),
        }
    }
    for is_known in [true, false] {
        assert_eq!(soon(&path, Stopped(0), is_known, &Hung::new()), IN_VAIN);
    }
}

#[test]
fn a_socket_that_refuses_is_left_at_once() {
    let (_dir, path, listener) = nobody_reads();
    drop(listener);
    for heart in [Stopped(0), Unknown, Beats] {
        let hung = Hung::new();
        let answer = soon(&path, heart, false, &hung);
        assert!(matches!(answer, Err(Unavailable::Daemon(_))), "{answer:?}");
        assert!(!is_known(&hung));
    }
}

#[test]
fn a_login_that_nobody_reads_is_given_up_before_its_deadline() {
    let (_dir, path, _listener) = nobody_reads();
    let started = Instant::now();
    assert_eq!(until_read(&path, &request(), Deadline::after(LONG), &met(true)), IN_VAIN);
    assert!(started.elapsed() < LONG / 2);
}

#[test]
fn a_login_that_is_read_has_its_whole_deadline() {
    let (_dir, path) = daemon(|mut stream| {
        read_request(&mut stream);
        thread::sleep(wait::UNREAD_AGAIN * 2);
        stream.write_all(&encode_response(&Response::NotFound).unwrap()).unwrap();
    });
    let answer = until_read(&path, &request(), Deadline::after(LONG), &met(true));
    assert_eq!(answer, Ok(Response::NotFound));
}

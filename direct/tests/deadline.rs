//! An answer comes within its deadline, whatever the server does.

mod host;

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use common::protocol::Response;
use host::{Direct, in_a_host};

/// A server that does this with each connection; it lives as long as the test.
fn server(serve: fn(TcpStream)) -> Direct {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || serve(stream));
        }
    });
    Direct::with_uri(&format!("ldap://127.0.0.1:{port}"))
}

fn expect_unavailable_in_time(direct: &Direct) {
    for _ in 0..2 {
        let started = Instant::now();
        let response = direct.ask(Duration::from_millis(500));
        assert!(matches!(response, Response::Unavailable(_)), "{response:?}");
        let took = started.elapsed();
        assert!(took < Duration::from_secs(10), "{took:?}; no limit of LDAP's is as short");
    }
}

#[test]
fn a_server_that_never_answers_is_unavailable_in_time() {
    in_a_host("a_server_that_never_answers_is_unavailable_in_time", || {
        expect_unavailable_in_time(&server(|stream| {
            thread::park();
            drop(stream);
        }));
    });
}

#[test]
fn a_server_that_hangs_up_is_unavailable() {
    in_a_host("a_server_that_hangs_up_is_unavailable", || {
        expect_unavailable_in_time(&server(drop));
    });
}

#[test]
fn a_server_that_talks_nonsense_is_unavailable() {
    in_a_host("a_server_that_talks_nonsense_is_unavailable", || {
        expect_unavailable_in_time(&server(|mut stream| {
            let _ = stream.write_all(&[0xff; 1000]);
            thread::park();
        }));
    });
}

#[test]
fn a_request_without_time_left_times_out() {
    in_a_host("a_request_without_time_left_times_out", || {
        let response = Direct::without_a_server().ask(Duration::ZERO);
        assert!(matches!(response, Response::Unavailable(_)), "{response:?}");
    });
}

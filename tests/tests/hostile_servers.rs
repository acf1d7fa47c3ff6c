//! Servers that mean no good, or are broken. Whatever they do, the program and
//! the daemon live on, the answer is "nobody knows" and never "no such user",
//! it comes in time, and a good server is asked again as soon as it is there.

mod probe;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use std::{fs, thread};

use harness::{Host, PATIENCE, until};
use probe::{Running, UNAVAILABLE, Way, host, people};
use rustix::fd::AsFd;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

const ALICE: &str = "alice:10001:20001:alice:/home/alice:/bin/sh";
/// Where the hostile server listens, before the good one at port 389.
const ADDRESS: &str = "127.0.0.1:1389";
/// The good one.
const GOOD: &str = "127.0.0.1:389";
/// More than a process may need for a hostile answer, in KiB.
const MEMORY: u64 = 300 << 10;

/// What a hostile server does to a client.
type Deed = fn(TcpStream);

/// A server in a host's network; each client is done a deed to until it is
/// told to be good, and then passes everything on to the good server.
struct Fake(Arc<AtomicBool>);

impl Fake {
    fn start(host: &Host, deed: Deed) -> Self {
        let network = fs::File::open(host.path("/proc/1/ns/net")).expect("the host runs");
        let good = Arc::new(AtomicBool::new(false));
        let fake = Self(Arc::clone(&good));
        let (ready, listening) = std::sync::mpsc::channel();
        // Only this thread, and those that it starts, are in that network.
        thread::spawn(move || {
            move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network))
                .expect("the tests run as root");
            drop(network);
            let listener = TcpListener::bind(ADDRESS).expect("the port is free");
            ready.send(()).expect("the test waits");
            for client in listener.incoming().map_while(Result::ok) {
                let deed = if good.load(Ordering::SeqCst) { pass_on } else { deed };
                thread::spawn(move || deed(client));
            }
        });
        listening.recv().expect("the server listens");
        fake
    }

    fn become_good(&self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Connects a client with the good server.
fn pass_on(client: TcpStream) {
    pass_on_with(client, |_| true);
}

/// The same; each piece of the server's answer may be changed, or be the last one.
fn pass_on_with(mut client: TcpStream, mut change: impl FnMut(&mut Vec<u8>) -> bool) {
    let Ok(mut server) = TcpStream::connect(GOOD) else { return };
    let (mut from, mut to) = (copy(&client), copy(&server));
    thread::spawn(move || {
        let _ = std::io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Both);
    });
    let mut buffer = [0; 4096];
    while let Ok(length @ 1..) = server.read(&mut buffer) {
        let mut bytes = buffer[..length].to_vec();
        let go_on = change(&mut bytes);
        if client.write_all(&bytes).is_err() || !go_on {
            break;
        }
    }
    let _ = client.shutdown(Shutdown::Both);
    let _ = server.shutdown(Shutdown::Both);
}

fn copy(stream: &TcpStream) -> TcpStream {
    stream.try_clone().expect("a descriptor is free")
}

/// Reads a request; its message id, or `None` if there is none.
fn request(client: &mut TcpStream) -> Option<u8> {
    let mut bytes = [0; 4096];
    let length = client.read(&mut bytes).ok()?;
    // LDAPMessage ::= SEQUENCE { messageID INTEGER …, RFC 4511 section 4.1.1
    let id = bytes[..length].windows(2).position(|two| two == [2, 1])?;
    Some(bytes[id + 2])
}

/// Answers the first request, and then listens until the client hangs up.
fn answer(mut client: TcpStream, bytes: impl FnOnce(u8) -> Vec<u8>) {
    let Some(id) = request(&mut client) else { return };
    let _ = client.write_all(&bytes(id));
    while client.read(&mut [0; 512]).is_ok_and(|length| length > 0) {}
}

/// BER of any length, with the length in four bytes.
fn tag(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).expect("it is small");
    [&[tag, 0x84], &length.to_be_bytes()[..], content].concat()
}

fn message(id: u8, operation: &[u8]) -> Vec<u8> {
    tag(0x30, &[&[2, 1, id], operation].concat())
}

/// An `LDAPResult` with this tag and code.
fn result(kind: u8, code: u8) -> Vec<u8> {
    tag(kind, &[0x0a, 1, code, 4, 0, 4, 0])
}

const SEARCH_ENTRY: u8 = 0x64;
const SEARCH_DONE: u8 = 0x65;
const BIND_RESPONSE: u8 = 0x61;
const EXTENDED_RESPONSE: u8 = 0x78;

fn nested(depth: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(depth * 6);
    for inner in (0..depth).rev() {
        bytes.extend([0x30, 0x84]);
        bytes.extend(u32::try_from(inner * 6).expect("it is small").to_be_bytes());
    }
    bytes
}

/// Asks through a hostile server, and then through a good one in its place.
#[track_caller]
fn endure(way: Way, tls: &str, deed: Deed) {
    let configuration = format!(
        "[directory]\nuri = [\"ldap://{ADDRESS}\"]\nbase = \"dc=example,dc=org\"\n\
         tls = \"{tls}\"\nca_file = \"/etc/ssl/rollcall-test-ca.pem\"\n"
    );
    let configuration =
        if tls == "off" { configuration.replace("ca_file", "# ca_file") } else { configuration };
    let builder = Host::new().directory(people()).whole_configuration(&configuration);
    let mut host = host(way, builder);
    let fake = Fake::start(&host, deed);
    let daemon = matches!(way, Way::Daemon).then(|| host.daemon().pid());

    let mut probe = Running::start(&host);
    for command in ["user alice", "user nobody-here", "group crew"] {
        assert_eq!(probe.ask(command), UNAVAILABLE, "{}", host.log().join("\n"));
    }
    fake.become_good();
    until(PATIENCE, || (probe.ask("user alice") == ALICE).then_some(()))
        .unwrap_or_else(|| panic!("a good server is asked\n{}", host.log().join("\n")));
    assert_eq!(probe.ask("user nobody-here"), "none");

    if let Some(pid) = daemon {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the daemon lives");
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let peak = peak.and_then(|text| text.trim().strip_suffix("kB")?.trim().parse().ok());
        assert!(peak.is_some_and(|peak: u64| peak < MEMORY), "{status}");
    }
    probe.end();
}

macro_rules! hostile {
    ($($(#[$attribute:meta])* $name:ident ($tls:literal): $deed:expr;)+) => {$(
        mod $name {
            use super::*;

            #[allow(clippy::redundant_closure_for_method_calls, reason = "all look the same")]
            $(#[$attribute])*
            const DEED: Deed = $deed;

            #[test]
            fn to_the_daemon() {
                endure(Way::Daemon, $tls, DEED);
            }

            #[test]
            fn to_direct_so() {
                endure(Way::Direct, $tls, DEED);
            }
        }
    )+};
}

hostile! {
    a_server_that_closes_at_once("off"): drop;

    a_server_that_closes_after_the_request("off"): |mut client| {
        request(&mut client);
    };

    a_server_that_stalls("off"): |client| answer(client, |_| Vec::new());

    a_server_that_stalls_before_tls("starttls"): |client| answer(client, |_| Vec::new());

    a_server_that_trickles("off"): |mut client| {
        let Some(id) = request(&mut client) else { return };
        for byte in message(id, &tag(SEARCH_ENTRY, &tag(4, &[b'x'; 4000]))) {
            thread::sleep(Duration::from_millis(100));
            if client.write_all(&[byte]).is_err() {
                return;
            }
        }
    };

    a_server_that_speaks_another_protocol("off"): |client| {
        answer(client, |_| b"HTTP/1.1 400 Bad Request\r\nConnection: keep-alive\r\n\r\n".to_vec());
    };

    a_server_that_answers_garbage("off"): |client| answer(client, |_| (0..=255).collect());

    a_server_that_answers_garbage_in_an_envelope("off"): |client| {
        answer(client, |id| message(id, &tag(SEARCH_ENTRY, &[0xff; 100])));
    };

    a_server_that_answers_another_question("off"): |client| {
        answer(client, |id| message(id, &result(BIND_RESPONSE, 0)));
    };

    a_server_that_answers_another_message("off"): |client| {
        answer(client, |id| message(id + 1, &result(SEARCH_DONE, 0)));
    };

    a_server_that_is_not_willing("off"): |client| {
        answer(client, |id| message(id, &result(SEARCH_DONE, 53)));
    };

    a_server_that_nests_200_000_tags("off"): |client| {
        answer(client, |id| message(id, &nested(200_000)));
    };

    a_server_that_nests_200_000_tags_in_an_entry("off"): |client| {
        answer(client, |id| message(id, &tag(SEARCH_ENTRY, &nested(200_000))));
    };

    a_server_that_nests_without_end("off"): |client| answer(client, |_| [0x30, 0x80].repeat(200_000));

    a_server_that_announces_2_gib("off"): |client| {
        let announced = [0x30, 0x84, 0x7f, 0xff, 0xff, 0xff, 2, 1];
        answer(client, |id| [&announced[..], &[id, SEARCH_ENTRY], &[0; 4096]].concat());
    };

    a_server_that_announces_more_than_memory_has("off"): |client| {
        answer(client, |_| [&[0x30, 0x88], &[0x7f; 8][..], &[0; 4096]].concat());
    };

    a_server_that_refuses_starttls("starttls"): |client| {
        answer(client, |id| message(id, &result(EXTENDED_RESPONSE, 52)));
    };

    a_server_that_has_no_tls_behind_starttls("starttls"): |client| {
        answer(client, |id| {
            [message(id, &result(EXTENDED_RESPONSE, 0)), vec![b'x'; 4096]].concat()
        });
    };

    /// Somebody on the way adds clear bytes to the answer; the server behind is good.
    clear_bytes_after_the_starttls_answer("starttls"): |client| {
        let mut first = true;
        pass_on_with(client, |bytes| {
            if std::mem::take(&mut first) {
                bytes.extend(message(2, &result(SEARCH_DONE, 0)));
            }
            true
        });
    };

    a_connection_that_ends_in_the_tls_handshake("starttls"): |client| {
        let mut pieces = 0;
        pass_on_with(client, |bytes| {
            pieces += 1;
            if pieces == 2 {
                bytes.truncate(20);
            }
            pieces < 2
        });
    };

    a_server_that_closes_in_the_middle_of_an_answer("off"): |client| {
        pass_on_with(client, |bytes| {
            bytes.truncate(10);
            false
        });
    };

    a_server_that_closes_before_the_last_byte_of_an_answer("off"): |client| {
        pass_on_with(client, |bytes| {
            bytes.pop();
            false
        });
    };
}

#[test]
fn a_second_server_answers_for_a_hostile_one() {
    let configuration = format!(
        "[directory]\nuri = [\"ldap://{ADDRESS}\", \"ldap://{GOOD}\"]\n\
         base = \"dc=example,dc=org\"\nca_file = \"/etc/ssl/rollcall-test-ca.pem\"\n"
    );
    let builder = Host::new().directory(people()).whole_configuration(&configuration);
    let host = host(Way::Daemon, builder);
    let _fake = Fake::start(&host, |client| answer(client, |_| nested(200_000)));
    assert_eq!(probe::ask(&host, "user alice"), ALICE);
}

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::*;
use crate::config::{Config, Identity};
use crate::secret::Secret;

/// A configuration with one server, on this port of this host.
pub(super) fn config(port: u16) -> Config {
    config_of(&[port])
}

fn config_of(ports: &[u16]) -> Config {
    let servers: Vec<_> = ports.iter().map(|port| format!("ldap://127.0.0.1:{port}")).collect();
    let text = format!("[directory]\nuri = {servers:?}\ntls = \"off\"\n");
    Config::parse(&text, Path::new("rollcall.toml")).unwrap()
}

/// Says to every request on a connection that nothing was found (RFC 4511 section 4.5.2).
async fn answer(mut connection: TcpStream, says_nothing: Arc<AtomicBool>) {
    let mut request = [0; 512];
    while connection.read(&mut request).await.unwrap() > 0 {
        if !says_nothing.load(Ordering::Relaxed) {
            let id = request[4];
            let response = [48, 12, 2, 1, id, 101, 7, 10, 1, 0, 4, 0, 4, 0];
            connection.write_all(&response).await.unwrap();
        }
    }
}

async fn listen() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

/// A server that has room for one connection, and closes the others.
struct Full {
    pool: Pool,
    silent: Arc<AtomicBool>,
}

impl Full {
    async fn start() -> Self {
        let (listener, port) = listen().await;
        let silent = Arc::new(AtomicBool::new(false));
        let says_nothing = Arc::clone(&silent);
        tokio::spawn(async move {
            let (first, _) = listener.accept().await.unwrap();
            tokio::spawn(async move { while listener.accept().await.is_ok() {} });
            answer(first, says_nothing).await;
        });
        let config = config(port);
        let pool = Pool::new(&config.directories[0], &config.timeouts, 4).unwrap();
        Self { pool, silent }
    }
}

fn soon() -> Deadline {
    Deadline::after(Duration::from_secs(5))
}

async fn look_up(pool: &Pool) -> Connection {
    pool.place(Purpose::Lookup, soon()).await.unwrap().connection.clone()
}

async fn until(what: impl Fn() -> bool) {
    let wait = async {
        while !what() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(Duration::from_secs(10), wait).await.unwrap();
}

async fn until_an_outage(pool: &Pool) {
    until(|| {
        pool.look();
        pool.outage().is_some()
    })
    .await;
}

/// Whether an attempt to connect has failed.
fn knows_of_a_failure(pool: &Pool) -> bool {
    pool.status()[0].why.is_some()
}

#[tokio::test]
async fn a_new_connection_that_fails_ends_no_older_one_that_answers() {
    let server = Full::start().await;
    let connection = look_up(&server.pool).await;
    server.pool.look();
    until(|| knows_of_a_failure(&server.pool)).await;
    assert!(connection.is_alive());
    assert_eq!(server.pool.outage(), None);
}

#[tokio::test]
async fn when_nobody_answers_on_the_older_one_either_it_ends_and_there_is_an_outage() {
    let server = Full::start().await;
    let connection = look_up(&server.pool).await;
    server.silent.store(true, Ordering::Relaxed);
    server.pool.look();
    until(|| server.pool.outage().is_some()).await;
    assert!(!connection.is_alive());
}

#[tokio::test]
async fn a_reading_goes_back_to_a_preferred_server_later_than_lookups() {
    let (preferred, its_port) = listen().await;
    let (other, other_port) = listen().await;
    let closed = Arc::new(AtomicBool::new(true));
    for (listener, closed) in [(preferred, Arc::clone(&closed)), (other, Arc::default())] {
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                if !closed.load(Ordering::Relaxed) {
                    tokio::spawn(answer(connection, Arc::default()));
                }
            }
        });
    }
    let config = config_of(&[its_port, other_port]);
    let pool = Pool::new(&config.directories[0], &config.timeouts, 4).unwrap();
    until(|| {
        pool.look();
        pool.status().iter().any(|server| server.why.is_some())
    })
    .await;
    let lookup = look_up(&pool).await;
    let reading = pool.reading_place(soon()).await.unwrap().connection;
    closed.store(false, Ordering::Relaxed);
    until(|| !lookup.is_alive()).await;
    assert!(reading.is_alive());
    pool.servers.move_readings(Duration::ZERO);
    assert!(!reading.is_alive());
}

/// A server that answers everybody.
async fn willing() -> Pool {
    let (listener, port) = listen().await;
    tokio::spawn(async move {
        while let Ok((connection, _)) = listener.accept().await {
            tokio::spawn(answer(connection, Arc::default()));
        }
    });
    let config = config(port);
    Pool::new(&config.directories[0], &config.timeouts, 4).unwrap()
}

/// As many requests under way as one connection is for.
async fn crowd(pool: &Pool) -> Vec<Place> {
    let mut crowd = Vec::new();
    for _ in 0..CROWDED {
        crowd.push(pool.place(Purpose::Lookup, soon()).await.unwrap());
    }
    crowd
}

#[tokio::test]
async fn a_crowd_that_is_served_quickly_stays_on_one_connection() {
    let pool = willing().await;
    let mut crowd = crowd(&pool).await;
    let served = async { crowd.truncate(CROWDED - 2) };
    let next = || pool.place(Purpose::Lookup, soon());
    let (one, another, ()) = tokio::join!(next(), next(), served);
    assert!(one.is_ok() && another.is_ok());
    assert_eq!(pool.lookups.count(), 1);
}

#[tokio::test]
async fn a_crowd_that_waits_gets_another_connection() {
    let pool = willing().await;
    let _crowd = crowd(&pool).await;
    let _next = pool.place(Purpose::Lookup, soon()).await.unwrap();
    assert_eq!(pool.lookups.count(), 2);
}

#[tokio::test]
async fn a_crowd_whose_connection_ends_waits_for_no_place_on_it() {
    let pool = willing().await;
    let crowd = crowd(&pool).await;
    crowd[0].connection.retire();
    let waits = pool.lookups.lane_soon(soon()).await;
    assert!(waits.is_none());
}

/// A server that says this to whatever it hears, and listens on.
async fn babbling(says: &'static [u8], reader: Option<Identity>) -> Pool {
    let (listener, port) = listen().await;
    tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            tokio::spawn(async move {
                while connection.read(&mut [0; 512]).await.is_ok_and(|length| length > 0) {
                    connection.write_all(says).await.unwrap();
                }
            });
        }
    });
    let mut config = config(port);
    config.directories[0].reader = reader;
    config.directories[0].tls.allow_cleartext_passwords = true;
    Pool::new(&config.directories[0], &config.timeouts, 4).unwrap()
}

const GARBAGE: &[u8] = b"HTTP/1.1 400 Bad Request\r\n";
const NOT_LDAP: LdapError = LdapError::Broken("a message doesn't start as one");

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_a_server_that_answers_garbage_hears_so() {
    let pool = babbling(GARBAGE, None).await;
    for _ in 0..20 {
        let connection = look_up(&pool).await;
        assert_eq!(check::ask(&connection, soon()).await, Err(NOT_LDAP));
    }
}

#[tokio::test]
async fn a_server_that_answers_garbage_is_not_silent() {
    let pool = babbling(GARBAGE, None).await;
    look_up(&pool).await;
    until_an_outage(&pool).await;
    assert_eq!(pool.outage(), Some(LdapError::Down(NOT_LDAP.to_string())));
    assert!(!pool.is_silent());
}

#[tokio::test]
async fn a_server_that_answers_the_readers_bind_with_garbage_is_not_silent() {
    let reader = Identity { dn: "cn=reader".into(), password: Secret::new("secret".into()) };
    let pool = babbling(GARBAGE, Some(reader)).await;
    assert_eq!(pool.place(Purpose::Login, soon()).await.unwrap_err(), NOT_LDAP);
    assert!(pool.outage().is_some() && !pool.is_silent());
}

#[tokio::test]
async fn a_server_that_says_it_is_about_to_end_is_silent_when_it_has() {
    // A notice of disconnection: unavailable (RFC 4511 section 4.4.1).
    let notice = &[0x30, 0x0c, 2, 1, 0, 0x78, 7, 0x0a, 1, 52, 4, 0, 4, 0];
    let pool = babbling(notice, None).await;
    look_up(&pool).await;
    until_an_outage(&pool).await;
    assert!(pool.is_silent());
}

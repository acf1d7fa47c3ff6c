use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::config::Config;

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

//! A relay between a host and its first directory, which takes its time.
//!
//! `tc netem` isn't in every kernel, and can't tell a bind from a search. A relay
//! that only delays passes bytes on as they come, TLS and all. One that is to
//! delay binds has to see them: it ends TLS with the directory's own
//! certificate and talks to it in plain LDAP.

use std::fs::File;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use rustix::fd::AsFd;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy, split};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::certificate;

/// `BindRequest` of RFC 4511 section 4.2.
const BIND_REQUEST: u8 = 0x60;
/// `ExtendedRequest` of section 4.12.
const EXTENDED_REQUEST: u8 = 0x77;
/// An `ExtendedResponse` of success, to message 1.
const SUCCESS: &[u8] = &[0x30, 12, 2, 1, 1, 0x78, 7, 0x0a, 1, 0, 4, 0, 4, 0];
/// Longer than any message of a client here.
const LONGEST: usize = 1 << 20;

/// What a relay delays, and by how much; it can be changed at any time.
#[derive(Debug, Default)]
pub struct Relay {
    each_way: AtomicU64,
    bind: AtomicU64,
    binds: AtomicUsize,
    most: AtomicUsize,
    cut: Notify,
}

impl Relay {
    /// Ends all connections that stand; new ones are taken.
    pub fn cut(&self) {
        self.cut.notify_waiters();
    }

    /// From now on bytes take this long in each direction.
    pub fn delay(&self, each_way: Duration) {
        self.each_way.store(micros(each_way), Ordering::SeqCst);
    }

    /// From now on a bind takes this long; other requests of its connection wait
    /// for it (RFC 4511 section 4.2.1), and those of others don't.
    pub fn delay_binds(&self, each: Duration) {
        self.bind.store(micros(each), Ordering::SeqCst);
    }

    /// How many binds were under way at once, at most.
    pub fn most_binds_at_once(&self) -> usize {
        self.most.load(Ordering::SeqCst)
    }

    fn each_way(&self) -> Duration {
        Duration::from_micros(self.each_way.load(Ordering::SeqCst))
    }

    async fn hold_bind(&self) {
        let now = self.binds.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
        sleep(Duration::from_micros(self.bind.load(Ordering::SeqCst))).await;
        self.binds.fetch_sub(1, Ordering::SeqCst);
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// Starts a relay in a network; with the folder of the server's certificate it
/// sees binds.
pub(super) fn start(
    network: File,
    listen: SocketAddr,
    to: SocketAddr,
    folder: Option<&Path>,
) -> Arc<Relay> {
    let relay = Arc::new(Relay::default());
    let acceptor = folder.map(acceptor);
    let (ready, listening) = mpsc::channel();
    let ours = Arc::clone(&relay);
    // Only this thread is in that network, and all of the relay is in this thread.
    thread::spawn(move || {
        move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network))
            .expect("the tests run as root");
        drop(network);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime can be made").block_on(async {
            let listener = TcpListener::bind(listen).await.expect("the address is free");
            ready.send(()).expect("the host is being started");
            while let Ok((client, _)) = listener.accept().await {
                let (relay, acceptor) = (Arc::clone(&ours), acceptor.clone());
                tokio::spawn(async move {
                    let passed_on = async {
                        match acceptor {
                            None => Box::pin(pass_on(&relay, client, to)).await,
                            Some(acceptor) => Box::pin(read(&relay, client, to, acceptor)).await,
                        }
                    };
                    // When either side ends, both do.
                    tokio::select! {
                        _ = passed_on => {}
                        () = relay.cut.notified() => {}
                    }
                });
            }
        });
    });
    listening.recv().expect("the relay listens");
    relay
}

fn acceptor(folder: &Path) -> TlsAcceptor {
    let chain = CertificateDer::from_pem_file(folder.join(certificate::SERVER));
    let key = PrivateKeyDer::from_pem_file(folder.join(certificate::KEY));
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![chain.expect("a certificate")], key.expect("a key"));
    TlsAcceptor::from(Arc::new(config.expect("they belong together")))
}

async fn pass_on(relay: &Relay, client: TcpStream, to: SocketAddr) -> std::io::Result<()> {
    let server = TcpStream::connect(to).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    tokio::select! {
        ended = delayed(relay, from_client, to_server) => ended,
        ended = delayed(relay, from_server, to_client) => ended,
    }
}

/// Passes bytes on, each piece so long after it came; more may come meanwhile.
async fn delayed(
    relay: &Relay,
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
) -> std::io::Result<()> {
    let (give, mut take) = tokio::sync::mpsc::channel::<(Instant, Vec<u8>)>(1024);
    let receive = async {
        let mut buffer = [0; 16_384];
        while let Ok(length @ 1..) = from.read(&mut buffer).await {
            let due = Instant::now() + relay.each_way();
            if give.send((due, buffer[..length].to_vec())).await.is_err() {
                break;
            }
        }
        drop(give);
    };
    let send = async {
        while let Some((due, bytes)) = take.recv().await {
            sleep_until(due).await;
            to.write_all(&bytes).await?;
        }
        Ok(())
    };
    tokio::join!(receive, send).1
}

/// Ends TLS and passes requests on one by one, binds later.
async fn read(
    relay: &Relay,
    mut client: TcpStream,
    to: SocketAddr,
    acceptor: TlsAcceptor,
) -> std::io::Result<()> {
    client.set_nodelay(true)?;
    let first = message(&mut client).await?;
    if operation(&first) != Some(EXTENDED_REQUEST) {
        return Err(std::io::Error::other("a connection begins with StartTLS"));
    }
    client.write_all(SUCCESS).await?;
    let (mut from_client, mut to_client) = split(acceptor.accept(client).await?);
    let server = TcpStream::connect(to).await?;
    server.set_nodelay(true)?;
    let (mut from_server, mut to_server) = server.into_split();
    let requests = async {
        loop {
            let request = message(&mut from_client).await?;
            sleep(relay.each_way()).await;
            if operation(&request) == Some(BIND_REQUEST) {
                relay.hold_bind().await;
            }
            to_server.write_all(&request).await?;
        }
    };
    tokio::select! {
        ended = requests => ended,
        ended = copy(&mut from_server, &mut to_client) => ended.map(drop),
    }
}

/// The next message, whole.
async fn message(from: &mut (impl AsyncRead + Unpin)) -> std::io::Result<Vec<u8>> {
    let mut bytes = vec![0; 2];
    from.read_exact(&mut bytes).await?;
    let mut length = usize::from(bytes[1]);
    if let Some(more @ 1..=4) = length.checked_sub(0x80) {
        let mut digits = vec![0; more];
        from.read_exact(&mut digits).await?;
        length = digits.iter().fold(0, |sum, digit| sum << 8 | usize::from(*digit));
        bytes.extend(digits);
    }
    if length > LONGEST {
        return Err(std::io::Error::other("too long"));
    }
    let start = bytes.len();
    bytes.resize(start + length, 0);
    from.read_exact(&mut bytes[start..]).await?;
    Ok(bytes)
}

/// The tag of a message's operation, after the message's own tag and length and
/// its number.
fn operation(message: &[u8]) -> Option<u8> {
    let more = message.get(1)?.checked_sub(0x80).map_or(0, usize::from);
    let id = message.get(2 + more..)?;
    id.get(2 + usize::from(*id.get(1)?)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bind_is_told_from_a_search() {
        assert_eq!(operation(&[0x30, 12, 2, 1, 1, 0x60, 7]), Some(BIND_REQUEST));
        assert_eq!(operation(&[0x30, 0x84, 0, 0, 0, 12, 2, 2, 1, 1, 0x60, 7]), Some(BIND_REQUEST));
        assert_eq!(operation(&[0x30, 5, 2, 1, 1, 0x63, 0]), Some(0x63));
        assert_eq!(operation(&[0x30, 5, 2]), None);
    }
}

//! One connection to one server: name, TCP, StartTLS, TLS, guard, ldap3.
//!
//! ldap3 is given a socket whose other end is the guard (`guard.rs`); the
//! real connection is made here, since ldap3's own way has no deadline, takes
//! no IPv6 address with StartTLS and writes in a way that raises SIGPIPE.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use ldap3::{Ldap, LdapConnAsync, LdapConnSettings, StdStream};
use once_cell::sync::OnceCell;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::Notify;
use tokio::time::timeout_at;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;

use super::bypass::Bypass;
use super::message::{self, Kind};
use super::names::Names;
use super::{LdapError, guard, tcp, tls};
use crate::config::{Server, Tls};
use crate::deadline::Deadline;

/// The longest answer to StartTLS; it is read before the server has shown who it is.
const MAX_CLEAR_RESPONSE: usize = 4096;

/// How much is read from a connection at once, before it is decrypted.
const READ_AHEAD: usize = 32 << 10;

/// The StartTLS request (RFC 4511 section 4.14.1), with message id 1.
const STARTTLS: &[u8] = b"\x30\x1d\x02\x01\x01\x77\x18\x80\x161.3.6.1.4.1.1466.20037";

/// How connections of one directory are made.
#[derive(Debug)]
pub struct Connector {
    tls: Tls,
    /// After which a connection that nobody uses is closed.
    idle: Duration,
    names: Arc<Names>,
    /// Read once; a file that could not be read is looked for again.
    tls_config: OnceCell<Arc<ClientConfig>>,
}

/// A connection. Dropping the last clone of the handle closes it.
#[derive(Clone, Debug)]
pub struct Connection {
    /// Starts operations.
    pub ldap: Ldap,
    /// Whether passwords may go over it.
    pub private: bool,
    /// Which of the directory's servers it leads to.
    pub server: usize,
    alive: Arc<Life>,
    /// Shared by all clones, so that [`Remote`] can tell whether there is one.
    handle: Arc<Ldap>,
    /// What goes past ldap3.
    pub(super) bypass: Arc<Bypass>,
}

/// Whether a connection is in use.
#[derive(Debug)]
struct Life {
    goes_on: AtomicBool,
    end: Notify,
    /// What the guard ended it for, once it has.
    why: OnceLock<LdapError>,
}

impl Life {
    fn goes_on(&self) -> bool {
        self.goes_on.load(Ordering::Acquire)
    }

    fn end(&self) {
        self.goes_on.store(false, Ordering::Release);
        self.end.notify_waiters();
    }
}

impl Connection {
    /// Whether neither end has closed it, as far as is known here.
    pub fn is_alive(&self) -> bool {
        self.alive.goes_on()
    }

    /// Whether what came waits for its reader, so that nothing else is heard on it.
    pub(super) fn is_stalled(&self) -> bool {
        self.bypass.is_full()
    }

    /// Takes it out of use: whoever has a request on it may finish, nobody starts another.
    pub fn retire(&self) {
        self.alive.end();
    }

    /// Returns when it is closed or taken out of use. Whoever has a request on it that
    /// may stay without an answer for ever goes to another connection then.
    pub async fn retired(&self) {
        let end = self.alive.end.notified();
        tokio::pin!(end);
        end.as_mut().enable();
        if self.is_alive() {
            end.await;
        }
    }

    /// Why a request on it failed: by what ended the connection, if it only says that it ended.
    pub fn explain(&self, error: impl Into<LdapError>) -> LdapError {
        match error.into() {
            closed @ LdapError::Connect(_) => self.alive.why.get().cloned().unwrap_or(closed),
            other => other,
        }
    }

    /// A way to retire it from afar, which doesn't keep it open.
    pub fn remote(&self) -> Remote {
        Remote {
            alive: Arc::downgrade(&self.alive),
            handle: Arc::downgrade(&self.handle),
            bypass: Arc::downgrade(&self.bypass),
            private: self.private,
            server: self.server,
        }
    }
}

/// Retires a connection from afar, or has it asked something.
#[derive(Debug)]
pub struct Remote {
    alive: Weak<Life>,
    handle: Weak<Ldap>,
    bypass: Weak<Bypass>,
    private: bool,
    server: usize,
}

impl Remote {
    /// Whether the connection is in use.
    pub fn is_alive(&self) -> bool {
        self.alive.upgrade().is_some_and(|alive| alive.goes_on())
    }

    /// The connection, if somebody has it and it is in use.
    pub fn connection(&self) -> Option<Connection> {
        let alive = self.alive.upgrade().filter(|alive| alive.goes_on())?;
        let (handle, bypass) = (self.handle.upgrade()?, self.bypass.upgrade()?);
        let (private, server) = (self.private, self.server);
        Some(Connection { ldap: (*handle).clone(), private, server, alive, handle, bypass })
    }

    /// Whether it is this connection, or a clone of it.
    pub fn is(&self, connection: &Connection) -> bool {
        std::ptr::eq(self.alive.as_ptr(), Arc::as_ptr(&connection.alive))
    }

    /// See [`Connection::retire`].
    pub fn retire(&self) {
        if let Some(alive) = self.alive.upgrade() {
            alive.end();
        }
    }
}

impl Connector {
    /// A connector for a directory with these settings.
    pub fn new(tls: &Tls, idle: Duration) -> Self {
        Self { tls: tls.clone(), idle, names: Arc::default(), tls_config: OnceCell::new() }
    }

    /// Whether the connection to this server is over TLS.
    pub fn uses_tls(&self, server: &Server) -> bool {
        match server {
            Server::Unix(_) => false,
            Server::Tcp { implicit_tls, .. } => *implicit_tls || self.tls.starttls,
        }
    }

    /// Whether a password may be sent to this server.
    pub fn may_send_passwords(&self, server: &Server) -> bool {
        matches!(server, Server::Unix(_))
            || self.uses_tls(server)
            || self.tls.allow_cleartext_passwords
    }

    /// Whether the files that TLS needs can be used.
    ///
    /// # Errors
    /// [`LdapError::Configuration`] says which one can't.
    pub fn check(&self) -> Result<(), LdapError> {
        self.tls_config().map(drop)
    }

    fn tls_config(&self) -> Result<&Arc<ClientConfig>, LdapError> {
        self.tls_config.get_or_try_init(|| tls::client_config(&self.tls))
    }

    /// Connects to a server, up to and including TLS. Nobody is bound yet.
    ///
    /// # Errors
    /// Any [`LdapError`] but a result code; [`LdapError::TimedOut`] at the deadline.
    pub async fn connect(
        &self,
        server: &Server,
        deadline: Deadline,
    ) -> Result<Connection, LdapError> {
        timeout_at(deadline.instant().into(), self.connect_unbounded(server))
            .await
            .unwrap_or(Err(LdapError::TimedOut))
            .map_err(|error| name_server(server, error))
    }

    async fn connect_unbounded(&self, server: &Server) -> Result<Connection, LdapError> {
        let private = self.may_send_passwords(server);
        match server {
            Server::Unix(path) => {
                let stream = UnixStream::connect(path).await.map_err(unreachable)?;
                self.start(stream, private)
            }
            Server::Tcp { host, port, implicit_tls } => {
                let mut stream = tcp::connect(&self.names, host, *port).await?;
                if !self.uses_tls(server) {
                    return self.start(stream, private);
                }
                if !implicit_tls {
                    start_tls(&mut stream).await?;
                }
                let config = self.tls_config()?;
                let name = ServerName::try_from(host.clone())
                    .map_err(|_| LdapError::Tls(format!("{host:?} is not a host name")))?;
                // rustls reads four kilobytes at a time, and a map comes in many small records.
                let stream = BufReader::with_capacity(READ_AHEAD, stream);
                let stream = TlsConnector::from(Arc::clone(config))
                    .connect(name, stream)
                    .await
                    .map_err(|e| LdapError::Tls(format!("TLS: {e}")))?;
                self.start(stream, private)
            }
        }
    }

    /// Puts the guard and ldap3 on a stream.
    fn start<S>(&self, stream: S, private: bool) -> Result<Connection, LdapError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (outside, inside) = std::os::unix::net::UnixStream::pair().map_err(unreachable)?;
        outside.set_nonblocking(true).map_err(unreachable)?;
        let mut outside = UnixStream::from_std(outside).map_err(unreachable)?;
        let settings = LdapConnSettings::new().set_std_stream(StdStream::Unix(inside));
        let (goes_on, end, why) = (AtomicBool::new(true), Notify::new(), OnceLock::new());
        let alive = Arc::new(Life { goes_on, end, why });
        let bypass = Arc::new(Bypass::default());

        let (guard_alive, guard_bypass) = (Arc::clone(&alive), Arc::clone(&bypass));
        let idle = self.idle;
        tokio::spawn(async move {
            if let Err(why) = guard::guard(stream, &mut outside, idle, &guard_bypass).await {
                tracing::debug!(%why, "a connection ended");
                let _ = guard_alive.why.set(why);
            }
            // Only now whoever has asked sees the end.
            drop(outside);
            guard_alive.end();
        });

        // A Unix stream that is already connected makes this return at once.
        let url = socket_pair_url()?;
        let pair = LdapConnAsync::from_url_with_settings(settings, &url);
        let (driver, ldap) = futures_now(pair).ok_or(LdapError::Protocol("ldap3 waits"))??;
        let driver_alive = Arc::clone(&alive);
        tokio::spawn(async move {
            let _ = driver.drive().await;
            driver_alive.end();
        });
        let handle = Arc::new(ldap.clone());
        Ok(Connection { ldap, private, server: 0, alive, handle, bypass })
    }
}

/// The address that ldap3 wants to see; it isn't looked at when a stream is handed over.
fn socket_pair_url() -> Result<url::Url, LdapError> {
    url::Url::parse("ldapi://guard").map_err(|_| LdapError::Protocol("an address"))
}

/// The value of a future that is ready at its first poll.
fn futures_now<F: Future>(future: F) -> Option<F::Output> {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::pin!(future).poll(&mut context) {
        std::task::Poll::Ready(value) => Some(value),
        std::task::Poll::Pending => None,
    }
}

/// Asks for TLS. Exactly one response may come before the handshake: bytes
/// behind it would be an attacker's, taken for the server's.
async fn start_tls(stream: &mut TcpStream) -> Result<(), LdapError> {
    stream.write_all(STARTTLS).await.map_err(unreachable)?;
    let mut bytes = Vec::with_capacity(256);
    let end = loop {
        match message::length(&bytes, MAX_CLEAR_RESPONSE).map_err(LdapError::Protocol)? {
            Some(end) if end <= bytes.len() => break end,
            _ => {}
        }
        if stream.read_buf(&mut bytes).await.map_err(unreachable)? == 0 {
            return Err(LdapError::Connect("the server closed the connection".into()));
        }
    };
    if end != bytes.len() {
        return Err(LdapError::Protocol("it sends on in clear after StartTLS"));
    }
    let response = message::check_response(&bytes).map_err(LdapError::Protocol)?;
    match response.result {
        Some(0) if response.kind == Kind::ExtendedResponse && response.id == 1 => Ok(()),
        Some(code) => Err(LdapError::Tls(format!(
            "the server refuses StartTLS (result code {code}); has it a certificate?"
        ))),
        None => Err(LdapError::Protocol("its answer to StartTLS is none")),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
pub(super) fn unreachable(error: std::io::Error) -> LdapError {
    LdapError::Connect(error.to_string())
}

/// Says which server an error is about.
fn name_server(server: &Server, error: LdapError) -> LdapError {
    match error {
        LdapError::Connect(what) => LdapError::Connect(format!("{server}: {what}")),
        LdapError::Tls(what) => LdapError::Tls(format!("{server}: {what}")),
        other => other,
    }
}

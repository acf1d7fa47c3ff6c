//! The servers of a directory: which one is connected to, and what happens when
//! none can be.

use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use tokio::time::timeout_at;

use super::health::Health;
use super::lock;
use crate::config::{DirectoryConfig, Identity, Server, Timeouts};
use crate::deadline::Deadline;
use crate::ldap::LdapError;
use crate::ldap::connect::{Connection, Connector, Remote};

/// How long an outage lasts before the servers are tried again.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// A server that had less time than this to answer is not said to have failed:
/// an asker with a short deadline must not start an outage for everybody.
pub(super) const FAIR_TRIAL: Duration = Duration::from_secs(1);

/// The servers of a directory.
#[derive(Debug)]
pub(super) struct Servers {
    connector: Connector,
    list: Vec<Server>,
    reader: Option<Identity>,
    health: Mutex<Health>,
    connect_limit: Duration,
    /// All connections, to retire them when an outage begins.
    made: Mutex<Vec<Remote>>,
}

/// No server could be had.
struct Failure {
    error: LdapError,
    /// Whether every server had time enough to answer.
    fair: bool,
}

impl Servers {
    pub(super) fn new(config: &DirectoryConfig, timeouts: &Timeouts) -> Result<Self, LdapError> {
        let connector = Connector::new(&config.tls, timeouts.idle);
        if config.servers.iter().any(|server| connector.uses_tls(server)) {
            connector.check()?;
        }
        Ok(Self {
            connector,
            list: config.servers.clone(),
            reader: config.reader.clone(),
            health: Mutex::new(Health::new(config.servers.len())),
            connect_limit: timeouts.connect,
            made: Mutex::default(),
        })
    }

    pub(super) fn count(&self) -> usize {
        self.list.len()
    }

    pub(super) fn may_send_passwords(&self) -> bool {
        self.list.iter().all(|server| self.connector.may_send_passwords(server))
    }

    /// Why requests fail at once, if there is an outage.
    pub(super) fn outage(&self) -> Option<String> {
        lock(&self.health).outage()
    }

    /// Takes note of a server that was connected and fell silent, and has somebody
    /// look at once whether there is an outage.
    pub(super) fn suspect(self: &Arc<Self>, index: usize) {
        let begin = {
            let mut health = lock(&self.health);
            health.failed(index);
            health.begin_probe()
        };
        if begin {
            tokio::spawn(Self::probe(Arc::downgrade(self), Duration::ZERO));
        }
    }

    /// Connects to the first server that can be had, and binds as the reader if asked to.
    pub(super) async fn connect_any(
        self: &Arc<Self>,
        as_reader: bool,
        deadline: Deadline,
    ) -> Result<Connection, LdapError> {
        if let Some(why) = lock(&self.health).outage() {
            return Err(LdapError::Down(why));
        }
        let result = self.try_servers(as_reader, deadline).await;
        if let Err(failure) = &result
            && failure.fair
        {
            self.begin_outage(&failure.error);
        }
        result.map_err(|failure| failure.error)
    }

    /// From now on requests fail at once, until the probe finds a server.
    fn begin_outage(self: &Arc<Self>, error: &LdapError) {
        let (begins, probe) = {
            let mut health = lock(&self.health);
            let begins = health.all_failed(error);
            (begins, health.outage().is_some() && health.begin_probe())
        };
        if begins {
            self.outage_began(error);
        }
        if probe {
            tokio::spawn(Self::probe(Arc::downgrade(self), FIRST_PAUSE));
        }
    }

    /// What was connected before is silent or closed: nobody should wait for it.
    fn outage_began(&self, error: &LdapError) {
        tracing::warn!(%error, "no server of the directory answers");
        lock(&self.made).drain(..).for_each(|connection| connection.retire());
    }

    async fn try_servers(
        &self,
        as_reader: bool,
        deadline: Deadline,
    ) -> Result<Connection, Failure> {
        let order = lock(&self.health).order();
        let mut last = Failure { error: LdapError::TimedOut, fair: true };
        for (position, &index) in order.iter().enumerate() {
            let Some(left) = deadline.remaining() else {
                last.fair = false;
                break;
            };
            // A server that says nothing must leave time for those after it.
            let servers_left = u32::try_from(order.len() - position).unwrap_or(1);
            let share = (left / servers_left).min(self.connect_limit);
            let server = &self.list[index];
            match self.connect_one(index, as_reader, Deadline::after(share)).await {
                Ok(connection) => {
                    if lock(&self.health).answered(index) {
                        tracing::info!(%server, "the directory answers again");
                    }
                    return Ok(connection);
                }
                Err(error) => {
                    tracing::debug!(%server, %error, "a server failed");
                    if error == LdapError::TimedOut
                        && share < FAIR_TRIAL.min(self.connect_limit) / 2
                    {
                        last.fair = false;
                        continue;
                    }
                    lock(&self.health).failed(index);
                    // What another server made impossible says more than "too late".
                    if last.error == LdapError::TimedOut {
                        last.error = error;
                    }
                }
            }
        }
        Err(last)
    }

    async fn connect_one(
        &self,
        index: usize,
        as_reader: bool,
        deadline: Deadline,
    ) -> Result<Connection, LdapError> {
        let server = &self.list[index];
        let mut connection = self.connector.connect(server, deadline).await?;
        connection.server = index;
        {
            let mut made = lock(&self.made);
            made.retain(Remote::is_alive);
            made.push(connection.remote());
        }
        if as_reader {
            timeout_at(deadline.instant().into(), self.bind_reader(&mut connection, server))
                .await
                .unwrap_or(Err(LdapError::TimedOut))?;
        }
        Ok(connection)
    }

    /// Binds as the reader; over `ldapi://` as this process (SASL EXTERNAL,
    /// RFC 4422 appendix A) unless a reader is configured; else stays anonymous.
    async fn bind_reader(
        &self,
        connection: &mut Connection,
        server: &Server,
    ) -> Result<(), LdapError> {
        match (&self.reader, server) {
            (Some(Identity { dn, password }), _) => {
                if !connection.private {
                    return Err(LdapError::Configuration(
                        "the reader's password may not go over a clear connection".into(),
                    ));
                }
                let result = connection.ldap.simple_bind(dn, password.expose()).await?;
                match result.rc {
                    0 => Ok(()),
                    _ => Err(LdapError::ReaderRefused(format!("{} ({})", result.text, result.rc))),
                }
            }
            (None, Server::Unix(_)) => {
                let result = connection.ldap.sasl_external_bind().await?;
                match result.rc {
                    // authMethodNotSupported, inappropriateAuthentication,
                    // invalidCredentials: not for this process, so it stays anonymous.
                    0 | 7 | 48 | 49 => Ok(()),
                    code => Err(LdapError::Result(code, result.text)),
                }
            }
            (None, Server::Tcp { .. }) => Ok(()),
        }
    }

    /// Tries the servers until one answers, at first after this pause. Ends with
    /// the pool. There is one at a time.
    async fn probe(this: Weak<Self>, mut pause: Duration) {
        loop {
            tokio::time::sleep(pause).await;
            let Some(servers) = this.upgrade() else { return };
            // Time for every server to have its full share.
            let count = u32::try_from(servers.list.len()).unwrap_or(u32::MAX);
            let deadline = Deadline::after(servers.connect_limit.saturating_mul(count));
            let result = servers.try_servers(true, deadline).await;
            let mut health = lock(&servers.health);
            if let Err(failure) = result
                && health.all_failed(&failure.error)
            {
                servers.outage_began(&failure.error);
            }
            match health.next_probe() {
                Some(next) => pause = next,
                None => return,
            }
        }
    }
}

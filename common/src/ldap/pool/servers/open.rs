//! One connection to one server, up to and including the reader's bind.

use tokio::time::timeout_at;

use super::Servers;
use super::made::Made;
use crate::config::{Identity, Server};
use crate::deadline::Deadline;
use crate::ldap::LdapError;
use crate::ldap::connect::Connection;
use crate::ldap::pool::lock;

impl Servers {
    pub(super) async fn connect_one(
        &self,
        id: usize,
        server: &Server,
        as_reader: bool,
        deadline: Deadline,
    ) -> Result<Connection, LdapError> {
        let mut connection = self.connector.connect(server, deadline).await?;
        connection.server = id;
        if as_reader {
            timeout_at(deadline.instant().into(), self.bind_reader(&mut connection, server))
                .await
                .unwrap_or(Err(LdapError::TimedOut))?;
        }
        // Not earlier: nothing may be asked beside a bind (RFC 4511 section 4.2.1).
        let mut made = lock(&self.made);
        made.retain(|made| made.remote.is_alive());
        let remote = connection.remote();
        made.push(Made { remote, server: id, reader: as_reader, reading: false });
        drop(made);
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
                let result = connection.ldap.simple_bind(dn, password.expose()).await;
                let result = result.map_err(|error| connection.explain(error))?;
                match result.rc {
                    0 => Ok(()),
                    _ => Err(LdapError::ReaderRefused(format!("{} ({})", result.text, result.rc))),
                }
            }
            (None, Server::Unix(_)) => {
                let result = connection.ldap.sasl_external_bind().await;
                let result = result.map_err(|error| connection.explain(error))?;
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
}

//! Whether anybody answers on a connection.

use crate::config::Scope;
use crate::deadline::Deadline;
use crate::ldap::LdapError;
use crate::ldap::connect::Connection;
use crate::ldap::filter::Filter;
use crate::ldap::search::{self, Search};

/// Asks for nothing of the root DSE (RFC 4512 section 5.1), which costs a server
/// next to nothing. That it refuses is an answer.
///
/// # Errors
/// Why there is none.
pub(super) async fn ask(connection: &Connection, deadline: Deadline) -> Result<(), LdapError> {
    let search = Search {
        base: "",
        scope: Scope::Base,
        filter: &Filter::present("objectClass"),
        attributes: &["1.1"],
        limit: 1,
    };
    match search::run(&mut connection.clone(), search, deadline).await {
        Err(error) if error.ends_a_connection() || error == LdapError::TimedOut => Err(error),
        _ => Ok(()),
    }
}

/// Whether there is an answer to that.
pub(super) async fn answers(connection: &Connection, deadline: Deadline) -> bool {
    ask(connection, deadline).await.is_ok()
}

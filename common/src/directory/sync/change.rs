//! Whether anything has changed at all.
//!
//! OpenLDAP's overlay `syncprov` keeps the numbers of the last changes (`contextCSN`, one
//! for each server that takes changes) on the entry of its search base. Everything
//! at or below that entry counts. So if the maps lie there, nothing in them has
//! changed as long as the numbers are the same.
//!
//! Numbers are compared only with those of the same server: after a failover another one
//! may say the same, or something else, for reasons of its own. And those that a
//! reading goes by are read on the connection of that reading, before it.
//!
//! To have no number is never an error: then everything is looked at.

use xxhash_rust::xxh3::xxh3_64;

use super::super::subscribe::Cookie;
use super::super::{Directory, found};
use crate::config::Scope;
use crate::deadline::Deadline;
use crate::ldap::connect::Connection;
use crate::ldap::error::{BUSY, UNAVAILABLE};
use crate::ldap::filter::Filter;
use crate::ldap::pool::Purpose;
use crate::ldap::search::{self, Entry, Search};
use crate::ldap::{LdapError, dn};

const CONTEXT_CSN: &str = "contextCSN";

/// Becomes another one with each change of a server's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// Which of the directory's servers says so.
    pub server: usize,
    /// A hash of its numbers.
    pub numbers: u64,
}

impl Change {
    /// Whether something has changed since then, for sure: another server's number
    /// says nothing.
    pub fn is_after(&self, earlier: &Self) -> bool {
        self.server == earlier.server && self.numbers != earlier.numbers
    }
}

impl Directory {
    /// The number of the last change. `None`: there is nothing of the kind, it doesn't
    /// cover both maps, or it can't be read.
    pub async fn last_change(&self, deadline: Deadline) -> Option<Change> {
        let base = self.base_of_changes(deadline).await?;
        let mut place = self.pool.place(Purpose::Lookup, deadline).await.ok()?;
        let result = search_numbers(&mut place.connection, base, deadline).await;
        if result.as_ref().is_err_and(LdapError::ends_a_connection) {
            place.connection.retire();
        }
        change(place.connection.server, &numbers(result))
    }

    /// From where a subscription goes on that tells what happens from now on. `None`: the server
    /// doesn't say where its history stands, that can't be read, or nobody knows of which of
    /// several contexts it should be.
    ///
    /// # Errors
    /// [`LdapError`]: it couldn't be asked.
    pub async fn cookie_of_now(&self, deadline: Deadline) -> Result<Option<Cookie>, LdapError> {
        match self.base(deadline).await {
            // Both maps may have bases of their own, so this is no mistake.
            Err(LdapError::Configuration(_)) => return Ok(None),
            base => drop(base?),
        }
        let Some(base) = self.base_of_changes(deadline).await else { return Ok(None) };
        let mut place = self.pool.place(Purpose::Lookup, deadline).await?;
        let found = search_numbers(&mut place.connection, base, deadline).await;
        if found.as_ref().is_err_and(LdapError::ends_a_connection) {
            place.connection.retire();
        }
        cookie(found)
    }

    /// The same, as this connection's server says it, and from where a subscription
    /// goes on that is to miss nothing after it.
    pub(in crate::directory) async fn change_on(
        &self,
        connection: &mut Connection,
        deadline: Deadline,
    ) -> Option<(Change, Option<Cookie>)> {
        let base = self.base_of_changes(deadline).await?;
        let numbers = numbers(search_numbers(connection, base, deadline).await);
        Some((change(connection.server, &numbers)?, Cookie::of_numbers(&numbers)))
    }

    /// The entry that has the numbers, if both maps lie there.
    async fn base_of_changes(&self, deadline: Deadline) -> Option<&str> {
        let base = self.base(deadline).await.ok()?;
        let maps = [&self.config.users.base, &self.config.groups.base];
        let covers = |map: &Option<String>| map.as_ref().is_none_or(|map| dn::lies_in(map, base));
        maps.into_iter().all(covers).then_some(base)
    }
}

async fn search_numbers(
    connection: &mut Connection,
    base: &str,
    deadline: Deadline,
) -> Result<Vec<Entry>, LdapError> {
    let (scope, filter) = (Scope::Base, &Filter::present("objectClass"));
    let search = Search { base, scope, filter, attributes: &[CONTEXT_CSN], limit: 1 };
    search::run(connection, search, deadline).await
}

/// In one order, whatever the server's is.
fn numbers(result: Result<Vec<Entry>, LdapError>) -> Vec<String> {
    let entries = found(result).unwrap_or_default();
    let numbers = entries.iter().flat_map(|entry| entry.values(CONTEXT_CSN));
    let mut numbers: Vec<_> = numbers.map(str::to_owned).collect();
    numbers.sort_unstable();
    numbers
}

/// A server that is busy, or not up yet, has said nothing about its history.
fn cookie(result: Result<Vec<Entry>, LdapError>) -> Result<Option<Cookie>, LdapError> {
    match result {
        Err(LdapError::Result(code, _)) if ![BUSY, UNAVAILABLE].contains(&code) => Ok(None),
        Err(error) => Err(error),
        found => Ok(Cookie::of_numbers(&numbers(found))),
    }
}

fn change(server: usize, numbers: &[String]) -> Option<Change> {
    let hash = || xxh3_64(numbers.join(" ").as_bytes());
    (!numbers.is_empty()).then(|| Change { server, numbers: hash() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(server: usize, said: &[&str]) -> Option<Change> {
        change(server, &numbers(Ok(vec![Entry::of("dc=x", &[(CONTEXT_CSN, said)])])))
    }

    fn answered(result: Result<Vec<Entry>, LdapError>) -> Option<Change> {
        change(0, &numbers(result))
    }

    #[test]
    fn the_order_of_the_numbers_says_nothing() {
        assert_eq!(said(0, &["1", "2"]), said(0, &["2", "1"]));
        assert_ne!(said(0, &["1", "2"]), said(0, &["1", "3"]));
    }

    #[test]
    fn no_number_and_an_error_are_no_number() {
        assert_eq!(said(0, &[]), None);
        assert_eq!(answered(Ok(Vec::new())), None);
        assert_eq!(answered(Err(LdapError::Result(50, String::new()))), None);
        assert_eq!(answered(Err(LdapError::Configuration(String::new()))), None);
    }

    #[test]
    fn a_server_that_is_busy_has_not_said_that_it_has_no_number() {
        for code in [BUSY, UNAVAILABLE] {
            let busy = LdapError::Result(code, String::new());
            assert_eq!(cookie(Err(busy.clone())), Err(busy));
        }
        assert_eq!(cookie(Err(LdapError::Result(50, String::new()))), Ok(None));
        assert_eq!(cookie(Err(LdapError::TimedOut)), Err(LdapError::TimedOut));
        assert_eq!(cookie(Ok(Vec::new())), Ok(None));
    }

    #[test]
    fn another_servers_number_is_not_a_change() {
        let (first, second) = (said(0, &["1"]).unwrap(), said(0, &["2"]).unwrap());
        assert!(second.is_after(&first));
        assert!(!first.is_after(&first));
        assert!(!said(1, &["2"]).unwrap().is_after(&first));
    }
}

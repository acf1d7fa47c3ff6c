//! Resolves users and groups of one directory.
//!
//! A lookup is one search on a kept connection. What comes back is judged by
//! the schema (`schema.rs`); an entry that can't be a user or group of this
//! host counts as absent, and the log says why.
//!
//! | file | idea |
//! |---|---|
//! | `users.rs`, `groups.rs` | lookups |
//! | `search.rs` | one search, on whichever connection answers |
//! | `base.rs` | where in the directory is searched |
//! | `enumerate.rs`, `walk.rs` | all users or groups, page by page |
//! | `sync.rs`, `subscribe.rs` | what a copy of the directory is made of, and what changes |
//! | `numbers.rs` | which entries lookups have seen |
//! | `passwords.rs` | binds and changes of passwords |

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::OnceCell;

use crate::account::User;
use crate::config::{Config, DirectoryConfig};
use crate::ldap::LdapError;
use crate::ldap::pool::Pool;
use crate::ldap::search::Entry;
use crate::protocol::ServerStatus;
use crate::schema::{self, Rejected, Rules, Schema};

mod base;
pub mod enumerate;
mod groups;
mod numbers;
pub mod passwords;
mod search;
pub mod subscribe;
pub mod sync;
mod users;
mod walk;

/// How many entries of one name or id are looked at. Two show that it isn't unique.
const SAME_KEY: i32 = 10;

/// One directory.
#[derive(Debug)]
pub struct Directory {
    config: DirectoryConfig,
    schema: Box<dyn Schema>,
    pool: Pool,
    /// The search base; found out at the first use.
    base: OnceCell<String>,
    /// Which entries lookups have seen, if that matters to anybody.
    numbers: numbers::Numbers,
}

/// A user and the entry it was read from.
#[derive(Debug, Clone)]
pub struct Found {
    /// The user's DN, to bind as.
    pub dn: String,
    /// The user.
    pub user: User,
    /// What else was asked for.
    pub entry: Entry,
}

impl Directory {
    /// The directories of a configuration. Connects nowhere yet.
    ///
    /// # Errors
    /// [`LdapError::Configuration`] when a certificate's file can't be used.
    pub fn all(config: &Config) -> Result<Vec<Arc<Self>>, LdapError> {
        let rules =
            Rules { ids: config.ids, home: config.home.clone(), shell: config.shell.clone() };
        config
            .directories
            .iter()
            .map(|directory| {
                Ok(Arc::new(Self {
                    config: directory.clone(),
                    schema: schema::new(directory, rules.clone()),
                    pool: Pool::new(directory, &config.timeouts, config.connections.max)?,
                    base: OnceCell::new(),
                    numbers: numbers::Numbers::default(),
                }))
            })
            .collect()
    }

    /// Why requests fail at once, if there is an outage.
    pub fn outage(&self) -> Option<LdapError> {
        self.pool.outage()
    }

    /// What is known of the servers, in the order in which they are preferred.
    pub fn servers(&self) -> Vec<ServerStatus> {
        self.pool.status()
    }

    /// Has it looked at once which servers answer: the network has changed. In the
    /// context of a runtime.
    pub fn network_changed(&self) {
        self.pool.network_changed();
    }

    /// Whether there is an outage in which no server says a word: none could be reached,
    /// or none answered in time. One that refuses, or that can't prove who it is, has answered.
    pub fn is_silent(&self) -> bool {
        self.pool.is_silent()
    }

    /// The same, as far as that has been found out since a time: a word that a server has said
    /// since then counts. `None`: it is still to be found out.
    pub fn is_silent_since(&self, since: Instant) -> Option<bool> {
        self.pool.is_silent_since(since)
    }

    /// Has somebody find out at once whether the servers answer.
    pub fn look(&self) {
        self.pool.look();
    }
}

/// The entry of a DN; that there is none is an answer, where a missing base of a
/// map is an error.
fn found(result: Result<Vec<Entry>, LdapError>) -> Result<Vec<Entry>, LdapError> {
    match result {
        Err(error) if error.is_no_such_object() => Ok(Vec::new()),
        result => result,
    }
}

/// Whether a search may have been cut off at its limit.
fn is_full(entries: &[Entry], limit: i32) -> bool {
    entries.len() >= usize::try_from(limit).unwrap_or(usize::MAX)
}

/// What an entry is, or `None`, with the reason in the log.
fn accept<T>(entry: &Entry, read: Result<T, Rejected>) -> Option<T> {
    read.inspect_err(|why| tracing::debug!(dn = ?entry.dn, %why, "an entry is passed over")).ok()
}

/// The one to answer with. Where a directory has several it is always the same,
/// and the log complains.
fn first<T>(mut all: Vec<T>, key: impl std::fmt::Display, name: impl Fn(&T) -> &str) -> Option<T> {
    all.sort_by(|a, b| name(a).cmp(name(b)));
    if let [first, second, ..] = &all[..] {
        tracing::warn!(
            key = ?key.to_string(), first = ?name(first), second = ?name(second),
            "the directory has several entries of one name or id; the first is taken"
        );
    }
    all.into_iter().next()
}

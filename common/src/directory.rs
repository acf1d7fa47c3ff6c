//! Resolves users and groups of one directory.
//!
//! A lookup is one search on a kept connection. What comes back is judged by
//! the schema (`schema.rs`); an entry that can't be a user or group of this
//! host counts as absent, and the log says why.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::OnceCell;

use crate::account::{Gid, Group, Name, Shadow, Uid, User};
use crate::config::{Config, DirectoryConfig, Scope};
use crate::deadline::Deadline;
use crate::ldap::LdapError;
use crate::ldap::filter::Filter;
use crate::ldap::pool::{Attended, Pool, Purpose};
use crate::ldap::search::{self, Entry, Search};
use crate::protocol::ServerStatus;
use crate::schema::{self, Rejected, Rules, Schema};

mod base;
pub mod enumerate;
pub mod passwords;
pub mod subscribe;
pub mod sync;
mod walk;

/// How many entries of one name or id are looked at. Two show that it isn't unique.
const SAME_KEY: i32 = 10;
/// The most groups of one user.
const MAX_GROUPS: i32 = 65_536;

/// One directory.
#[derive(Debug)]
pub struct Directory {
    config: DirectoryConfig,
    schema: Box<dyn Schema>,
    pool: Pool,
    /// The search base; found out at the first use.
    base: OnceCell<String>,
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

    /// Has somebody find out at once whether the servers answer.
    pub fn look(&self) {
        self.pool.look();
    }

    /// A user by name, which may be any of the names of an entry.
    ///
    /// # Errors
    /// [`LdapError`], here and below: the question could not be put.
    pub async fn user_by_name(
        &self,
        name: &Name,
        deadline: Deadline,
    ) -> Result<Option<User>, LdapError> {
        let found = self.users_named(name, &[], Purpose::Lookup, deadline).await?;
        Ok(first(found, name, |found| found.user.name.as_str()).map(|found| found.user))
    }

    /// The entries that are the user of this name: a login needs there to be
    /// exactly one. `more` are attributes to read besides.
    ///
    /// # Errors
    /// [`LdapError`]
    pub async fn users_named(
        &self,
        name: &Name,
        more: &[&str],
        purpose: Purpose,
        deadline: Deadline,
    ) -> Result<Vec<Found>, LdapError> {
        let attributes = [&self.schema.user_attributes(), more].concat();
        let entries = self
            .search_users(&self.schema.user_by_name(name), &attributes, purpose, deadline)
            .await?;
        let domain = self.users_domain(deadline).await?;
        let found = entries.into_iter().filter(|entry| self.schema.has_name(entry, name));
        Ok(found
            .filter_map(|entry| {
                let user = accept(&entry, self.schema.user(&entry, &domain))?;
                Some(Found { dn: entry.dn.clone(), user, entry })
            })
            .collect())
    }

    /// A user by id.
    ///
    /// # Errors
    /// [`LdapError`]
    pub async fn user_by_id(
        &self,
        uid: Uid,
        deadline: Deadline,
    ) -> Result<Option<User>, LdapError> {
        let attributes = self.schema.user_attributes();
        let entries = self
            .search_users(&self.schema.user_by_id(uid), &attributes, Purpose::Lookup, deadline)
            .await?;
        let domain = self.users_domain(deadline).await?;
        let users =
            entries.iter().filter_map(|entry| accept(entry, self.schema.user(entry, &domain)));
        let users = users.filter(|user| user.uid == uid).collect();
        Ok(first(users, uid, |user: &User| user.name.as_str()))
    }

    /// A group by name.
    ///
    /// # Errors
    /// [`LdapError`]
    pub async fn group_by_name(
        &self,
        name: &Name,
        deadline: Deadline,
    ) -> Result<Option<Group>, LdapError> {
        let filter = self.schema.group_by_name(name);
        let entries = self
            .search_groups(
                &filter,
                &self.schema.group_attributes(),
                SAME_KEY,
                Purpose::Lookup,
                deadline,
            )
            .await?;
        let groups = entries
            .iter()
            .filter(|entry| self.schema.is_group(entry, name))
            .filter_map(|entry| accept(entry, self.schema.group(entry)))
            .collect();
        Ok(first(groups, name, |group: &Group| group.name.as_str()))
    }

    /// A group by id.
    ///
    /// # Errors
    /// [`LdapError`]
    pub async fn group_by_id(
        &self,
        gid: Gid,
        deadline: Deadline,
    ) -> Result<Option<Group>, LdapError> {
        let filter = self.schema.group_by_id(gid);
        let entries = self
            .search_groups(
                &filter,
                &self.schema.group_attributes(),
                SAME_KEY,
                Purpose::Lookup,
                deadline,
            )
            .await?;
        let groups = entries.iter().filter_map(|entry| accept(entry, self.schema.group(entry)));
        let groups = groups.filter(|group| group.gid == gid).collect();
        Ok(first(groups, gid, |group: &Group| group.name.as_str()))
    }

    /// The ids of the groups that have this user as a member; their member
    /// lists aren't fetched.
    ///
    /// # Errors
    /// [`LdapError`]
    pub async fn groups_of(
        &self,
        name: &Name,
        deadline: Deadline,
    ) -> Result<BTreeSet<Gid>, LdapError> {
        let filter = self.schema.groups_of(name);
        let attributes = self.schema.gid_attributes();
        let entries =
            self.search_groups(&filter, &attributes, MAX_GROUPS, Purpose::Lookup, deadline).await?;
        complete(&entries)?;
        Ok(entries.iter().filter_map(|entry| accept(entry, self.schema.gid(entry))).collect())
    }

    /// Which of these names groups of this directory have.
    ///
    /// # Errors
    /// [`LdapError`]
    pub async fn groups_among(
        &self,
        names: &[Name],
        deadline: Deadline,
    ) -> Result<Vec<Name>, LdapError> {
        let filter = self.named_one_of(names);
        let entries = self.search_ids(&filter, deadline).await?;
        let has = |name: &&Name| entries.iter().any(|entry| self.schema.is_group(entry, name));
        Ok(names.iter().filter(has).cloned().collect())
    }

    /// Whether the user is in one of the groups of these names, as a member or
    /// because it is the primary one. A name that no group has helps nobody.
    ///
    /// # Errors
    /// [`LdapError`]
    pub async fn is_in_one_of(
        &self,
        user: &User,
        groups: &[Name],
        deadline: Deadline,
    ) -> Result<bool, LdapError> {
        let member = self.schema.groups_of(&user.name);
        let primary = self.schema.group_by_id(user.gid);
        let filter = Filter::and(&[&self.named_one_of(groups), &Filter::or(&[&member, &primary])]);
        let entries = self.search_ids(&filter, deadline).await?;
        Ok(entries.iter().any(|entry| {
            self.schema.gid(entry).is_ok()
                && groups.iter().any(|name| self.schema.is_group(entry, name))
        }))
    }

    fn named_one_of(&self, groups: &[Name]) -> Filter {
        let named: Vec<Filter> =
            groups.iter().map(|name| self.schema.group_by_name(name)).collect();
        Filter::or(&named.iter().collect::<Vec<_>>())
    }

    /// Groups without their members; a name is read to compare it with its case.
    async fn search_ids(
        &self,
        filter: &Filter,
        deadline: Deadline,
    ) -> Result<Vec<Entry>, LdapError> {
        let attributes = self.schema.group_attributes_without_members();
        let entries =
            self.search_groups(filter, &attributes, MAX_GROUPS, Purpose::Login, deadline).await?;
        complete(&entries)?;
        Ok(entries)
    }

    /// One entry, if it is there and the reader may see it.
    ///
    /// # Errors
    /// [`LdapError`]
    pub async fn read(
        &self,
        dn: &str,
        attributes: &[&str],
        deadline: Deadline,
    ) -> Result<Option<Entry>, LdapError> {
        let filter = &Filter::present("objectClass");
        let search = Search { base: dn, scope: Scope::Base, filter, attributes, limit: 1 };
        Ok(found(self.search(search, Purpose::Login, deadline).await)?.into_iter().next())
    }

    /// Whether an entry matches a filter.
    ///
    /// # Errors
    /// [`LdapError`]
    pub async fn matches(
        &self,
        dn: &str,
        filter: &Filter,
        deadline: Deadline,
    ) -> Result<bool, LdapError> {
        let search =
            Search { base: dn, scope: Scope::Base, filter, attributes: &["1.1"], limit: 1 };
        Ok(!found(self.search(search, Purpose::Login, deadline).await)?.is_empty())
    }

    /// The ageing of a user's password.
    ///
    /// # Errors
    /// [`LdapError`]
    pub async fn shadow(
        &self,
        name: &Name,
        deadline: Deadline,
    ) -> Result<Option<Shadow>, LdapError> {
        let attributes = self.schema.shadow_attributes();
        let filter = self.schema.shadows(Some(name));
        let entries = self.search_users(&filter, &attributes, Purpose::Lookup, deadline).await?;
        let entries = entries.iter().filter(|entry| self.schema.has_name(entry, name));
        let shadows =
            entries.filter_map(|entry| accept(entry, self.schema.shadow(entry))).collect();
        Ok(first(shadows, name, |shadow: &Shadow| shadow.name.as_str()))
    }

    /// The attributes that say how old a password is.
    pub fn shadow_attributes(&self) -> Vec<&str> {
        self.schema.shadow_attributes()
    }

    /// Reads the ageing of a password from an entry that was found before.
    pub fn shadow_of(&self, entry: &Entry) -> Option<Shadow> {
        accept(entry, self.schema.shadow(entry))
    }

    async fn search_users(
        &self,
        filter: &Filter,
        attributes: &[&str],
        purpose: Purpose,
        deadline: Deadline,
    ) -> Result<Vec<Entry>, LdapError> {
        let map = &self.config.users;
        let base = self.map_base(map.base.as_deref(), deadline).await?;
        let search = Search { base, scope: map.scope, filter, attributes, limit: SAME_KEY };
        let entries = self.search(search, purpose, deadline).await?;
        // Whether a name is unique can't be told from the first few of many.
        if purpose == Purpose::Login && is_full(&entries, SAME_KEY) {
            return Err(LdapError::TooMany("entries whose names differ in case at most"));
        }
        Ok(entries)
    }

    async fn search_groups(
        &self,
        filter: &Filter,
        attributes: &[&str],
        limit: i32,
        purpose: Purpose,
        deadline: Deadline,
    ) -> Result<Vec<Entry>, LdapError> {
        let map = &self.config.groups;
        let base = self.map_base(map.base.as_deref(), deadline).await?;
        let search = Search { base, scope: map.scope, filter, attributes, limit };
        self.search(search, purpose, deadline).await
    }

    /// Runs a search on a kept connection. If that turns out to be closed it is
    /// run once more on another. So it is, beside the first, if nobody answers there, or if
    /// the server stays silent for half of the time left while there are others.
    async fn search(
        &self,
        search: Search<'_>,
        purpose: Purpose,
        deadline: Deadline,
    ) -> Result<Vec<Entry>, LdapError> {
        let mut place = self.pool.place(purpose, deadline).await?;
        let connection = place.connection.clone();
        let left = deadline.remaining().ok_or(LdapError::TimedOut)?;
        let patience = if self.pool.has_alternatives() { left / 2 } else { left };
        let mut first = std::pin::pin!(search::run(&mut place.connection, search, deadline));
        match self.pool.attend(&connection, first.as_mut(), patience).await {
            Attended::Done(Err(LdapError::Connect(_))) => {
                connection.retire();
                return Box::pin(self.search_again(search, purpose, deadline)).await;
            }
            Attended::Done(Err(LdapError::TimedOut)) => {
                self.pool.fell_silent(&connection, left);
                return Err(LdapError::TimedOut);
            }
            Attended::Done(result) => return result,
            Attended::Silent => {}
        }
        let mut again = Box::pin(self.search_again(search, purpose, deadline));
        tokio::select! {
            result = first => match result {
                Err(LdapError::Connect(_) | LdapError::TimedOut) => again.await,
                result => result,
            },
            result = &mut again => result,
        }
    }

    async fn search_again(
        &self,
        search: Search<'_>,
        purpose: Purpose,
        deadline: Deadline,
    ) -> Result<Vec<Entry>, LdapError> {
        let mut place = self.pool.place(purpose, deadline).await?;
        let left = deadline.remaining().ok_or(LdapError::TimedOut)?;
        let result = search::run(&mut place.connection, search, deadline).await;
        if matches!(result, Err(LdapError::TimedOut)) {
            self.pool.fell_silent(&place.connection, left);
        }
        result
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

/// Some of a user's groups are not an answer.
fn complete(entries: &[Entry]) -> Result<(), LdapError> {
    if is_full(entries, MAX_GROUPS) {
        return Err(LdapError::TooMany("groups of one user"));
    }
    Ok(())
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

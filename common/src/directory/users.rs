//! Users, and the ages of their passwords, of one directory.

use super::{Directory, Found, SAME_KEY, accept, first, is_full};
use crate::account::{Name, Shadow, Uid, User};
use crate::deadline::Deadline;
use crate::ldap::LdapError;
use crate::ldap::filter::Filter;
use crate::ldap::pool::Purpose;
use crate::ldap::search::{Entry, Search};
use crate::protocol::Map;

impl Directory {
    /// A user by name, which may be any of the names of an entry.
    ///
    /// # Errors
    /// [`LdapError`], here and below: the question could not be put.
    pub async fn user_by_name(
        &self,
        name: &Name,
        deadline: Deadline,
    ) -> Result<Option<User>, LdapError> {
        let found = self.users_named(name, self.ids_wanted(), Purpose::Lookup, deadline).await?;
        for Found { user, entry, .. } in &found {
            self.note_number(Map::Users, entry, user.uid.get());
        }
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
        let attributes = [&self.schema.user_attributes(), self.ids_wanted()].concat();
        let entries = self
            .search_users(&self.schema.user_by_id(uid), &attributes, Purpose::Lookup, deadline)
            .await?;
        let domain = self.users_domain(deadline).await?;
        let users = entries.iter().filter_map(|entry| {
            let user = accept(entry, self.schema.user(entry, &domain))?;
            self.note_number(Map::Users, entry, user.uid.get());
            Some(user)
        });
        let users = users.filter(|user| user.uid == uid).collect();
        Ok(first(users, uid, |user: &User| user.name.as_str()))
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
}

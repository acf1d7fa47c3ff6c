//! Groups of one directory, and who is in them.

use std::collections::BTreeSet;

use super::{Directory, SAME_KEY, accept, first, is_full};
use crate::account::{Gid, Group, Name, User};
use crate::deadline::Deadline;
use crate::ldap::LdapError;
use crate::ldap::filter::Filter;
use crate::ldap::pool::Purpose;
use crate::ldap::search::{Entry, Search};
use crate::protocol::Map;

/// The most groups of one user.
const MAX_GROUPS: i32 = 65_536;

impl Directory {
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
        let entries = self.groups_of_a_key(&filter, deadline).await?;
        let groups = entries
            .iter()
            .filter(|entry| self.schema.is_group(entry, name))
            .filter_map(|entry| self.group_of(entry))
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
        let entries = self.groups_of_a_key(&filter, deadline).await?;
        let groups = entries.iter().filter_map(|entry| self.group_of(entry));
        let groups = groups.filter(|group| group.gid == gid).collect();
        Ok(first(groups, gid, |group: &Group| group.name.as_str()))
    }

    async fn groups_of_a_key(
        &self,
        filter: &Filter,
        deadline: Deadline,
    ) -> Result<Vec<Entry>, LdapError> {
        let attributes = [&self.schema.group_attributes(), self.ids_wanted()].concat();
        self.search_groups(filter, &attributes, SAME_KEY, Purpose::Lookup, deadline).await
    }

    fn group_of(&self, entry: &Entry) -> Option<Group> {
        let group = accept(entry, self.schema.group(entry))?;
        self.note_number(Map::Groups, entry, group.gid.get());
        Some(group)
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
        let attributes = [&self.schema.gid_attributes(), self.ids_wanted()].concat();
        let entries =
            self.search_groups(&filter, &attributes, MAX_GROUPS, Purpose::Lookup, deadline).await?;
        complete(&entries)?;
        let gid = |entry| {
            let gid = accept(entry, self.schema.gid(entry))?;
            self.note_number(Map::Groups, entry, gid.get());
            Some(gid)
        };
        Ok(entries.iter().filter_map(gid).collect())
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
}

/// Some of a user's groups are not an answer.
fn complete(entries: &[Entry]) -> Result<(), LdapError> {
    if is_full(entries, MAX_GROUPS) {
        return Err(LdapError::TooMany("groups of one user"));
    }
    Ok(())
}

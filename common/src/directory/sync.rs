//! Reads a directory as one who keeps a copy of it needs it.
//!
//! A copy needs more of an entry than a lookup does: by what to know it again when
//! everything else about it has changed ([`EntryId`]), whether it has changed
//! ([`Stamp`]), and when ([`Moment`]). Entries that this host rejects have all that,
//! too: otherwise a look at the ids alone would miss them for ever.
//!
//! Everything comes in batches through a channel; the next page waits until there is
//! room. Whatever keeps a server from giving all of it (an error, a limit, a closed
//! connection) makes the whole reading an error: what was sent until then
//! is true, but it isn't everything.
//!
//! Operational attributes are given to who asks for them by name (RFC 4511
//! section 4.5.1.8): `entryUUID` (RFC 4530), `nsUniqueId` (389 Directory Server's id of an
//! entry, by which it also calls it when it tells of changes, even where there is an
//! `entryUUID`), `entryCSN` (OpenLDAP's change numbers), `modifyTimestamp` (RFC 4512
//! section 3.4.4).

use std::time::Duration;

use tokio::sync::mpsc::Sender;
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use super::subscribe::Cookie;
use super::walk::{self, Walker};
use super::{Directory, accept};
use crate::account::{Gid, Group, Members, Name, User};
use crate::deadline::Deadline;
use crate::ldap::LdapError;
use crate::ldap::filter::Filter;
use crate::ldap::search::Entry;
use crate::protocol::Map;

mod change;
mod moment;

pub use change::Change;
pub use moment::{Moment, ServerClock};

const UUID: &str = "entryUUID";
const NS_UNIQUE_ID: &str = "nsUniqueId";
const CSN: &str = "entryCSN";
const MODIFIED: &str = "modifyTimestamp";
const MARKS: [&str; 4] = [UUID, NS_UNIQUE_ID, CSN, MODIFIED];
/// What [`own_id`] looks at.
pub(super) const IDS: [&str; 2] = [UUID, NS_UNIQUE_ID];

/// About how many bytes of entries are handed out at a time.
pub(super) const BATCH_BYTES: usize = 128 << 10;
/// About what an entry takes besides its members.
const ENTRY_BYTES: usize = 256;
/// About what an id takes.
pub(super) const ID_BYTES: usize = 32;

/// By what an entry is known again: its nsUniqueId or entryUUID, else a hash of its DN.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EntryId(pub u128);

/// What becomes another one when the entry changes; 0: not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Stamp(pub u64);

/// What is known about an entry, whatever it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Which one it is.
    pub id: EntryId,
    /// Which state of it.
    pub stamp: Stamp,
    /// When it came to be so, by the server's clock.
    pub modified: Option<Moment>,
}

/// An entry that was read.
#[derive(Clone, Debug)]
pub struct Read<T> {
    /// Which one.
    pub seen: Seen,
    /// What it is; `None`: this host rejects it.
    pub entry: Option<T>,
}

/// A user's entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserEntry {
    /// The user.
    pub user: User,
    /// All the names by which a lookup finds it, its own among them.
    pub names: Vec<Name>,
}

/// A group's entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupEntry {
    /// Its id.
    pub gid: Gid,
    /// Its name. `None`: one that this host rejects. Nobody finds such a group, but
    /// its members are in it.
    pub name: Option<Name>,
    /// All the names by which a lookup finds it.
    pub names: Vec<Name>,
    /// The members that it lists.
    pub members: Members,
    /// Who else is in it: see [`crate::schema::Schema::members_besides`].
    pub besides: Vec<Name>,
}

impl GroupEntry {
    /// The group as a lookup gives it, if one can find it.
    pub fn group(&self) -> Option<Group> {
        let name = self.name.clone()?;
        Some(Group { name, gid: self.gid, members: self.members.clone() })
    }
}

/// What was read, all in all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    /// Which of the directory's servers was read.
    pub server: usize,
    /// How many entries.
    pub entries: usize,
    /// How many of them have no [`Moment`]: reading the changed ones misses them.
    pub undated: usize,
    /// The newest moment among them that isn't far ahead of this host's clock: a wrong
    /// date must not hide all that is modified until then.
    pub newest: Option<Moment>,
    /// The number of the last change when the reading began, if the server has one.
    pub change: Option<Change>,
    /// From where a subscription goes on that is to miss nothing after the reading began:
    /// OpenLDAP's change numbers. `None`: a server of another kind, one that doesn't keep
    /// them where the maps lie, or entries whose ids the reader can't see.
    pub cookie: Option<Cookie>,
}

impl Directory {
    /// Reads the users; only those that were modified at this moment or later, if
    /// one is given. `patience` is how long one page may take.
    ///
    /// # Errors
    /// [`LdapError`]; then it was not everything.
    pub async fn read_users(
        &self,
        since: Option<Moment>,
        patience: Duration,
        to: Sender<Vec<Read<UserEntry>>>,
    ) -> Result<Extent, LdapError> {
        let domain = &self.users_domain(Deadline::after(patience)).await?;
        let filter = modified_since(self.schema.users(), since);
        let attributes = with_marks(self.schema.user_attributes());
        let read = |entry: &Entry, seen| self.read_user(entry, seen, domain);
        self.read_map((Map::Users, extent_of(since)), &filter, &attributes, patience, read, to)
            .await
    }

    /// Reads the groups, likewise.
    ///
    /// # Errors
    /// [`LdapError`]; then it was not everything.
    pub async fn read_groups(
        &self,
        since: Option<Moment>,
        patience: Duration,
        to: Sender<Vec<Read<GroupEntry>>>,
    ) -> Result<Extent, LdapError> {
        let filter = modified_since(self.schema.groups(), since);
        let attributes = with_marks(self.schema.group_attributes());
        let read = |entry: &Entry, seen| self.read_group(entry, seen);
        self.read_map((Map::Groups, extent_of(since)), &filter, &attributes, patience, read, to)
            .await
    }

    /// What a user's entry is, and about how many bytes that takes.
    pub(super) fn read_user(
        &self,
        entry: &Entry,
        seen: Seen,
        domain: &str,
    ) -> (Read<UserEntry>, usize) {
        let user = accept(entry, self.schema.user(entry, domain));
        let user = user.map(|user| UserEntry { user, names: self.schema.user_names(entry) });
        (Read { seen, entry: user }, ENTRY_BYTES)
    }

    /// What a group's entry is, likewise.
    pub(super) fn read_group(&self, entry: &Entry, seen: Seen) -> (Read<GroupEntry>, usize) {
        let entry = self.group_entry(entry);
        let members = entry.as_ref().map_or(0, |group| group.members.as_run().len());
        (Read { seen, entry }, ENTRY_BYTES + members)
    }

    fn group_entry(&self, entry: &Entry) -> Option<GroupEntry> {
        let gid = accept(entry, self.schema.gid(entry))?;
        let besides = self.schema.members_besides(entry);
        let Some(Group { name, gid, members }) = accept(entry, self.schema.group(entry)) else {
            let members = self.schema.members(entry);
            return Some(GroupEntry { gid, name: None, names: Vec::new(), members, besides });
        };
        let names = self.schema.group_names(entry);
        Some(GroupEntry { gid, name: Some(name), names, members, besides })
    }

    /// Reads which users or groups there are, and nothing else about them.
    ///
    /// # Errors
    /// [`LdapError`]; then it was not everything.
    pub async fn ids(
        &self,
        map: Map,
        patience: Duration,
        to: Sender<Vec<Seen>>,
    ) -> Result<Extent, LdapError> {
        let filter = match map {
            Map::Users => self.schema.users(),
            Map::Groups => self.schema.groups(),
            Map::Shadows => self.schema.shadows(None),
        };
        let read = |_: &Entry, seen| (seen, ID_BYTES);
        self.read_map((map, walk::Extent::All), &filter, &MARKS, patience, read, to).await
    }

    async fn read_map<T>(
        &self,
        (map, which): (Map, walk::Extent),
        filter: &Filter,
        attributes: &[&str],
        patience: Duration,
        read: impl Fn(&Entry, Seen) -> (T, usize),
        to: Sender<Vec<T>>,
    ) -> Result<Extent, LdapError> {
        let walk = self.walk(map, filter, attributes, patience, Walker::Replica, which);
        let mut walk = walk.await?;
        let latest = Moment::latest();
        let (mut batch, mut bytes) = (Vec::new(), 0);
        let cookie = walk.cookie.take();
        let mut extent =
            Extent { server: walk.server, change: walk.change, cookie, ..Extent::default() };
        loop {
            let entry = walk.next().await?;
            let last = entry.is_none();
            if let Some(entry) = entry {
                let seen = marks(&entry);
                // A subscription calls it by an id that the reader can't see.
                if extent.cookie.is_some() && own_id(&entry).is_none() {
                    extent.cookie = None;
                }
                extent.entries += 1;
                extent.undated += usize::from(seen.modified.is_none());
                extent.newest = extent.newest.max(seen.modified.filter(|at| *at < latest));
                let (item, size) = read(&entry, seen);
                batch.push(item);
                bytes += size;
            }
            if bytes >= BATCH_BYTES || (last && !batch.is_empty()) {
                let sent = to.send(std::mem::take(&mut batch)).await;
                sent.map_err(|_| LdapError::Protocol("nobody wants the rest"))?;
                bytes = 0;
                walk.start_over();
            }
            if last {
                return Ok(extent);
            }
        }
    }
}

fn extent_of(since: Option<Moment>) -> walk::Extent {
    if since.is_some() { walk::Extent::Some } else { walk::Extent::All }
}

fn modified_since(filter: Filter, since: Option<Moment>) -> Filter {
    match since {
        None => filter,
        Some(since) => Filter::and(&[&filter, &Filter::at_least(MODIFIED, &since.to_string())]),
    }
}

/// These attributes, and those of [`marks`].
pub(super) fn with_marks(mut attributes: Vec<&str>) -> Vec<&str> {
    attributes.extend(MARKS);
    attributes
}

/// The id that an entry itself says it has.
pub(super) fn own_id(entry: &Entry) -> Option<EntryId> {
    entry.value(NS_UNIQUE_ID).or_else(|| entry.value(UUID)).and_then(uuid)
}

/// What is to be known about an entry.
pub(super) fn marks(entry: &Entry) -> Seen {
    let modified = entry.value(MODIFIED);
    let stamp = entry.value(CSN).or(modified).map(|text| xxh3_64(text.as_bytes()));
    Seen {
        id: own_id(entry).unwrap_or_else(|| of_dn(&entry.dn)),
        stamp: Stamp(stamp.unwrap_or_default()),
        modified: modified.and_then(Moment::parse),
    }
}

/// `entryUUID` (RFC 4530 section 2.1): 32 hexadecimal digits with hyphens; `nsUniqueId`
/// has its hyphens elsewhere.
fn uuid(text: &str) -> Option<EntryId> {
    let digits = text.bytes().filter(|byte| *byte != b'-');
    let mut id = 0;
    let mut count = 0;
    for digit in digits {
        id = id << 4 | u128::from(char::from(digit).to_digit(16)?);
        count += 1;
    }
    (count == 32).then_some(EntryId(id))
}

/// A server spells a DN in one way, but for the case in which it was once asked.
fn of_dn(dn: &str) -> EntryId {
    EntryId(xxh3_128(dn.to_lowercase().as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(dn: &str, attributes: &[(&str, &[&str])]) -> Seen {
        marks(&Entry::of(dn, attributes))
    }

    #[test]
    fn an_entry_is_known_by_its_uuid() {
        let id: &[(&str, &[&str])] = &[("entryuuid", &["6ba7b810-9dad-11d1-80b4-00C04FD430c8"])];
        let seen = entry("uid=a", id);
        assert_eq!(seen.id, EntryId(0x6ba7_b810_9dad_11d1_80b4_00c0_4fd4_30c8));
        assert_eq!(seen.id, entry("uid=b", id).id, "whatever it is called");
    }

    #[test]
    fn an_entry_of_389_is_known_by_the_id_that_its_server_calls_it_by() {
        let ids: &[(&str, &[&str])] = &[
            (UUID, &["6ba7b810-9dad-11d1-80b4-00C04FD430c8"]),
            (NS_UNIQUE_ID, &["8c7e2a81-5f0411ef-9d0cb3c5-4bd1a1a2"]),
        ];
        assert_eq!(entry("uid=a", ids).id, EntryId(0x8c7e_2a81_5f04_11ef_9d0c_b3c5_4bd1_a1a2));
    }

    #[test]
    fn an_entry_without_a_uuid_is_known_by_its_dn_in_any_case() {
        let seen = entry("uid=a,dc=X", &[]);
        assert_eq!(seen.id, entry("UID=A,dc=x", &[]).id);
        assert_ne!(seen.id, entry("uid=b,dc=x", &[]).id);
        let wrong: &[(&str, &[&str])] = &[(UUID, &["6ba7b810"])];
        assert_eq!(seen.id, entry("uid=a,dc=x", wrong).id);
    }

    #[test]
    fn an_entry_that_was_changed_has_another_stamp() {
        let first = entry("a", &[(CSN, &["1"]), (MODIFIED, &["20260102030405Z"])]);
        let second = entry("a", &[(CSN, &["2"]), (MODIFIED, &["20260102030405Z"])]);
        assert_ne!(first.stamp, second.stamp);
        let third = entry("a", &[(MODIFIED, &["20260102030405Z"])]);
        let fourth = entry("a", &[(MODIFIED, &["20260102030406Z"])]);
        assert_ne!(third.stamp, fourth.stamp);
        assert!(third.modified < fourth.modified);
        assert_eq!(entry("a", &[]).stamp, Stamp(0), "not known");
    }

    #[test]
    fn only_what_was_modified_is_asked_for_by_the_servers_time() {
        let since = Moment::parse("20260102030405Z");
        let filter = modified_since(Filter::present("uid"), since);
        assert_eq!(filter.as_str(), "(&(uid=*)(modifyTimestamp>=20260102030405Z))");
    }
}

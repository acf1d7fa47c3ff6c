//! What the directories hold, and what the table must say: no network, no file.
//!
//! The directories' entries don't fit the table's keys one to one. Two entries may have
//! the same name or id, in one directory or in two; an entry may have several
//! names; a group lists members that are nobody here. Lookups have rules for that (see
//! `directory.rs` and `handle.rs` in `common`), and the table must
//! say what they would say:
//!
//! - **Claims.** Each entry claims its keys: all of its names and its id. Of those who claim a
//!   key, one has it: that of the earlier directory; then the one whose own name is the
//!   smaller; then, where even the names are the same, the one with the smaller entry id.
//!   The others get it when that one goes, so claims are kept.
//! - **Groups of a name.** A group counts for those whom it lists, by exactly the name it
//!   lists. That somebody is a user doesn't matter, nor that a user has other
//!   names; nor that the group's own name is one that this host rejects, or another
//!   group's. Groups of all directories count.
//!   Where the name leads to a user whose own name it is, the ids lie in the user's
//!   record, else in a record of their own.
//!
//! **Changes.** An entry that is put, changed or removed makes keys *dirty*: those that it
//! claimed or claims, and the names that its list of members gained or lost. [`Population::write`] then
//! finds out what each dirty key leads to now, and tells a [`Sink`](write::Sink). So one
//! poll is one change of the table, whatever the entries had to do with each other; and
//! an entry that is read again and says the same makes nothing dirty.
//!
//! **Memory.** A user is one run of bytes, a member a number of four bytes, a claim eight
//! bytes: 100,000 users in five groups each take about 30 MB.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::hash::{BuildHasher, RandomState};

use common::account::{Gid, Name};
use common::directory::subscribe::Cookie;
use common::directory::sync::{EntryId, GroupEntry, Read, Seen, UserEntry};
use common::protocol::Map;

mod claims;
mod doubles;
mod entries;
mod facts;
mod names;
mod news;
mod plan;
mod saved;
#[cfg(test)]
pub(super) mod tests;
mod write;

pub(super) use entries::Balance;
pub(super) use news::{Kind, NewsError};
pub(super) use saved::{Corrupt, Place, Record};

use claims::Claims;
use doubles::Doubles;
use entries::{Body, Entries};
use facts::{Bytes, GroupFacts, UserFacts};
use names::Names;
use news::Hearing;
#[cfg(test)]
use write::Sink;

/// What the directories hold.
#[derive(Default)]
pub(in crate::daemon) struct Population {
    users: Entries<Bytes>,
    groups: Entries<GroupBody>,
    user_names: Claims,
    uids: Claims,
    group_names: Claims,
    gids: Claims,
    names: Names,
    hasher: RandomState,
    /// Keys that may lead elsewhere than the table says; `None` until the first
    /// table is written, which has all of them.
    dirty: Option<BTreeSet<Dirty>>,
    /// How often an entry came, changed or went.
    changes: u64,
    /// What is being told about each map.
    hearings: HashMap<Source, Hearing>,
    cookies: Cookies,
    doubles: Doubles,
    /// What of it is on the disk.
    saved: Option<(u64, Cookies)>,
}

/// A map of the directory of this number, in the order of the configuration.
type Source = (u16, Map);

/// From where on each map can be followed: all that was told before is in.
type Cookies = HashMap<Source, Cookie>;

/// A key that may lead elsewhere than the table says.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Dirty {
    UserName(Box<str>),
    Uid(u32),
    GroupName(Box<str>),
    Gid(u32),
    GidsOf(Box<str>),
}

/// A group.
#[derive(Default, PartialEq, Eq)]
struct GroupBody {
    facts: Bytes,
    gid: u32,
    /// How many of the members are listed in the group; the rest are in it all the same.
    listed: u32,
    /// Numbers of names.
    members: Box<[u32]>,
}

impl Body for Bytes {
    fn is_nobody(&self) -> bool {
        self.is_empty()
    }
}

impl Body for GroupBody {
    fn is_nobody(&self) -> bool {
        self.facts.is_empty()
    }
}

impl Population {
    /// Takes a user in, as the directory of this number, in the order of the
    /// configuration, has it now.
    pub(in crate::daemon) fn put_user(&mut self, directory: u16, read: &Read<UserEntry>) {
        let new = read.entry.as_ref().map_or_else(Bytes::default, facts::of_user);
        self.set_user(directory, &read.seen, new);
    }

    fn set_user(&mut self, directory: u16, seen: &Seen, new: Bytes) {
        let number = self.users.find_or_insert(directory, seen);
        if self.users.body(number) == &new {
            return;
        }
        self.changes += 1;
        self.leave_user(number);
        *self.users.body_mut(number) = new;
        self.enter_user(number);
    }

    /// Takes a group in, likewise.
    pub(in crate::daemon) fn put_group(&mut self, directory: u16, read: &Read<GroupEntry>) {
        let new = read.entry.as_ref().map_or_else(GroupBody::default, |entry| {
            let besides = entry.besides.iter().map(Name::as_str);
            let members = entry.members.iter().chain(besides);
            GroupBody {
                facts: facts::of_group(entry),
                gid: entry.gid.get(),
                listed: u32::try_from(entry.members.len()).unwrap_or(u32::MAX),
                members: members.map(|name| self.names.intern(&self.hasher, name)).collect(),
            }
        });
        self.set_group(directory, &read.seen, new);
    }

    fn set_group(&mut self, directory: u16, seen: &Seen, new: GroupBody) {
        let number = self.groups.find_or_insert(directory, seen);
        if self.groups.body(number) != &new {
            self.replace_group(number, new);
        }
    }

    /// Begins a reading of all users or groups of a directory: those that aren't put
    /// or seen until [`Population::finish`] aren't there any more.
    pub(in crate::daemon) fn begin(&mut self, map: Map, directory: u16) {
        match map {
            Map::Groups => self.groups.unmark(directory),
            Map::Users | Map::Shadows => self.users.unmark(directory),
        }
    }

    /// Takes note that an entry is there. Whether it is known in just this state.
    pub(in crate::daemon) fn see(&mut self, map: Map, directory: u16, seen: &Seen) -> bool {
        match map {
            Map::Groups => self.groups.see(directory, seen),
            Map::Users | Map::Shadows => self.users.see(directory, seen),
        }
    }

    /// Ends a reading that was begun: removes what wasn't there.
    pub(in crate::daemon) fn finish(&mut self, map: Map, directory: u16) {
        match map {
            Map::Groups => {
                for number in self.groups.unmarked(directory) {
                    self.remove_group(number);
                }
            }
            Map::Users | Map::Shadows => {
                for number in self.users.unmarked(directory) {
                    self.remove_user(number);
                }
            }
        }
    }

    /// Takes note that an entry is there as it is known. Whether it is known.
    fn is_there(&mut self, map: Map, directory: u16, id: EntryId) -> bool {
        match map {
            Map::Groups => self.groups.mark(directory, id),
            Map::Users | Map::Shadows => self.users.mark(directory, id),
        }
    }

    /// Removes an entry, if it is known.
    fn is_gone(&mut self, map: Map, directory: u16, id: EntryId) {
        match map {
            Map::Groups => {
                self.groups.find(directory, id).into_iter().for_each(|n| self.remove_group(n));
            }
            Map::Users | Map::Shadows => {
                self.users.find(directory, id).into_iter().for_each(|n| self.remove_user(n));
            }
        }
    }

    fn remove_user(&mut self, number: u32) {
        self.changes += 1;
        self.leave_user(number);
        self.users.remove(number);
    }

    fn remove_group(&mut self, number: u32) {
        self.replace_group(number, GroupBody::default());
        self.groups.remove(number);
    }

    /// How many entries there were when the reading began, and how many there will be
    /// when it has come to its end.
    pub(super) fn balance(&self, map: Map, directory: u16) -> Balance {
        match map {
            Map::Groups => self.groups.balance(directory),
            Map::Users | Map::Shadows => self.users.balance(directory),
        }
    }

    /// How often an entry came, changed or went so far.
    pub(in crate::daemon) fn changes(&self) -> u64 {
        self.changes
    }

    /// How many users and groups there are, those that this host rejects included.
    pub(in crate::daemon) fn entries(&self) -> usize {
        self.users.len() + self.groups.len()
    }

    /// How many users and groups this host has.
    pub(in crate::daemon) fn counts(&self) -> (usize, usize) {
        (self.users.accepted(), self.groups.accepted())
    }

    /// Whether the table says something else.
    pub(in crate::daemon) fn is_dirty(&self) -> bool {
        self.dirty.as_ref().is_none_or(|dirty| !dirty.is_empty())
    }

    fn enter_user(&mut self, number: u32) {
        let Some(facts) = UserFacts::of(self.users.body(number)) else { return };
        for name in facts.names() {
            self.user_names.add(self.hasher.hash_one(name), number);
        }
        self.uids.add(self.hasher.hash_one(facts.uid), number);
        soil_user(&mut self.dirty, &facts);
    }

    fn leave_user(&mut self, number: u32) {
        let Some(facts) = UserFacts::of(self.users.body(number)) else { return };
        for name in facts.names() {
            self.user_names.remove(self.hasher.hash_one(name), number);
        }
        self.uids.remove(self.hasher.hash_one(facts.uid), number);
        soil_user(&mut self.dirty, &facts);
    }

    fn replace_group(&mut self, number: u32, new: GroupBody) {
        self.changes += 1;
        let old = self.groups.body(number);
        let (old_facts, new_facts) = (GroupFacts::of(&old.facts), GroupFacts::of(&new.facts));
        let gid_changed = old.gid != new.gid;
        let (old_gid, new_gid) = (old.gid, new.gid);
        for (facts, gid, enters) in [(&old_facts, old_gid, false), (&new_facts, new_gid, true)] {
            let Some(facts) = facts else { continue };
            let names = facts.names().map(|name| self.hasher.hash_one(name));
            for hash in names {
                self.group_names.change(enters, hash, number);
            }
            if facts.name.is_some() {
                self.gids.change(enters, self.hasher.hash_one(gid), number);
            }
            if let Some(dirty) = &mut self.dirty {
                dirty.insert(Dirty::Gid(gid));
                dirty.extend(facts.names().map(|name| Dirty::GroupName(name.into())));
            }
        }
        let set = |members: &[u32]| members.iter().copied().collect::<BTreeSet<u32>>();
        let (was, is) = (set(&old.members), set(&new.members));
        *self.groups.body_mut(number) = new;
        if let Some(dirty) = &mut self.dirty {
            let mut soil = |member: &u32| {
                dirty.insert(Dirty::GidsOf(self.names.name(*member).into()));
            };
            if gid_changed {
                was.union(&is).for_each(&mut soil);
            } else {
                was.symmetric_difference(&is).for_each(&mut soil);
            }
        }
        for member in is.difference(&was) {
            self.names.enter(*member, number);
        }
        for member in was.difference(&is) {
            self.names.leave(&self.hasher, *member, number);
        }
    }

    /// The ids of the groups that list this name.
    fn gids_of(&self, name: &str) -> Vec<Gid> {
        let number = self.names.find(&self.hasher, name);
        number.map_or_else(Vec::new, |number| self.gids_of_number(number))
    }

    fn gids_of_number(&self, name: u32) -> Vec<Gid> {
        let groups = self.names.groups(name).iter();
        let gids = groups.filter_map(|number| Gid::new(self.groups.body(*number).gid).ok());
        let mut gids: Vec<Gid> = gids.collect();
        gids.sort_unstable();
        gids.dedup();
        gids
    }
}

fn soil_user(dirty: &mut Option<BTreeSet<Dirty>>, facts: &UserFacts<'_>) {
    let Some(dirty) = dirty else { return };
    dirty.insert(Dirty::Uid(facts.uid));
    for name in facts.names() {
        dirty.insert(Dirty::UserName(name.into()));
        // Whether the groups lie in a user's record or in one of their own.
        dirty.insert(Dirty::GidsOf(name.into()));
    }
}

impl fmt::Debug for Population {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (users, groups) = self.counts();
        write!(f, "Population {{ {users} users, {groups} groups }}")
    }
}

//! What the table must say.

use std::collections::BTreeSet;
use std::hash::BuildHasher;
use std::io;

use common::account::{Gid, Group, Members, Name};
use common::table::writer::{Change, Fact};
use common::table::{Key, NEVER};

use super::doubles::Doubles;
use super::facts::{self, GroupFacts, UserFacts};
use super::plan::Plan;
use super::{Dirty, Population};

/// Who is told what keys lead to: a change of the table.
pub(in crate::daemon) trait Sink {
    /// These keys lead to this fact.
    fn put(&mut self, fact: Fact<'_>, keys: &[Key<'_>]) -> io::Result<()>;
    /// This key leads nowhere.
    fn remove(&mut self, key: Key<'_>) -> io::Result<()>;
    /// By what facts are best put in order: see [`Change::order_of`].
    fn order_of(&self, key: Key<'_>) -> usize;
}

impl Sink for Change<'_> {
    fn put(&mut self, fact: Fact<'_>, keys: &[Key<'_>]) -> io::Result<()> {
        Change::put(self, fact, keys, NEVER)
    }

    fn remove(&mut self, key: Key<'_>) -> io::Result<()> {
        Change::remove(self, key)
    }

    fn order_of(&self, key: Key<'_>) -> usize {
        Change::order_of(self, key)
    }
}

impl Population {
    /// Tells everything, for a table that is empty. From then on changes are kept
    /// in mind for [`Population::write`].
    ///
    /// # Errors
    /// The sink's.
    pub(in crate::daemon) fn write_all(
        &mut self,
        plan: &Plan,
        sink: &mut impl Sink,
    ) -> io::Result<()> {
        let users = in_order(self.users.all(), |number| {
            let facts = UserFacts::of(self.users.body(number))?;
            Some(sink.order_of(Key::UserName(facts.name.as_bytes())))
        });
        let mut doubles = std::mem::take(&mut self.doubles);
        // The names whose groups lie in a user's record.
        let mut told = vec![false; self.names.end()];
        for number in users {
            let name = plan.own_names.get(number as usize).copied().flatten();
            if self.write_user(number, name, &mut doubles, sink)?
                && let Some(name) = name
            {
                told[name as usize] = true;
            }
        }
        let groups = in_order(self.groups.all(), |number| {
            let name = GroupFacts::of(&self.groups.body(number).facts)?.name?;
            Some(sink.order_of(Key::GroupName(name.as_bytes())))
        });
        doubles.are_told();
        self.doubles = doubles;
        groups.into_iter().try_for_each(|number| self.write_group(number, sink))?;
        for number in self.names.all().filter(|number| !told[*number as usize]) {
            let key = Key::GidsOf(self.names.name(number).as_bytes());
            sink.put(Fact::Gids(&self.gids_of_number(number)), &[key])?;
        }
        self.dirty = Some(BTreeSet::new());
        Ok(())
    }

    /// Tells what the keys lead to whose entries have changed since the last time.
    /// [`Population::written`] ends it: until then it can be told again.
    ///
    /// # Errors
    /// The sink's.
    pub(in crate::daemon) fn write(&mut self, sink: &mut impl Sink) -> io::Result<()> {
        let mut doubles = std::mem::take(&mut self.doubles);
        let written = self.write_dirty(&mut doubles, sink);
        doubles.are_told();
        self.doubles = doubles;
        written
    }

    fn write_dirty(&self, doubles: &mut Doubles, sink: &mut impl Sink) -> io::Result<()> {
        let (mut users, mut groups) = (BTreeSet::new(), BTreeSet::new());
        for key in self.dirty.iter().flatten() {
            match key {
                Dirty::UserName(name) => match self.user_named(name) {
                    Some(winner) => drop(users.insert(winner)),
                    None => sink.remove(Key::UserName(name.as_bytes()))?,
                },
                Dirty::Uid(uid) => match self.user_of(*uid) {
                    Some(winner) => drop(users.insert(winner)),
                    None => sink.remove(Key::Uid(*uid))?,
                },
                Dirty::GroupName(name) => match self.group_named(name) {
                    Some(winner) => drop(groups.insert(winner)),
                    None => sink.remove(Key::GroupName(name.as_bytes()))?,
                },
                Dirty::Gid(gid) => match self.group_of(*gid) {
                    Some(winner) => drop(groups.insert(winner)),
                    None => sink.remove(Key::Gid(*gid))?,
                },
                Dirty::GidsOf(name) => {
                    users.extend(self.users_whose_own_name_is(name));
                    self.write_gids_of(name, sink)?;
                }
            }
        }
        for number in users {
            let facts = UserFacts::of(self.users.body(number));
            let name = facts.and_then(|facts| self.names.find(&self.hasher, facts.name));
            self.write_user(number, name, doubles, sink)?;
        }
        groups.into_iter().try_for_each(|number| self.write_group(number, sink))
    }

    /// The table says all that [`Population::write`] told.
    pub(in crate::daemon) fn written(&mut self) {
        if let Some(dirty) = &mut self.dirty {
            *dirty = BTreeSet::new();
        }
    }

    fn write_gids_of(&self, name: &str, sink: &mut impl Sink) -> io::Result<()> {
        let key = Key::GidsOf(name.as_bytes());
        let gids = if self.has_gids_inline(name) { Vec::new() } else { self.gids_of(name) };
        if gids.is_empty() { sink.remove(key) } else { sink.put(Fact::Gids(&gids), &[key]) }
    }

    /// Puts a user under all the keys that it has, with the groups that list its own name, which
    /// has this number. Whether its own name is one of the keys.
    fn write_user(
        &self,
        number: u32,
        name: Option<u32>,
        doubles: &mut Doubles,
        sink: &mut impl Sink,
    ) -> io::Result<bool> {
        let Some(facts) = UserFacts::of(self.users.body(number)) else { return Ok(false) };
        let names = facts.names().filter(|name| {
            let candidates = self.user_names.of(self.hasher.hash_one(name));
            is_alone(candidates) || self.user_named(name) == Some(number)
        });
        let mut keys: Vec<Key<'_>> = names.map(|name| Key::UserName(name.as_bytes())).collect();
        let has_own = keys.first() == Some(&Key::UserName(facts.name.as_bytes()));
        let uid = facts.uid;
        if is_alone(self.uids.of(self.hasher.hash_one(uid))) {
            doubles.is_alone(uid);
            keys.push(Key::Uid(uid));
        } else if self.user_of(uid) == Some(number) {
            let has_it = |other: &u32| {
                UserFacts::of(self.users.body(*other)).is_some_and(|other| other.uid == uid)
            };
            // Others may have the same hash only, and then nothing is wrong.
            if self.uids.of(self.hasher.hash_one(uid)).filter(has_it).nth(1).is_some() {
                doubles.tell(uid, facts.name);
            }
            keys.push(Key::Uid(uid));
        }
        if keys.is_empty() {
            return Ok(false);
        }
        let Some(user) = facts::user(self.users.body(number)) else { return Ok(false) };
        let gids = name.map_or_else(Vec::new, |name| self.gids_of_number(name));
        sink.put(Fact::User(&user, Some(&gids)), &keys)?;
        Ok(has_own)
    }

    /// Puts a group under all the keys that it has.
    fn write_group(&self, number: u32, sink: &mut impl Sink) -> io::Result<()> {
        let body = self.groups.body(number);
        let Some(facts) = GroupFacts::of(&body.facts) else { return Ok(()) };
        let Some(own) = facts.name.and_then(|own| Name::parse(own).ok()) else { return Ok(()) };
        let names = facts.names().filter(|name| {
            let candidates = self.group_names.of(self.hasher.hash_one(name));
            is_alone(candidates) || self.group_named(name) == Some(number)
        });
        let mut keys: Vec<Key<'_>> = names.map(|name| Key::GroupName(name.as_bytes())).collect();
        if self.group_of(body.gid) == Some(number) {
            keys.push(Key::Gid(body.gid));
        }
        let Ok(gid) = Gid::new(body.gid) else { return Ok(()) };
        if keys.is_empty() {
            return Ok(());
        }
        let listed = &body.members[..(body.listed as usize).min(body.members.len())];
        let mut run = String::new();
        for member in listed {
            run.push_str(self.names.name(*member));
            run.push('\0');
        }
        // They were names when they were put in.
        let members = Members::try_from(run).unwrap_or_default();
        sink.put(Fact::Group(&Group { name: own, gid, members }), &keys)
    }

    /// Whether the groups of a name lie in the record of the user of this name.
    fn has_gids_inline(&self, name: &str) -> bool {
        let winner = self.user_named(name).map(|number| self.users.body(number));
        let winner = winner.and_then(|bytes| UserFacts::of(bytes));
        winner.is_some_and(|facts| facts.name == name)
    }

    fn users_whose_own_name_is(&self, name: &str) -> impl Iterator<Item = u32> {
        let candidates = self.user_names.of(self.hasher.hash_one(name));
        candidates.filter(move |number| {
            let facts = UserFacts::of(self.users.body(*number));
            facts.is_some_and(|facts| facts.name == name)
        })
    }

    fn user_named(&self, name: &str) -> Option<u32> {
        let candidates = self.user_names.of(self.hasher.hash_one(name));
        self.first_user(candidates, |facts| facts.names().any(|other| other == name))
    }

    fn user_of(&self, uid: u32) -> Option<u32> {
        let candidates = self.uids.of(self.hasher.hash_one(uid));
        self.first_user(candidates, |facts| facts.uid == uid)
    }

    fn group_named(&self, name: &str) -> Option<u32> {
        let candidates = self.group_names.of(self.hasher.hash_one(name));
        self.first_group(candidates, |facts, _| facts.names().any(|other| other == name))
    }

    fn group_of(&self, gid: u32) -> Option<u32> {
        let candidates = self.gids.of(self.hasher.hash_one(gid));
        self.first_group(candidates, |_, other| other == gid)
    }

    fn first_user(
        &self,
        candidates: impl Iterator<Item = u32>,
        claims: impl Fn(&UserFacts<'_>) -> bool,
    ) -> Option<u32> {
        let ranked = candidates.filter_map(|number| {
            let facts = UserFacts::of(self.users.body(number)).filter(&claims)?;
            let (directory, id) = self.users.rank(number);
            Some(((directory, facts.name, id), number))
        });
        ranked.min().map(|(_, number)| number)
    }

    fn first_group(
        &self,
        candidates: impl Iterator<Item = u32>,
        claims: impl Fn(&GroupFacts<'_>, u32) -> bool,
    ) -> Option<u32> {
        let ranked = candidates.filter_map(|number| {
            let body = self.groups.body(number);
            let facts = GroupFacts::of(&body.facts).filter(|facts| claims(facts, body.gid))?;
            let (directory, id) = self.groups.rank(number);
            Some(((directory, facts.name?, id), number))
        });
        ranked.min().map(|(_, number)| number)
    }
}

fn in_order(numbers: impl Iterator<Item = u32>, order: impl Fn(u32) -> Option<usize>) -> Vec<u32> {
    let mut numbers: Vec<_> = numbers.map(|number| (order(number), number)).collect();
    numbers.sort_unstable();
    numbers.into_iter().map(|(_, number)| number).collect()
}

/// Whether there is one at most. Who claims a key alone has it.
fn is_alone(mut candidates: impl Iterator<Item = u32>) -> bool {
    candidates.next();
    candidates.next().is_none()
}

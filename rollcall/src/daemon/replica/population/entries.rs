//! The entries of all directories, by number.

use std::hash::{BuildHasher, RandomState};

use common::directory::sync::{EntryId, Seen, Stamp};
use hashbrown::HashTable;

/// What an entry says.
pub(super) trait Body: Default {
    /// Whether this host rejects it.
    fn is_nobody(&self) -> bool;
}

/// Users or groups. An entry keeps its number as long as it is there.
#[derive(Default)]
pub(super) struct Entries<B> {
    slots: Vec<Slot<B>>,
    free: Vec<u32>,
    numbers: HashTable<u32>,
    hasher: RandomState,
    accepted: usize,
}

struct Slot<B> {
    id: EntryId,
    stamp: Stamp,
    directory: u16,
    /// Whether the reading that goes on has come across it.
    marked: bool,
    /// Whether it has come since the reading began.
    new: bool,
    used: bool,
    body: B,
}

/// What a reading does to the number of a directory's entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::daemon::replica) struct Balance {
    /// So many there were when it began, but for those that were deleted one by one since.
    pub(in crate::daemon::replica) before: usize,
    /// So many there are if what it didn't come across is gone.
    pub(in crate::daemon::replica) after: usize,
}

impl<B: Body> Entries<B> {
    /// The number of an entry, which takes its stamp from now on.
    pub(super) fn find_or_insert(&mut self, directory: u16, seen: &Seen) -> u32 {
        if let Some(number) = self.find(directory, seen.id) {
            let slot = &mut self.slots[number as usize];
            (slot.stamp, slot.marked) = (seen.stamp, true);
            return number;
        }
        let slot = Slot {
            id: seen.id,
            stamp: seen.stamp,
            directory,
            marked: true,
            new: true,
            used: true,
            body: B::default(),
        };
        let number = if let Some(number) = self.free.pop() {
            self.slots[number as usize] = slot;
            number
        } else {
            self.slots.push(slot);
            u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
        };
        let (slots, hasher) = (&self.slots, &self.hasher);
        let hash = |number: &u32| {
            let slot = &slots[*number as usize];
            hasher.hash_one((slot.directory, slot.id))
        };
        self.numbers.insert_unique(hash(&number), number, hash);
        number
    }

    /// The number of an entry, if it is known.
    pub(super) fn find(&self, directory: u16, id: EntryId) -> Option<u32> {
        let same = |number: &u32| {
            let slot = &self.slots[*number as usize];
            slot.directory == directory && slot.id == id
        };
        self.numbers.find(self.hasher.hash_one((directory, id)), same).copied()
    }

    /// Takes an entry away.
    pub(super) fn remove(&mut self, number: u32) {
        *self.body_mut(number) = B::default();
        let slot = &mut self.slots[number as usize];
        slot.used = false;
        let hash = self.hasher.hash_one((slot.directory, slot.id));
        if let Ok(found) = self.numbers.find_entry(hash, |other| *other == number) {
            found.remove();
            self.free.push(number);
        }
    }

    /// What an entry says.
    pub(super) fn body(&self, number: u32) -> &B {
        &self.slots[number as usize].body
    }

    /// What it says from now on.
    pub(super) fn body_mut(&mut self, number: u32) -> BodyMut<'_, B> {
        let was_accepted = !self.body(number).is_nobody();
        BodyMut { entries: self, number, was_accepted }
    }

    /// By what entries with the same name are told apart: the earlier directory
    /// first, then, at the end, a number that never changes.
    pub(super) fn rank(&self, number: u32) -> (u16, EntryId) {
        let slot = &self.slots[number as usize];
        (slot.directory, slot.id)
    }

    /// Takes note that an entry is there, and whether it is in the state that is known.
    pub(super) fn see(&mut self, directory: u16, seen: &Seen) -> bool {
        let Some(number) = self.find(directory, seen.id) else { return false };
        let slot = &mut self.slots[number as usize];
        slot.marked = true;
        slot.stamp == seen.stamp && seen.stamp != Stamp(0)
    }

    /// Takes note that an entry is there, in the state that is known. Whether it is known.
    pub(super) fn mark(&mut self, directory: u16, id: EntryId) -> bool {
        let Some(number) = self.find(directory, id) else { return false };
        self.slots[number as usize].marked = true;
        true
    }

    /// Nothing of this directory has been come across yet.
    pub(super) fn unmark(&mut self, directory: u16) {
        let slots = self.slots.iter_mut().filter(|slot| slot.directory == directory);
        slots.for_each(|slot| (slot.marked, slot.new) = (false, false));
    }

    /// What wasn't come across.
    pub(super) fn unmarked(&self, directory: u16) -> Vec<u32> {
        let slots = (0..).zip(&self.slots);
        let slots =
            slots.filter(|(_, slot)| slot.used && !slot.marked && slot.directory == directory);
        slots.map(|(number, _)| number).collect()
    }

    /// How many entries a directory had when the reading began, and would have after it.
    pub(super) fn balance(&self, directory: u16) -> Balance {
        let of_it = |slot: &&Slot<B>| slot.used && slot.directory == directory;
        let mut balance = Balance { before: 0, after: 0 };
        for slot in self.slots.iter().filter(of_it) {
            balance.before += usize::from(!slot.new);
            balance.after += usize::from(slot.marked);
        }
        balance
    }

    /// How many entries a directory had when it began to be heard of, and would have without
    /// these.
    pub(super) fn balance_without<'a>(
        &self,
        directory: u16,
        gone: impl IntoIterator<Item = &'a EntryId>,
    ) -> Balance {
        let of_it = |slot: &&Slot<B>| slot.used && slot.directory == directory;
        let mut balance = Balance { before: 0, after: 0 };
        for slot in self.slots.iter().filter(of_it) {
            balance.before += usize::from(!slot.new);
            balance.after += 1;
        }
        let known = gone.into_iter().filter(|id| self.find(directory, **id).is_some());
        balance.after = balance.after.saturating_sub(known.count());
        balance
    }

    /// An entry by its place: which one it is, and what it says. `Ok(None)`: there is none
    /// any more; `Err`: nor is there at a later place.
    pub(super) fn at(&self, place: u32) -> Result<Option<(u16, Seen, &B)>, ()> {
        let slot = self.slots.get(place as usize).ok_or(())?;
        let seen = Seen { id: slot.id, stamp: slot.stamp, modified: None };
        Ok(slot.used.then_some((slot.directory, seen, &slot.body)))
    }

    /// The numbers of all that this host accepts.
    pub(super) fn all(&self) -> impl Iterator<Item = u32> {
        let slots = (0..).zip(&self.slots);
        slots.filter(|(_, slot)| !slot.body.is_nobody()).map(|(number, _)| number)
    }

    /// Numbers are smaller than this.
    pub(super) fn end(&self) -> usize {
        self.slots.len()
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.numbers.len()
    }

    /// How many of them this host accepts.
    pub(super) fn accepted(&self) -> usize {
        self.accepted
    }
}

/// A body that may change; counts how many are accepted when that is done.
pub(super) struct BodyMut<'a, B: Body> {
    entries: &'a mut Entries<B>,
    number: u32,
    was_accepted: bool,
}

impl<B: Body> std::ops::Deref for BodyMut<'_, B> {
    type Target = B;

    fn deref(&self) -> &B {
        self.entries.body(self.number)
    }
}

impl<B: Body> std::ops::DerefMut for BodyMut<'_, B> {
    fn deref_mut(&mut self) -> &mut B {
        &mut self.entries.slots[self.number as usize].body
    }
}

impl<B: Body> Drop for BodyMut<'_, B> {
    fn drop(&mut self) {
        let is_accepted = !self.is_nobody();
        self.entries.accepted += usize::from(is_accepted);
        self.entries.accepted -= usize::from(self.was_accepted);
    }
}

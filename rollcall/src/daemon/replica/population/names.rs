//! The names that groups list, and the groups that list them.

use std::hash::{BuildHasher, RandomState};

use hashbrown::HashTable;

/// Names by number. A name is kept as long as a group lists it.
#[derive(Default)]
pub(super) struct Names {
    slots: Vec<Slot>,
    free: Vec<u32>,
    numbers: HashTable<u32>,
}

#[derive(Default)]
struct Slot {
    name: Box<str>,
    /// Numbers of groups, in no order, each once.
    groups: Vec<u32>,
}

impl Names {
    /// The number of a name. One that is new must be entered into a group before it
    /// is asked for again.
    pub(super) fn intern(&mut self, hasher: &RandomState, name: &str) -> u32 {
        let hash = hasher.hash_one(name);
        if let Some(number) = self.with_hash(hash, name) {
            return number;
        }
        let slot = Slot { name: name.into(), groups: Vec::new() };
        let number = if let Some(number) = self.free.pop() {
            self.slots[number as usize] = slot;
            number
        } else {
            self.slots.push(slot);
            u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
        };
        let slots = &self.slots;
        let rehash = |number: &u32| hasher.hash_one(&*slots[*number as usize].name);
        self.numbers.insert_unique(hash, number, rehash);
        number
    }

    /// The number of a name that a group lists.
    pub(super) fn find(&self, hasher: &RandomState, name: &str) -> Option<u32> {
        self.with_hash(hasher.hash_one(name), name)
    }

    fn with_hash(&self, hash: u64, name: &str) -> Option<u32> {
        self.numbers.find(hash, |number| &*self.slots[*number as usize].name == name).copied()
    }

    /// A name by its number.
    pub(super) fn name(&self, number: u32) -> &str {
        &self.slots[number as usize].name
    }

    /// A group lists this name, which it hasn't before.
    pub(super) fn enter(&mut self, number: u32, group: u32) {
        let groups = &mut self.slots[number as usize].groups;
        // Most are in few groups, and there are many of them.
        if groups.len() == groups.capacity() {
            groups.reserve_exact(groups.len() / 4 + 1);
        }
        groups.push(group);
    }

    /// A group lists it no longer.
    pub(super) fn leave(&mut self, hasher: &RandomState, number: u32, group: u32) {
        let slot = &mut self.slots[number as usize];
        if let Some(at) = slot.groups.iter().position(|other| *other == group) {
            slot.groups.swap_remove(at);
        }
        if !slot.groups.is_empty() {
            return;
        }
        let hash = hasher.hash_one(&*slot.name);
        *slot = Slot::default();
        if let Ok(found) = self.numbers.find_entry(hash, |other| *other == number) {
            found.remove();
            self.free.push(number);
        }
    }

    /// The groups that list a name, by its number.
    pub(super) fn groups(&self, number: u32) -> &[u32] {
        &self.slots[number as usize].groups
    }

    /// The numbers of all names.
    pub(super) fn all(&self) -> impl Iterator<Item = u32> {
        let slots = (0..).zip(&self.slots);
        slots.filter(|(_, slot)| !slot.groups.is_empty()).map(|(number, _)| number)
    }

    /// Numbers are smaller than this.
    pub(super) fn end(&self) -> usize {
        self.slots.len()
    }
}

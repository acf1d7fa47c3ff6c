//! The memory of one table, as its writer works on it.
//!
//! # Why a reader never misses a key that was there all the time
//!
//! *A key has one slot.* Whoever puts a key looks for its slot first, up to a slot
//! that was never used, and takes another one only if there is none. A slot whose
//! key is gone is free for any key. A slot that a pending change has touched isn't, since its
//! word has room for one tag only; but the key that it had before the change
//! still finds it there, so that a key that is removed and put again within a change
//! keeps its slot.
//!
//! *A probe isn't cut short.* Slots never go back to 0, except when a change is rolled
//! back that took them from 0: no key that was ever published lies behind such a slot
//! on its own way, or its way would have ended there before.
//!
//! So if a key is there from the beginning of a probe to its end, its slot is the same one
//! all the time and lies on the way of the probe. If the probe doesn't find it, then
//! it was gone at a moment in between: after it was removed from the slot that the
//! probe saw too late, or before it was put into the slot that the probe saw too early.
//!
//! # Why a reader sees a change whole
//!
//! For each slot that a change touches, there is a link before its number is in the header.
//! A reader that saw anything of the change saw either the number (by an acquire) or a slot
//! from which the link had been taken away again (by an acquire, and the number was
//! stored before that). In either case its next look at another slot sees the link or
//! what came after it, and its next look at the number sees this number at least.
//!
//! *The link of a change that was rolled back* may still be in the hands of a reader that
//! was stopped, and the same number will be published one day. So both sides of such a link
//! are made the old side first. A reader reads the number before the sides; if it
//! gets the number of a later change, it gets the sides as they were made here.

use std::sync::Arc;
use std::sync::atomic::Ordering::{self, Relaxed, Release};

use super::encode;
use super::file::Memory;
use crate::table::layout::{
    Class, GONE, HEADER_WORDS, Key, Kind, MAGIC, MAX_PROBE, VERSION, first_slot, header, high, low,
    pair,
};
use crate::table::reader::{Table, View};
use crate::table::records::Record;

mod times;
mod waste;

/// The most slots between where a probe begins and where a key is put: readers stop
/// at [`MAX_PROBE`], and an index where it takes so long is too full.
const BOUND: usize = MAX_PROBE / 4 * 3;
/// How full an index may get, in percent. A miss looks at 23 slots then, on average
/// (Knuth, The Art of Computer Programming, 6.4), three cache lines in a row.
const FULL: usize = 85;

/// The memory of one table, and what its writer knows about it.
#[derive(Debug)]
pub(super) struct Sheet {
    memory: Arc<Memory>,
    index: usize,
    slots: usize,
    seed: u64,
    /// Whether readers may have it. As long as none has, slots are changed at once.
    pub(super) seen: bool,
    pub(super) counts: Counts,
    pending: Pending,
}

/// What is in a table.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    /// The end of the used part of the heap.
    pub(super) used: usize,
    /// Words that nothing leads to any more.
    pub(super) dead: usize,
    /// Slots that aren't 0.
    pub(super) slots: usize,
    /// Those of them whose key is gone.
    pub(super) gone: usize,
    pub(super) users: u32,
    pub(super) groups: u32,
}

/// The change that is being prepared.
#[derive(Debug, Default)]
struct Pending {
    /// Slots, and their words before the change touched them.
    touched: Vec<(usize, u64)>,
    /// Offsets that a slot doesn't lead to any more.
    left: Vec<u32>,
    /// Records that will expire at another time.
    expiries: Vec<(u32, u32)>,
    before: Counts,
}

/// Where a key is, or could be put.
#[derive(Clone, Copy, Debug)]
pub(super) enum Spot {
    Taken(usize),
    Free(usize),
}

impl Sheet {
    /// An empty table in memory of words of 0. It has so many slots, at least one.
    pub(super) fn new(memory: Memory, seed: u64, slots: usize) -> Self {
        let index = HEADER_WORDS;
        let counts = Counts { used: index + slots, ..Counts::default() };
        let memory = Arc::new(memory);
        let pending = Pending { before: counts, ..Pending::default() };
        let sheet = Self { memory, index, slots, seed, seen: false, counts, pending };
        sheet.set(header::MAGIC, MAGIC);
        sheet.set(header::VERSION, VERSION);
        sheet.set(header::WORDS, sheet.memory.words().len() as u64);
        sheet.set(header::SEED, seed);
        sheet.set(header::INDEX, index as u64);
        sheet.set(header::SLOTS, slots as u64);
        sheet.write_counts();
        sheet
    }

    pub(super) fn memory(&self) -> &Arc<Memory> {
        &self.memory
    }

    pub(super) fn words(&self) -> usize {
        self.memory.words().len()
    }

    pub(super) fn slots(&self) -> usize {
        self.slots
    }

    pub(super) fn keys(&self) -> usize {
        self.counts.slots - self.counts.gone
    }

    /// The words of its heap that something leads to.
    pub(super) fn live(&self) -> usize {
        (self.counts.used - self.index - self.slots()).saturating_sub(self.counts.dead)
    }

    /// What readers see.
    pub(super) fn table(&self) -> Option<Table<'_>> {
        Table::new(self.memory.words())
    }

    /// What they will see after the change.
    pub(super) fn view(&self) -> Option<View<'_>> {
        Some(self.table()?.timeless()?.ahead())
    }

    pub(super) fn get(&self, at: usize) -> u64 {
        self.memory.words()[at].load(Relaxed)
    }

    pub(super) fn set(&self, at: usize, word: u64) {
        self.store(at, word, Relaxed);
    }

    /// All that is ever written to the memory.
    fn store(&self, at: usize, word: u64, ordering: Ordering) {
        self.memory.words()[at].store(word, ordering);
        #[cfg(test)]
        crate::table::tests::killed::after_store(self.memory.words());
    }

    fn slot(&self, slot: usize) -> u64 {
        self.get(self.index + slot)
    }

    /// Pairs with the acquire of a reader that follows this word.
    fn set_slot(&self, slot: usize, word: u64) {
        self.store(self.index + slot, word, Release);
    }

    pub(super) fn record(&self, offset: u32) -> Option<Record<'_>> {
        Record::at(self.memory.words(), offset)
    }

    fn kind(&self, offset: u32) -> Option<Kind> {
        self.record(offset)?.kind()
    }

    /// The sides of a link: what is new, what was before.
    fn link(&self, offset: u32) -> Option<(u32, u32)> {
        let link = self.record(offset).filter(|record| record.kind() == Some(Kind::Link))?;
        link.word(2).map(|sides| (low(sides), high(sides)))
    }

    /// What a slot leads to after the change.
    pub(super) fn leads(&self, slot: usize) -> u32 {
        self.new_side(self.slot(slot))
    }

    fn new_side(&self, word: u64) -> u32 {
        match high(word) {
            _ if word == 0 => GONE,
            offset => self.link(offset).map_or(offset, |(new, _)| new),
        }
    }

    /// About where in the index a key is.
    pub(super) fn order_of(&self, key: Key<'_>) -> usize {
        first_slot(key.hash(self.seed), self.slots)
    }

    /// The slot of a key, or one for it. `None` if the index is too crowded.
    pub(super) fn spot(&self, key: Key<'_>) -> Option<Spot> {
        let hash = key.hash(self.seed);
        let tag = key.tag(hash);
        let has_key = |offset| self.record(offset).is_some_and(|record| record.has_key(key));
        let mut free = None;
        let mut at = first_slot(hash, self.slots);
        for step in 0..MAX_PROBE {
            let word = self.slot(at);
            if word == 0 {
                return free.or((step < BOUND).then_some(at)).map(Spot::Free);
            }
            let offset = high(word);
            if offset == GONE {
                free = free.or((step < BOUND).then_some(at));
            } else if low(word) == tag {
                let sides = self.link(offset).unwrap_or((offset, GONE));
                if has_key(sides.0) || has_key(sides.1) {
                    return Some(Spot::Taken(at));
                }
            }
            at = if at + 1 == self.slots { 0 } else { at + 1 };
        }
        free.map(Spot::Free)
    }

    /// What a key leads to after the change.
    pub(super) fn find(&self, key: Key<'_>) -> u32 {
        match self.spot(key) {
            Some(Spot::Taken(slot)) => self.leads(slot),
            _ => GONE,
        }
    }

    /// Whether so many words and slots are left.
    pub(super) fn has_room(&self, words: usize, slots: usize) -> bool {
        self.counts.used + words <= self.words()
            && (self.counts.slots + slots) * 100 <= self.slots() * FULL
    }

    /// Adds a record, or part of one, to the heap, which must have room for it.
    pub(super) fn append(&mut self, record: &[u64]) -> u32 {
        let offset = self.counts.used;
        for (at, word) in (offset..).zip(record) {
            self.set(at, *word);
        }
        self.counts.used += record.len();
        // `Writer` makes no table that is longer than an offset can say.
        u32::try_from(offset).expect("an offset")
    }

    /// Whether the record there says this already; it may expire at another time.
    pub(super) fn says(&self, offset: u32, record: &[u64]) -> bool {
        let at = offset as usize;
        offset != GONE
            && at + record.len() <= self.counts.used
            && low(self.get(at)) == low(record[0])
            && (at + 1..).zip(&record[1..]).all(|(at, word)| self.get(at) == *word)
    }

    /// Makes a record expire then, once the change is published.
    pub(super) fn expire(&mut self, offset: u32, expires: u32) {
        // An earlier word of this change may be different.
        if high(self.get(offset as usize)) != expires || !self.pending.expiries.is_empty() {
            self.pending.expiries.push((offset, expires));
        }
    }

    pub(super) fn expiries(&self) -> &[(u32, u32)] {
        &self.pending.expiries
    }

    /// Makes a slot lead there from the change on.
    pub(super) fn point(&mut self, slot: usize, key: Key<'_>, to: u32) {
        let word = self.slot(slot);
        let tag = key.tag(key.hash(self.seed));
        let old = self.new_side(word);
        if word == 0 {
            self.counts.slots += 1;
        } else if old == GONE {
            self.counts.gone -= 1;
        }
        if to == GONE {
            self.counts.gone += 1;
        }
        self.count(key.class(), old, false);
        self.count(key.class(), to, true);
        if old != GONE {
            self.pending.left.push(old);
        }
        if !self.seen {
            self.pending.touched.push((slot, word));
            self.set_slot(slot, pair(tag, to));
        } else if word != 0
            && let Some((_, before)) = self.link(high(word))
        {
            self.set(high(word) as usize + 2, pair(to, before));
        } else {
            let before = if word == 0 { GONE } else { high(word) };
            let link = self.append(&encode::link(self.next_change(), to, before));
            self.pending.touched.push((slot, word));
            self.set_slot(slot, pair(tag, link));
        }
    }

    fn next_change(&self) -> u64 {
        self.get(header::CHANGE) + 1
    }

    /// Counts what an enumeration gives.
    fn count(&mut self, class: Class, offset: u32, more: bool) {
        let number = match (class, self.kind(offset)) {
            (Class::UserName, Some(Kind::User)) => &mut self.counts.users,
            (Class::GroupName, Some(Kind::Group)) => &mut self.counts.groups,
            _ => return,
        };
        *number = if more { *number + 1 } else { *number - 1 };
    }

    /// Publishes the change. Whether there was any, times aside.
    pub(super) fn commit(&mut self) -> bool {
        let is_new = |(slot, before): &(usize, u64)| {
            let before = if *before == 0 { GONE } else { high(*before) };
            self.leads(*slot) != before
        };
        if !self.pending.touched.iter().any(is_new) {
            let expiries = std::mem::take(&mut self.pending.expiries);
            self.roll_back();
            self.write_expiries(&expiries);
            return false;
        }
        // The publication.
        self.store(header::CHANGE, self.next_change(), Release);
        let pending = std::mem::take(&mut self.pending);
        self.write_expiries(&pending.expiries);
        for (slot, _) in &pending.touched {
            let word = self.slot(*slot);
            self.set_slot(*slot, pair(low(word), self.new_side(word)));
        }
        let links = if self.seen { pending.touched.len() * encode::LINK_WORDS } else { 0 };
        self.counts.dead += links + self.dead(pending.left);
        self.pending.before = self.counts;
        self.write_counts();
        true
    }

    /// What was done up to now isn't undone any more.
    pub(super) fn settle(&mut self) {
        self.pending = Pending { before: self.counts, ..Pending::default() };
        self.write_counts();
    }

    /// Undoes the change, if there is one.
    pub(super) fn roll_back(&mut self) {
        let pending = std::mem::take(&mut self.pending);
        for (slot, before) in pending.touched.into_iter().rev() {
            let offset = high(self.slot(slot));
            if let Some((_, old)) = self.link(offset) {
                self.set(offset as usize + 2, pair(old, old));
            }
            self.set_slot(slot, before);
        }
        let used = self.counts.used;
        self.counts = pending.before;
        if self.seen {
            // Somebody may still look at it, so it isn't used again.
            self.counts.dead += used - self.counts.used;
            self.counts.used = used;
        }
        self.pending.before = self.counts;
        self.write_counts();
    }

    fn write_expiries(&self, expiries: &[(u32, u32)]) {
        for (offset, expires) in expiries {
            self.set_expiry(*offset, *expires);
        }
    }

    pub(super) fn set_expiry(&self, offset: u32, expires: u32) {
        let at = offset as usize;
        self.set(at, pair(low(self.get(at)), expires));
    }
}

//! Builds a larger or smaller table with what is in another one.

use std::collections::{HashMap, HashSet};

use super::sheet::{Sheet, Spot};
use crate::table::layout::{Class, HEADER_WORDS, Key, NEVER, low};
use crate::table::reader::{Found, View};
use crate::table::records::Record;
use crate::table::{Now, entries};

/// How full an index is made, in percent.
const LOAD: usize = 75;
/// Room for so many keys and words more than there are, so that small tables aren't
/// built anew all the time.
const MORE_KEYS: usize = 64;
pub(super) const MORE_WORDS: usize = 4096;
/// A page of the machine.
const PAGE_WORDS: usize = 512;

/// How large a table is made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Size {
    pub(super) slots: usize,
    pub(super) words: usize,
}

impl Size {
    /// For so many keys, and so many words of records, spare room not included but
    /// for a little.
    pub(super) fn of(keys: usize, words: usize) -> Self {
        let slots = ((keys + MORE_KEYS) * 100).div_ceil(LOAD);
        Self { slots, words: 0 }.with(words)
    }

    /// With so many words of records.
    fn with(self, words: usize) -> Self {
        let words = HEADER_WORDS + self.slots + words + MORE_WORDS;
        Self { words: words.next_multiple_of(PAGE_WORDS), ..self }
    }

    /// With a less crowded index.
    pub(super) fn doubled(self) -> Self {
        Self { slots: self.slots * 2, words: self.words + self.slots }
    }
}

/// What is kept of a table.
#[derive(Debug)]
pub(super) struct Kept {
    /// Their slots.
    slots: Vec<usize>,
    /// The words of the records.
    pub(super) words: usize,
    /// Whether it is everything but absences.
    pub(super) whole: bool,
}

/// Why a table can't be copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoCopy {
    /// The new one's index is too crowded.
    Crowded,
    /// The old one can't be read.
    Damaged,
}

impl Kept {
    pub(super) fn keys(&self) -> usize {
        self.slots.len()
    }

    /// Looks for the keys to be kept, the pending change included.
    pub(super) fn of(sheet: &Sheet, mut keep: impl FnMut(Key<'_>, Found<'_>, u32) -> bool) -> Self {
        let times: HashMap<u32, u32> = sheet.expiries().iter().copied().collect();
        let mut records = HashSet::new();
        let (slots, whole) = (Vec::with_capacity(sheet.keys()), sheet.view().is_some());
        let mut kept = Self { slots, words: 0, whole };
        let Some(view) = sheet.view() else { return kept };
        view.records(|slot, record, key| {
            let offset = sheet.leads(slot);
            let Some((found, expires)) = view.read(record, key.class()) else {
                kept.whole = false;
                return;
            };
            let expires = times.get(&offset).copied().unwrap_or(expires);
            if keep(key, found, expires) {
                kept.slots.push(slot);
                for offset in [Some(offset), sheet.target(offset)].into_iter().flatten() {
                    if records.insert(offset) {
                        kept.words += sheet.record(offset).and_then(Record::length).unwrap_or(0);
                    }
                }
            } else if !matches!(found, Found::Absent) {
                kept.whole = false;
            }
        });
        kept
    }

    /// Copies all of it to an empty table.
    pub(super) fn copy(&self, from: &Sheet, to: &mut Sheet) -> Result<(), NoCopy> {
        use NoCopy::{Crowded, Damaged};
        let view = from.view().ok_or(Damaged)?;
        let mut moved = HashMap::with_capacity(self.slots.len());
        // A record lies where the first of its keys puts it: those by which an
        // enumeration walks come first, in the order in which it does.
        let mut order = Vec::with_capacity(self.slots.len());
        for slot in &self.slots {
            let mut name = [0; 255];
            let key = key_in(&view, *slot, &mut name).ok_or(Damaged)?;
            let walked = matches!(key.class(), Class::UserName | Class::GroupName);
            order.push((!walked, key.class() as u8, to.order_of(key), *slot));
        }
        order.sort_unstable();
        for (.., slot) in &order {
            let mut name = [0; 255];
            let key = key_in(&view, *slot, &mut name).ok_or(Damaged)?;
            let offset = from.leads(*slot);
            let offset = match from.target(offset) {
                Some(target) => {
                    let target = copied(from, to, target, &mut moved).ok_or(Damaged)?;
                    let alias = copied(from, to, offset, &mut moved).ok_or(Damaged)?;
                    to.set(alias as usize + 1, target.into());
                    alias
                }
                None => copied(from, to, offset, &mut moved).ok_or(Damaged)?,
            };
            match to.spot(key).ok_or(Crowded)? {
                Spot::Free(slot) => to.point(slot, key, offset),
                Spot::Taken(_) => {}
            }
        }
        for (offset, expires) in from.expiries() {
            if let Some(offset) = moved.get(offset) {
                to.set_expiry(*offset, *expires);
            }
        }
        Ok(())
    }
}

/// The key of a slot.
fn key_in<'n>(view: &View<'_>, slot: usize, name: &'n mut [u8; 255]) -> Option<Key<'n>> {
    let word = view.slot(slot)?;
    entries::key_of(low(word), view.lead(word).ok()??, name)
}

/// Where the copy of a record is.
fn copied(from: &Sheet, to: &mut Sheet, at: u32, moved: &mut HashMap<u32, u32>) -> Option<u32> {
    if let Some(offset) = moved.get(&at) {
        return Some(*offset);
    }
    let first = at as usize;
    let length = from.record(at)?.length()?;
    let record: Vec<u64> = (first..first + length).map(|at| from.get(at)).collect();
    let offset = to.append(&record);
    moved.insert(at, offset);
    Some(offset)
}

/// What is kept unless somebody says otherwise: all but expired absences.
pub(super) fn is_worth_it(now: Now) -> impl FnMut(Key<'_>, Found<'_>, u32) -> bool {
    move |_, found, expires| !matches!(found, Found::Absent) || expires == NEVER || expires > now.0
}

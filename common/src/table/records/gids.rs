//! Lists of group ids.

use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Record;
use crate::account::Gid;
use crate::table::layout::{Kind, high, low, words};

/// The ids of the groups that somebody is in.
#[derive(Clone, Copy, Debug)]
pub struct Gids<'a> {
    words: &'a [AtomicU64],
    count: usize,
}

impl<'a> Gids<'a> {
    pub(in crate::table) fn of(record: Record<'a>) -> Option<Self> {
        if record.kind() != Some(Kind::Gids) {
            return None;
        }
        let count = low(record.word(1)?) as usize;
        Self::new(record, record.text_at() + words(record.name_length() + 1), count)
    }

    pub(super) fn new(record: Record<'a>, from: usize, count: usize) -> Option<Self> {
        let words = record.words.get(from..)?.get(..count.div_ceil(2))?;
        Some(Self { words, count })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Copies the ids to as many places, as the file has them: the caller looks for
    /// those that the system uses itself. Two at a time, so that this costs what a copy costs.
    pub fn copy(&self, to: &mut [MaybeUninit<u32>]) {
        let (pairs, last) = to.as_chunks_mut::<2>();
        for ([first, second], word) in pairs.iter_mut().zip(self.words) {
            let word = word.load(Ordering::Relaxed);
            first.write(low(word));
            second.write(high(word));
        }
        for (to, id) in last.iter_mut().zip(self.words.last()) {
            to.write(low(id.load(Ordering::Relaxed)));
        }
    }

    /// The ids, without those that the system uses itself.
    pub fn iter(&self) -> impl Iterator<Item = u32> + use<'a> {
        let ids = self.words.iter().flat_map(|word| {
            let word = word.load(Ordering::Relaxed);
            [low(word), high(word)]
        });
        ids.take(self.count).filter(|id| Gid::new(*id).is_ok())
    }
}

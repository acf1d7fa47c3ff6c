//! All keys of a table, for who makes another one of it.

use super::layout::{Class, Key, low};
use super::reader::{Found, Table, View};
use super::records::Record;

impl<'a> Table<'a> {
    /// Calls this with each key, what it leads to and when that expires, whatever its
    /// age. A change that was never published isn't seen, and what is damaged is
    /// left out. The fact may come from a file of noise: [`super::UserRecord::to_user`]
    /// and [`super::GroupRecord::to_group`] say whether it is one.
    pub fn entries(self, mut each: impl FnMut(Key<'_>, Found<'a>, u32)) {
        let Some(view) = self.timeless() else { return };
        view.records(|_, record, key| {
            if let Some((found, expires)) = view.read(record, key.class()) {
                each(key, found, expires);
            }
        });
    }
}

impl<'a> View<'a> {
    /// Calls this with each slot that has a key: its number, the record and the key.
    pub(super) fn records(&self, mut each: impl FnMut(usize, Record<'a>, Key<'_>)) {
        for slot in 0.. {
            let Some(word) = self.slot(slot) else { return };
            let mut name = [0; 255];
            if word != 0
                && let Ok(Some(record)) = self.lead(word)
                && let Some(key) = key_of(low(word), record, &mut name)
            {
                each(slot, record, key);
            }
        }
    }
}

/// The key of a slot with this tag that leads to that record.
pub(super) fn key_of<'n>(tag: u32, record: Record<'_>, name: &'n mut [u8; 255]) -> Option<Key<'n>> {
    let class = Class::of(tag)?;
    let key = match class {
        Class::Uid => Key::Uid(low(record.word(1)?)),
        Class::Gid => Key::Gid(low(record.word(1)?)),
        Class::UserName => Key::UserName(record.name(name)?),
        Class::GroupName => Key::GroupName(record.name(name)?),
        Class::GidsOf => Key::GidsOf(record.name(name)?),
    };
    record.has_key(key).then_some(key)
}

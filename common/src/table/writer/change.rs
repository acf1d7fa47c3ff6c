//! A change, as the daemon makes it.

use std::io;
use std::sync::Arc;

use super::sheet::{Sheet, Spot};
use super::{Fact, Memory, Writer, encode};
use crate::table::layout::{GONE, words};
use crate::table::{Found, Key};

/// So many words may be dead in a small table.
const MUCH_DEAD: usize = 8192;

/// A change that is being prepared. Dropped, it never happened.
#[derive(Debug)]
pub struct Change<'a> {
    writer: &'a mut Writer,
    /// There was no room for a part of it.
    failed: bool,
    /// A table without the dead space can't be made, either.
    bears_waste: bool,
}

impl<'a> Change<'a> {
    pub(super) fn new(writer: &'a mut Writer) -> Self {
        Self { writer, failed: false, bears_waste: false }
    }

    /// Makes these keys lead to this fact, until it expires. A key that is another
    /// name than the user's or group's own becomes an alias of it.
    /// What is there already is left as it is, but for its time.
    /// Of two puts of a key the later one counts.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidInput`] for a key that can't lead to such a fact: then
    /// nothing was done. Any other error means that a larger file is needed
    /// and can't be made: then the change can only be dropped.
    pub fn put(&mut self, fact: Fact<'_>, keys: &[Key<'_>], expires: u32) -> io::Result<()> {
        let name = match fact {
            Fact::User(user, _) => Some(user.name.as_str().as_bytes()),
            Fact::Group(group) => Some(group.name.as_str().as_bytes()),
            Fact::Gids(_) | Fact::Absent => None,
        };
        let Some(name) = name else {
            // What these records say, they say of one key.
            let records = keys.iter().map(|key| encode::record(fact, *key, expires));
            let records = records.collect::<io::Result<Vec<_>>>()?;
            return records.iter().zip(keys).try_for_each(|(record, key)| {
                self.enter(&Entry { record, own: [*key; 2], keys: &[*key], expires })
            });
        };
        let Some(key) = keys.first() else { return Ok(()) };
        keys.iter().try_for_each(|key| encode::check(fact, *key))?;
        let record = encode::record(fact, *key, expires)?;
        let own = match fact {
            Fact::User(user, _) => [Key::UserName(name), Key::Uid(user.uid.get())],
            Fact::Group(group) => [Key::GroupName(name), Key::Gid(group.gid.get())],
            Fact::Gids(_) | Fact::Absent => [*key; 2],
        };
        self.enter(&Entry { record: &record, own, keys, expires })
    }

    fn enter(&mut self, entry: &Entry<'_>) -> io::Result<()> {
        let (words, keys) = (entry.words(), entry.keys.len());
        let entered = self.make_room(words, keys).and_then(|()| {
            while entry.enter(self.writer.current_mut())?.is_none() {
                // Not full, but crowded at a place.
                let slots = self.writer.current().slots() * 2;
                self.writer.grow(words, keys, slots)?;
            }
            Ok(())
        });
        self.failed |= entered.is_err();
        entered
    }

    /// Makes a key lead nowhere.
    ///
    /// # Errors
    /// As [`Change::put`].
    pub fn remove(&mut self, key: Key<'_>) -> io::Result<()> {
        if self.writer.current().find(key) == GONE {
            return Ok(());
        }
        let room = self.make_room(encode::LINK_WORDS, 0);
        self.failed |= room.is_err();
        room?;
        let sheet = self.writer.current_mut();
        if let Some(Spot::Taken(slot)) = sheet.spot(key) {
            sheet.point(slot, key, GONE);
        }
        Ok(())
    }

    /// A measure by which keys lie in the index. Facts that are put in the order of their names'
    /// measures lie in the file in the order in which an enumeration walks through them,
    /// which is then bound by memory's speed and not by its latency.
    pub fn order_of(&self, key: Key<'_>) -> usize {
        self.writer.current().order_of(key)
    }

    /// What a key leads to with this change, whatever its age.
    pub fn get(&self, key: Key<'_>) -> Option<Found<'_>> {
        self.look(key).map(|(found, _)| found)
    }

    /// The same, and when it would have expired without this change.
    pub fn look(&self, key: Key<'_>) -> Option<(Found<'_>, u32)> {
        self.writer.current().view()?.look(key)
    }

    /// Publishes it. Whether there was anything to publish; that something expires at
    /// another time isn't.
    ///
    /// # Errors
    /// When a larger file is needed and can't be put in place, or there was no room
    /// for a part of the change. Then it never happened.
    pub fn commit(self) -> io::Result<bool> {
        if self.failed {
            return Err(io::Error::new(io::ErrorKind::StorageFull, "no room for the change"));
        }
        let changed = self.writer.current_mut().commit();
        match self.writer.draft.take() {
            Some(draft) => self.writer.install(draft).map(|()| true),
            None => Ok(changed),
        }
    }

    /// What readers see meanwhile.
    pub fn memory(&self) -> Arc<Memory> {
        self.writer.memory()
    }

    fn make_room(&mut self, words: usize, keys: usize) -> io::Result<()> {
        let sheet = self.writer.current();
        if !sheet.has_room(words, keys) {
            return self.writer.grow(words, keys, 0);
        }
        if !self.bears_waste && sheet.counts.dead > sheet.live() + MUCH_DEAD {
            self.bears_waste = self.writer.grow(words, keys, 0).is_err();
        }
        Ok(())
    }
}

impl Drop for Change<'_> {
    fn drop(&mut self) {
        self.writer.roll_back();
    }
}

/// A record, and the keys that shall lead to it.
struct Entry<'a> {
    record: &'a [u64],
    /// The keys that the record has of itself.
    own: [Key<'a>; 2],
    keys: &'a [Key<'a>],
    expires: u32,
}

impl Entry<'_> {
    /// The name of a key that isn't the record's own.
    fn alias<'k>(&self, key: &Key<'k>) -> Option<&'k [u8]> {
        match key {
            Key::UserName(name) | Key::GroupName(name) if !self.own.contains(key) => Some(name),
            _ => None,
        }
    }

    /// The most words that it takes.
    fn words(&self) -> usize {
        let alias = |key| self.alias(key).map_or(0, |name| 2 + words(name.len() + 1));
        let keys = self.keys.iter().map(|key| alias(key) + encode::LINK_WORDS);
        self.record.len() + keys.sum::<usize>()
    }

    /// Puts it into a table that has room for it. `None` if the index is too crowded.
    fn enter(&self, sheet: &mut Sheet) -> io::Result<Option<()>> {
        let known = self.own.iter().chain(self.keys).find_map(|key| {
            let offset = sheet.find(*key);
            let offset = sheet.target(offset).unwrap_or(offset);
            sheet.says(offset, self.record).then_some(offset)
        });
        let record = match known {
            Some(offset) => {
                sheet.expire(offset, self.expires);
                offset
            }
            None => sheet.append(self.record),
        };
        for key in self.keys {
            let (slot, now) = match sheet.spot(*key) {
                Some(Spot::Taken(slot)) => (slot, sheet.leads(slot)),
                Some(Spot::Free(slot)) => (slot, GONE),
                None => return Ok(None),
            };
            let to = match self.alias(key) {
                None => record,
                Some(name) => {
                    let alias = encode::alias(name, record, self.expires)?;
                    if sheet.says(now, &alias) {
                        sheet.expire(now, self.expires);
                        now
                    } else {
                        sheet.append(&alias)
                    }
                }
            };
            if to != now {
                sheet.point(slot, *key, to);
            }
        }
        Ok(Some(()))
    }
}

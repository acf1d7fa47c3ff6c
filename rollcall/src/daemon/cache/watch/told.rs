//! What was told of entries, and which answers that are kept it outdates.

use common::account::{Gid, Uid};
use common::directory::Directory;
use common::directory::sync::{EntryId, GroupEntry, Read, UserEntry};
use common::protocol::Map;
use common::table::Now;

use crate::daemon::table::Keeper;

/// What happened to an entry, as far as it matters here.
pub(in crate::daemon::cache) trait Heard: Sized + Send + 'static {
    /// What such entries are.
    const MAP: Map;

    /// Outdates what is kept of such entries, and of those that had these uids or gids.
    fn doubt(keeper: &mut Keeper, changed: &[Self], numbers: &[u32]);
}

impl Heard for UserEntry {
    const MAP: Map = Map::Users;

    fn doubt(keeper: &mut Keeper, changed: &[Self], numbers: &[u32]) {
        let names = changed.iter().flat_map(|entry| entry.names.iter().chain([&entry.user.name]));
        let old = numbers.iter().filter_map(|number| Uid::new(*number).ok());
        let ids = changed.iter().map(|entry| entry.user.uid).chain(old);
        keeper.doubt_users(names.cloned().collect(), ids.collect());
    }
}

impl Heard for GroupEntry {
    const MAP: Map = Map::Groups;

    fn doubt(keeper: &mut Keeper, changed: &[Self], numbers: &[u32]) {
        let old = numbers.iter().filter_map(|number| Gid::new(*number).ok());
        keeper.doubt_groups(changed, old.collect());
    }
}

/// Which answers may be wrong without anybody having been named.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::daemon::cache) enum Missed {
    #[default]
    None,
    /// Those that were learned up to then, since the daemon's start.
    Until(Now),
    /// All.
    Anything,
}

/// What was told of some entries.
pub(in crate::daemon::cache) struct Told<T> {
    pub(super) changed: Vec<T>,
    /// Their ids.
    of: Vec<EntryId>,
    /// Those of entries that are gone, or can't be read any more.
    pub(super) gone: Vec<EntryId>,
    /// What may have happened besides.
    pub(super) missed: Missed,
}

impl<T> Default for Told<T> {
    fn default() -> Self {
        Self { changed: Vec::new(), of: Vec::new(), gone: Vec::new(), missed: Missed::None }
    }
}

impl<T> Told<T> {
    /// That anything may have happened.
    pub(super) fn anything() -> Self {
        Self { missed: Missed::Anything, ..Self::default() }
    }

    /// Whether nothing has happened that matters here.
    pub(super) fn is_nothing(&self) -> bool {
        self.changed.is_empty() && self.gone.is_empty() && self.missed == Missed::None
    }

    /// Takes note of an entry that was read.
    pub(super) fn note(&mut self, Read { seen, entry }: Read<T>) {
        match entry {
            Some(entry) => {
                self.changed.push(entry);
                self.of.push(seen.id);
            }
            None => self.gone.push(seen.id),
        }
    }

    /// The uids or gids that these entries had; `None`: they may be anybody's.
    pub(super) fn numbers(&self, directory: &Directory) -> Option<Vec<u32>>
    where
        T: Heard,
    {
        self.numbers_by(|map, id| directory.numbers_of(map, id))
    }

    fn numbers_by(&self, numbers_of: impl Fn(Map, EntryId) -> Option<Vec<u32>>) -> Option<Vec<u32>>
    where
        T: Heard,
    {
        if self.missed == Missed::Anything {
            return None;
        }
        let mut numbers = Vec::new();
        // Who has changed may have had another name and id before.
        for id in self.gone.iter().chain(&self.of) {
            numbers.extend(numbers_of(T::MAP, *id)?);
        }
        Some(numbers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(id: u128) -> Told<UserEntry> {
        Told { of: vec![EntryId(id)], ..Told::default() }
    }

    #[test]
    fn an_entry_that_has_changed_may_have_been_anybody_if_nobody_knows_whom_it_was() {
        let known = |_, id: EntryId| (id == EntryId(1)).then(|| vec![1000]);
        assert_eq!(changed(1).numbers_by(known), Some(vec![1000]));
        assert_eq!(changed(2).numbers_by(known), None);
        let gone = Told::<UserEntry> { gone: vec![EntryId(2)], ..changed(1) };
        assert_eq!(gone.numbers_by(known), None);
    }
}

//! What was told of entries, and which answers that are kept it makes doubtful.

use common::account::{Gid, Uid};
use common::directory::Directory;
use common::directory::sync::{EntryId, GroupEntry, Read, UserEntry};
use common::protocol::Map;

use crate::daemon::table::Keeper;

/// What happened to an entry, as far as it matters here.
pub(in crate::daemon::cache) trait Heard: Sized + Send + 'static {
    /// What such entries are.
    const MAP: Map;

    /// Doubts what is kept of such entries, and of those that had these uids or gids.
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

/// What was told of some entries.
pub(in crate::daemon::cache) struct Told<T> {
    pub(super) changed: Vec<T>,
    /// Their ids.
    of: Vec<EntryId>,
    /// Those of entries that are gone, or can't be read any more.
    pub(super) gone: Vec<EntryId>,
    /// There may be others.
    pub(super) doubtful: bool,
}

impl<T> Default for Told<T> {
    fn default() -> Self {
        Self { changed: Vec::new(), of: Vec::new(), gone: Vec::new(), doubtful: false }
    }
}

impl<T> Told<T> {
    /// That anything may have happened.
    pub(super) fn anything() -> Self {
        Self { doubtful: true, ..Self::default() }
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
        if self.doubtful {
            return None;
        }
        let mut numbers = Vec::new();
        for id in &self.gone {
            numbers.extend(directory.numbers_of(T::MAP, *id)?);
        }
        // Those are found by their names as well.
        let changed = self.of.iter().filter_map(|id| directory.numbers_of(T::MAP, *id));
        numbers.extend(changed.flatten());
        Some(numbers)
    }
}

//! Which user or group an entry is that a lookup has seen.
//!
//! Of an entry that is gone a server tells an id and nothing else (RFC 4533). Whoever keeps
//! answers of lookups has to find those of this entry, so each lookup asks for the id as well, and
//! notes that the entry of this id had that uid or gid. An entry that had two of them has both: two
//! lookups may end in another order than they began. What was noted once goes only together
//! with everything else.
//!
//! There is room for so many. When it is used up, or if an entry doesn't show its id, what is
//! noted isn't all, and who is gone or has changed may be anybody. Then whoever asks lets go of
//! everything that is kept, and the noting begins anew. Where the reader can't see ids that is so
//! with each change: it should see them.

use std::collections::BTreeSet;
use std::sync::{Mutex, OnceLock, PoisonError};

use super::Directory;
use super::sync::{EntryId, IDS, own_id};
use crate::ldap::search::Entry;
use crate::protocol::Map;

/// The uids and gids of entries.
#[derive(Debug, Default)]
pub(super) struct Numbers(OnceLock<Noted>);

#[derive(Debug)]
struct Noted {
    most: usize,
    /// Locked only to look at it or to add to it.
    all: Mutex<All>,
}

#[derive(Debug, Default)]
struct All {
    seen: BTreeSet<(bool, EntryId, u32)>,
    is_incomplete: bool,
}

impl Numbers {
    fn with<T>(&self, work: impl FnOnce(&mut All, usize) -> T) -> Option<T> {
        let Noted { most, all } = self.0.get()?;
        Some(work(&mut all.lock().unwrap_or_else(PoisonError::into_inner), *most))
    }

    fn note(&self, map: Map, id: Option<EntryId>, number: u32) {
        let seen = id.map(|id| (is_user(map), id, number));
        self.with(|all, most| match seen {
            Some(_) if all.is_incomplete => {}
            Some(seen) if all.seen.len() < most || all.seen.contains(&seen) => {
                all.seen.insert(seen);
            }
            _ => *all = All { is_incomplete: true, ..All::default() },
        });
    }

    fn of(&self, map: Map, id: EntryId) -> Option<Vec<u32>> {
        let range = (is_user(map), id, 0)..=(is_user(map), id, u32::MAX);
        self.with(|all, _| {
            let numbers = || all.seen.range(range).map(|(.., number)| *number).collect();
            (!all.is_incomplete).then(numbers)
        })?
    }
}

fn is_user(map: Map) -> bool {
    map != Map::Groups
}

impl Directory {
    /// Has lookups note which entries they see, so many at most. `is_all`: what they have
    /// answered before isn't kept.
    pub fn note_numbers(&self, most: usize, is_all: bool) {
        let all = All { is_incomplete: !is_all, ..All::default() };
        let _ = self.numbers.0.set(Noted { most, all: Mutex::new(all) });
    }

    /// The uids (gids, of groups) with which lookups have seen an entry; `None`: nobody
    /// knows, and there may be some.
    pub fn numbers_of(&self, map: Map, id: EntryId) -> Option<Vec<u32>> {
        self.numbers.of(map, id)
    }

    /// Forgets what was noted. What lookups that began before this have answered must not be
    /// kept, nor what is kept be relied on.
    pub fn forget_numbers(&self) {
        self.numbers.with(|all, _| *all = All::default());
    }

    /// What a lookup has to ask for besides.
    pub(super) fn ids_wanted(&self) -> &'static [&'static str] {
        if self.numbers.0.get().is_some() { &IDS } else { &[] }
    }

    /// Notes an entry that a lookup saw.
    pub(super) fn note_number(&self, map: Map, entry: &Entry, number: u32) {
        if self.numbers.0.get().is_some() {
            self.numbers.note(map, own_id(entry), number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(most: usize) -> Numbers {
        let numbers = Numbers::default();
        let _ = numbers.0.set(Noted { most, all: Mutex::default() });
        numbers
    }

    fn note(numbers: &Numbers, map: Map, id: u128, number: u32) {
        numbers.note(map, Some(EntryId(id)), number);
    }

    #[test]
    fn an_entry_has_all_numbers_with_which_it_was_seen() {
        let numbers = numbers(10);
        note(&numbers, Map::Users, 7, 1000);
        note(&numbers, Map::Users, 7, 1001);
        note(&numbers, Map::Users, 8, 2000);
        note(&numbers, Map::Groups, 7, 50);
        assert_eq!(numbers.of(Map::Users, EntryId(7)), Some(vec![1000, 1001]));
        assert_eq!(numbers.of(Map::Groups, EntryId(7)), Some(vec![50]));
        assert_eq!(numbers.of(Map::Groups, EntryId(8)), Some(vec![]), "nobody has seen it");
    }

    #[test]
    fn when_there_is_no_room_left_nobody_knows_until_it_begins_anew() {
        let numbers = numbers(2);
        (0..3).for_each(|id| note(&numbers, Map::Users, id, 1000));
        assert_eq!(numbers.of(Map::Users, EntryId(0)), None);
        note(&numbers, Map::Users, 0, 1000);
        assert_eq!(numbers.of(Map::Users, EntryId(0)), None, "others are missing");
        numbers.with(|all, _| *all = All::default());
        note(&numbers, Map::Users, 0, 1000);
        assert_eq!(numbers.of(Map::Users, EntryId(0)), Some(vec![1000]));
    }

    #[test]
    fn who_is_seen_again_takes_no_room() {
        let numbers = numbers(2);
        (0..2).for_each(|id| note(&numbers, Map::Users, id, 1000));
        note(&numbers, Map::Users, 1, 1000);
        assert_eq!(numbers.of(Map::Users, EntryId(0)), Some(vec![1000]));
        note(&numbers, Map::Users, 1, 1001);
        assert_eq!(numbers.of(Map::Users, EntryId(0)), None);
    }

    #[test]
    fn an_entry_that_does_not_show_its_id_may_be_the_one_that_is_gone() {
        let numbers = numbers(2);
        numbers.note(Map::Users, None, 1000);
        assert_eq!(numbers.of(Map::Users, EntryId(0)), None);
    }

    #[test]
    fn who_notes_nothing_knows_nobody() {
        let numbers = Numbers::default();
        note(&numbers, Map::Users, 7, 1000);
        assert_eq!(numbers.of(Map::Users, EntryId(7)), None);
    }
}

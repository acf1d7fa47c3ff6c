//! Names that were asked for in vain.
//!
//! They aren't put into the table, which everybody can read: what somebody has typed at a
//! prompt for names may be a password. Absent ids, and the names of those who are
//! in no group (they are users, of this host or of the directory), tell nobody anything, and
//! are in the table.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use common::table::Now;

use super::{Asked, Known};

#[derive(Debug, Default)]
struct Noted {
    names: HashMap<Asked, Now>,
    /// When those that have expired were last looked for.
    swept: Option<Now>,
}

/// Names that were asked for in vain, each until it expires.
#[derive(Debug)]
pub(super) struct Vain {
    noted: Mutex<Noted>,
    most: usize,
}

impl Vain {
    /// Remembers so many at most; a further one is asked for each time.
    pub(super) fn new(most: usize) -> Self {
        Self { noted: Mutex::default(), most }
    }

    /// Whether this name was asked for in vain a short while ago.
    pub(super) fn has(&self, asked: &Asked, now: Now) -> bool {
        self.with(|noted| noted.names.get(asked).is_some_and(|expires| *expires > now))
    }

    /// Takes note of an answer of the directory.
    pub(super) fn note(&self, asked: &Asked, known: &Known, now: Now, expires: Now) {
        self.with(|Noted { names, swept }| {
            match known {
                Known::User(user) => names.remove(&Asked::UserByName(user.name.clone())),
                Known::Group(group) => names.remove(&Asked::GroupByName(group.name.clone())),
                Known::Gids(_) | Known::Absent => None,
            };
            if !is_kept_here(asked, known) {
                names.remove(asked);
                return;
            }
            // Whoever asks for nonsense, fast, would otherwise have all of it looked through
            // each time.
            if names.len() >= self.most && *swept != Some(now) {
                *swept = Some(now);
                names.retain(|_, expires| *expires > now);
            }
            if names.len() < self.most {
                names.insert(asked.clone(), expires);
            }
        });
    }

    /// Forgets all.
    pub(super) fn clear(&self) {
        self.with(|noted| noted.names.clear());
    }

    fn with<T>(&self, work: impl FnOnce(&mut Noted) -> T) -> T {
        work(&mut self.noted.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Whether this is an absence that isn't put into the table.
pub(super) fn is_kept_here(asked: &Asked, known: &Known) -> bool {
    known.is_absent() && matches!(asked, Asked::UserByName(_) | Asked::GroupByName(_))
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::account::{Name, Uid};

    fn named(text: &str) -> Asked {
        Asked::UserByName(Name::parse(text).unwrap())
    }

    #[test]
    fn a_name_is_remembered_until_it_expires() {
        let vain = Vain::new(10);
        vain.note(&named("x"), &Known::Absent, Now(5), Now(15));
        assert!(vain.has(&named("x"), Now(14)));
        assert!(!vain.has(&named("x"), Now(15)));
    }

    #[test]
    fn whoever_asks_for_nonsense_does_not_fill_the_memory() {
        let vain = Vain::new(3);
        for number in 0..10 {
            vain.note(&named(&format!("x{number}")), &Known::Absent, Now(5), Now(15));
        }
        assert_eq!(vain.with(|noted| (noted.names.len(), noted.swept)), (3, Some(Now(5))));
        vain.note(&named("later"), &Known::Absent, Now(15), Now(25));
        assert!(vain.has(&named("later"), Now(16)), "those that expired made room");
    }

    #[test]
    fn absent_ids_are_the_tables() {
        let vain = Vain::new(3);
        let asked = Asked::UserById(Uid::new(2000).unwrap());
        vain.note(&asked, &Known::Absent, Now(5), Now(15));
        assert!(!vain.has(&asked, Now(6)));
    }
}

//! Finds the groups of somebody: they are with the user, or in a record of their own.

use std::sync::atomic::{Ordering, fence};

use super::{Answer, View};
use crate::table::layout::{Key, Kind};
use crate::table::records::{Damaged, Gids, UserRecord};

impl<'a> View<'a> {
    /// The ids of the groups that have somebody as a member, who need not be a
    /// user of the directory. None at all is [`Answer::NotFound`].
    #[inline]
    pub fn groups_of(&self, name: &[u8]) -> Answer<Gids<'a>> {
        // They are in one of two records, and a change may move them from one to the other
        // between the two probes: then both say that there are none.
        for _ in 0..2 {
            let before = self.change();
            let answer = self.groups_by_two_probes(name);
            if !matches!(answer, Answer::NotFound) {
                return answer;
            }
            // Whoever saw anything of a change sees its number from here on.
            fence(Ordering::Acquire);
            if self.change() == before {
                return answer;
            }
        }
        Answer::Unknown
    }

    /// Whether it was known, when the daemon of this table lived, that nobody of this name was in any group: the
    /// table was complete once and doesn't have the name, or it says so. Somebody may be in one by now.
    pub fn knew_no_groups_of(&self, name: &[u8]) -> bool {
        let user = self.probe(Key::UserName(name)).ok().flatten().and_then(UserRecord::of);
        if let Some(gids) = user.filter(|user| user.is_named(name)).and_then(|user| user.gids()) {
            return gids.is_empty();
        }
        match self.probe(Key::GidsOf(name)) {
            Ok(Some(record)) => record.kind() == Some(Kind::Absent),
            Ok(None) => self.had_everything(),
            Err(Damaged) => false,
        }
    }

    #[inline]
    fn groups_by_two_probes(&self, name: &[u8]) -> Answer<Gids<'a>> {
        let found = self.find(Key::UserName(name));
        let gids = match found.and_then(UserRecord::of) {
            // Under another name of the user it is the groups of that name that count.
            Answer::Found(user) if user.is_named(name) => user.gids(),
            _ => None,
        };
        match gids {
            // Of any age, the user may be in some by now.
            Some(gids) if gids.is_empty() && self.now.is_none() => Answer::Unknown,
            Some(gids) if gids.is_empty() => Answer::NotFound,
            Some(gids) => Answer::Found(gids),
            None => self.find(Key::GidsOf(name)).and_then(Gids::of),
        }
    }
}

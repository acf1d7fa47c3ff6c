//! Lets go of what is known about somebody, on demand.

use std::collections::BTreeSet;

use common::account::{Gid, Name};
use common::table::Found;

use super::contradictions::lists;
use super::{Asked, Known};
use crate::daemon::table::Keeper;

impl Keeper {
    /// Lets go of a user: under each name and id, and with the groups that the user is
    /// in. An id's absence goes as well: it may be the user's.
    pub(super) fn forget_user(&mut self, name: &Name) {
        self.see_to_the_memory();
        let own = [Asked::UserByName(name.clone()), Asked::GroupsOf(name.clone())];
        let mut uids = BTreeSet::new();
        let mut gids = BTreeSet::new();
        self.for_each(|asked, known| match known {
            Known::User(user) if user.name == *name || own.contains(asked) => {
                uids.insert(user.uid);
            }
            Known::Gids(list) if own.contains(asked) => gids.extend(list.iter().copied()),
            _ => {}
        });
        self.forget(|asked, known| match known {
            Known::User(user) => uids.contains(&user.uid),
            Known::Group(group) => gids.contains(&group.gid) || lists(group, name),
            Known::Absent => matches!(asked, Asked::UserById(_)),
            Known::Gids(_) => false,
        } || own.contains(asked));
    }

    /// Lets go of a group, likewise.
    pub(super) fn forget_group(&mut self, name: &Name) {
        self.see_to_the_memory();
        let own = Asked::GroupByName(name.clone());
        let mut gids = BTreeSet::new();
        let mut members = BTreeSet::new();
        self.for_each(|asked, known| match known {
            Known::Group(group) if group.name == *name || *asked == own => {
                gids.insert(group.gid);
                members.extend(group.members.iter().map(str::to_owned));
            }
            _ => {}
        });
        let has = |list: &[Gid]| list.iter().any(|gid| gids.contains(gid));
        self.forget(|asked, known| match (asked, known) {
            (_, Known::Group(group)) => gids.contains(&group.gid),
            (_, Known::Gids(list)) => has(list),
            (Asked::GroupById(_), Known::Absent) => true,
            (Asked::GroupsOf(user), Known::Absent) => members.contains(user.as_str()),
            _ => false,
        } || *asked == own);
    }

    fn for_each(&self, mut each: impl FnMut(&Asked, &Known)) {
        let Some(writer) = &self.writer else { return };
        writer.table().entries(|key, found: Found<'_>, _| {
            if let (Some(asked), Some(known)) = (Asked::of_key(key), Known::of_found(&found)) {
                each(&asked, &known);
            }
        });
    }

    fn forget(&mut self, which: impl Fn(&Asked, &Known) -> bool) {
        self.outdate();
        if self.population.is_some() {
            return;
        }
        let mut gone = Vec::new();
        self.for_each(|asked, known| {
            if which(asked, known) {
                gone.push(asked.clone());
            }
        });
        let Some(writer) = &mut self.writer else { return };
        let mut change = writer.change();
        let removed = gone.iter().try_for_each(|asked| change.remove(asked.key()));
        if let Err(error) = removed.and_then(|()| change.commit()) {
            // Without a table nobody sees what should have gone.
            self.has_no_room(&error);
        }
    }
}

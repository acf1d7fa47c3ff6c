//! What there is to be known before everything is told: how much it is, and who is who.

use common::table::layout::words;
use common::table::writer::Room;

use super::{Claims, GroupFacts, Population, UserFacts};

/// How everything is told.
#[derive(Debug)]
pub(in crate::daemon) struct Plan {
    /// What a table needs that says everything.
    pub(in crate::daemon) room: Room,
    /// By the number of a user: that of its own name, if groups list it.
    pub(super) own_names: Vec<Option<u32>>,
}

impl Population {
    /// How everything is told, as things are now.
    pub(in crate::daemon) fn plan(&self) -> Plan {
        let claims = [&self.user_names, &self.uids, &self.group_names, &self.gids];
        let mut room = Room { keys: claims.map(Claims::len).iter().sum(), words: 0 };
        let mut own_names = vec![None; self.users.end()];
        let mut is_user = vec![false; self.names.end()];
        for number in self.users.all() {
            let Some(facts) = UserFacts::of(self.users.body(number)) else { continue };
            let text = [facts.name, facts.gecos, facts.home, facts.shell];
            let text = text.iter().map(|text| text.len() + 1).sum::<usize>() + 2;
            room.words += 3 + words(text) + aliases(&facts.others);
            if let Some(name) = self.names.find(&self.hasher, facts.name) {
                own_names[number as usize] = Some(name);
                is_user[name as usize] = true;
            }
        }
        for number in self.groups.all() {
            let body = self.groups.body(number);
            let Some(GroupFacts { name: Some(name), others }) = GroupFacts::of(&body.facts) else {
                continue;
            };
            let listed = &body.members[..(body.listed as usize).min(body.members.len())];
            let members: usize = listed.iter().map(|name| self.names.name(*name).len() + 1).sum();
            let text = name.len() + 3 + members;
            room.words += 3 + words(text) + words(listed.len()) + aliases(&others);
        }
        for number in self.names.all() {
            room.words += self.names.groups(number).len().div_ceil(2);
            if !is_user[number as usize] {
                room.keys += 1;
                room.words += 2 + words(self.names.name(number).len() + 1);
            }
        }
        Plan { room, own_names }
    }
}

/// The words of a record for each other name.
fn aliases(others: &[&str]) -> usize {
    others.iter().map(|name| 2 + words(name.len() + 1)).sum()
}

use std::collections::BTreeMap;
use std::io;

use common::account::{AbsolutePath, Field, Gid, Members, Name, Uid, User};
use common::directory::subscribe::Cookie;
use common::directory::sync::{EntryId, GroupEntry, Read, Seen, Stamp, UserEntry};
use common::protocol::Map;
use common::table::writer::Fact;
use common::table::{Key, Now, Table};

use super::{Population, Sink};

mod claims;
mod model;
mod news;

/// What a table would say, key by key.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Said {
    facts: BTreeMap<String, String>,
    /// How often something was put or removed that wasn't so before.
    changes: usize,
}

impl Sink for Said {
    fn order_of(&self, _: Key<'_>) -> usize {
        0
    }

    fn put(&mut self, fact: Fact<'_>, keys: &[Key<'_>]) -> io::Result<()> {
        for key in keys {
            let fact = match fact {
                Fact::User(user, gids) => {
                    format!("{} {} {:?}", user.name, user.uid, numbers(gids.unwrap()))
                }
                Fact::Group(group) => format!("{} {} {:?}", group.name, group.gid, group.members),
                Fact::Gids(gids) => format!("{:?}", numbers(gids)),
                Fact::Absent => "absent".into(),
            };
            let before = self.facts.insert(key_of(*key), fact.clone());
            self.changes += usize::from(before.as_ref() != Some(&fact));
        }
        Ok(())
    }

    fn remove(&mut self, key: Key<'_>) -> io::Result<()> {
        self.changes += usize::from(self.facts.remove(&key_of(key)).is_some());
        Ok(())
    }
}

fn numbers(gids: &[Gid]) -> Vec<u32> {
    gids.iter().map(|gid| gid.get()).collect()
}

fn key_of(key: Key<'_>) -> String {
    match key {
        Key::UserName(name) => format!("user {}", String::from_utf8_lossy(name)),
        Key::Uid(uid) => format!("uid {uid}"),
        Key::GroupName(name) => format!("group {}", String::from_utf8_lossy(name)),
        Key::Gid(gid) => format!("gid {gid}"),
        Key::GidsOf(name) => format!("gids of {}", String::from_utf8_lossy(name)),
    }
}

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn seen(id: u128) -> Seen {
    Seen { id: EntryId(id), stamp: Stamp(1), modified: None }
}

/// A user with all its names, its own first.
pub(in crate::daemon::replica) fn user(id: u128, names: &[&str], uid: u32) -> Read<UserEntry> {
    let user = User {
        name: name(names[0]),
        uid: Uid::new(uid).unwrap(),
        gid: Gid::new(3000).unwrap(),
        gecos: Field::default(),
        home: AbsolutePath::nonexistent(),
        shell: AbsolutePath::bin_sh(),
    };
    let names = names.iter().map(|text| name(text)).collect();
    Read { seen: seen(id), entry: Some(UserEntry { user, names }) }
}

pub(in crate::daemon::replica) fn group(
    id: u128,
    names: &[&str],
    gid: u32,
    members: &[&str],
) -> Read<GroupEntry> {
    let members: Vec<Name> = members.iter().map(|text| name(text)).collect();
    let entry = GroupEntry {
        gid: Gid::new(gid).unwrap(),
        name: names.first().map(|text| name(text)),
        names: names.iter().map(|text| name(text)).collect(),
        members: members.iter().collect::<Members>(),
        besides: Vec::new(),
    };
    Read { seen: seen(id), entry: Some(entry) }
}

/// A cookie that says this.
pub(in crate::daemon::replica) fn cookie(text: &str) -> Cookie {
    Cookie::from_bytes(text.as_bytes().to_vec())
}

pub(in crate::daemon::replica) fn rejected<T>(id: u128) -> Read<T> {
    Read { seen: seen(id), entry: None }
}

/// A population and the table that is kept up with it.
#[derive(Default)]
pub(super) struct Kept {
    population: Population,
    said: Said,
    begun: bool,
}

impl Kept {
    fn user(mut self, directory: u16, read: &Read<UserEntry>) -> Self {
        self.population.put_user(directory, read);
        self
    }

    fn group(mut self, directory: u16, read: &Read<GroupEntry>) -> Self {
        self.population.put_group(directory, read);
        self
    }

    /// All there is in this map of this directory are the entries with these ids.
    fn only(mut self, map: Map, directory: u16, ids: &[u128]) -> Self {
        self.population.begin(map, directory);
        for id in ids {
            self.population.see(map, directory, &seen(*id));
        }
        self.population.finish(map, directory);
        self
    }

    /// Publishes, and returns how much was new.
    fn publish(&mut self) -> usize {
        self.said.changes = 0;
        if self.begun {
            self.population.write(&mut self.said).unwrap();
            self.population.written();
        } else {
            let plan = self.population.plan();
            self.population.write_all(&plan, &mut self.said).unwrap();
            self.begun = true;
        }
        self.said.changes
    }

    fn published(mut self) -> Self {
        self.publish();
        self
    }

    fn says(&self, key: &str) -> Option<&str> {
        self.said.facts.get(key).map(String::as_str)
    }
}

/// What a reader of a table finds out.
fn groups_in(table: Table<'_>, name: &str) -> Option<Vec<u32>> {
    let view = table.fresh(Now(1)).unwrap();
    match view.groups_of(name.as_bytes()) {
        common::table::Answer::Found(gids) => Some(gids.iter().collect()),
        _ => None,
    }
}

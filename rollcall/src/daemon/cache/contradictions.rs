//! Which answers can't be true any more when another one is.
//!
//! A change in the directory shows in one answer first. What the table has under
//! other keys, of before the change, would contradict it until it expires: the user
//! has another name, but not by uid; a member is gone from the group, but the group
//! isn't gone from the member's list. So with an answer goes what it contradicts, in the
//! same change of the table. Nothing is put in its place: who asks next gets it from
//! the directory. Letting go of too much costs a search; letting go of too
//! little shows two states of the directory at once.

use std::collections::{BTreeSet, HashMap};

use common::account::{Gid, Group, Name, User};

use super::{Asked, Known};

/// The names under which users and groups were put, by their ids: a record says
/// one name, but there may be others that lead to the same. May have names too many.
#[derive(Debug, Default)]
pub(in crate::daemon) struct Names {
    users: HashMap<u32, BTreeSet<Name>>,
    groups: HashMap<u32, BTreeSet<Name>>,
}

impl Names {
    /// Notes a name, if it is one.
    pub(in crate::daemon) fn note(&mut self, asked: &Asked, known: &Known) {
        let (names, name) = match (asked, known) {
            (Asked::UserByName(name), Known::User(user)) => {
                (self.users.entry(user.uid.get()).or_default(), name)
            }
            (Asked::GroupByName(name), Known::Group(group)) => {
                (self.groups.entry(group.gid.get()).or_default(), name)
            }
            _ => return,
        };
        if !names.contains(name) {
            names.insert(name.clone());
        }
    }

    fn of_user(&self, user: &User) -> impl Iterator<Item = Asked> {
        let noted = self.users.get(&user.uid.get()).into_iter().flatten();
        noted.cloned().chain([user.name.clone()]).map(Asked::UserByName)
    }

    fn of_group(&self, gid: Gid) -> impl Iterator<Item = Asked> {
        self.groups.get(&gid.get()).into_iter().flatten().cloned().map(Asked::GroupByName)
    }
}

/// The keys whose answers contradict this new one. `look` says what there is under
/// a key. The key that was asked for isn't among them.
pub(in crate::daemon) fn contradicted(
    asked: &Asked,
    new: &Known,
    names: &Names,
    look: impl Fn(&Asked) -> Option<Known>,
) -> BTreeSet<Asked> {
    let search = Search { asked, new, names, look };
    let mut gone = BTreeSet::new();
    match asked {
        Asked::UserByName(_) | Asked::UserById(_) => search.of_user(&mut gone),
        Asked::GroupByName(_) | Asked::GroupById(_) => search.of_group(&mut gone),
        Asked::GroupsOf(name) => search.of_gids(name, &mut gone),
    }
    gone.remove(asked);
    gone
}

struct Search<'a, Look> {
    asked: &'a Asked,
    new: &'a Known,
    names: &'a Names,
    look: Look,
}

impl<Look: Fn(&Asked) -> Option<Known>> Search<'_, Look> {
    /// What there was under the key, if it is something else now.
    fn old(&self) -> Option<Known> {
        (self.look)(self.asked).filter(|old| old != self.new)
    }

    fn of_user(&self, gone: &mut BTreeSet<Asked>) {
        let mut others = Vec::new();
        others.extend(self.old());
        // The user's other keys must lead to this very user, if anywhere.
        if let Known::User(user) = self.new {
            let keys = self.names.of_user(user).chain([Asked::UserById(user.uid)]);
            for key in keys.filter(|key| key != self.asked) {
                if let Some(other) = (self.look)(&key).filter(|other| other != self.new) {
                    gone.insert(key);
                    others.push(other);
                }
            }
        }
        for other in others {
            let Known::User(old) = other else { continue };
            let keys = self.names.of_user(&old).chain([Asked::UserById(old.uid)]);
            for key in keys {
                // A name may lead to somebody else by now.
                if matches!((self.look)(&key), Some(Known::User(there)) if there.uid == old.uid)
                    && (self.look)(&key).as_ref() != Some(self.new)
                {
                    gone.insert(key);
                }
            }
            let renamed = !matches!(self.new, Known::User(new) if new.name == old.name);
            if renamed {
                gone.insert(Asked::GroupsOf(old.name));
            }
        }
    }

    fn of_group(&self, gone: &mut BTreeSet<Asked>) {
        let mut others = Vec::new();
        others.extend(self.old());
        if let Known::Group(group) = self.new {
            let own = [Asked::GroupById(group.gid), Asked::GroupByName(group.name.clone())];
            for key in self.names.of_group(group.gid).chain(own).filter(|key| key != self.asked) {
                if let Some(other) = (self.look)(&key).filter(|other| other != self.new) {
                    gone.insert(key);
                    others.push(other);
                }
            }
            for member in members(group) {
                let key = Asked::GroupsOf(member);
                let lacks = match (self.look)(&key) {
                    Some(Known::Gids(gids)) => !gids.contains(&group.gid),
                    Some(Known::Absent) => true,
                    _ => false,
                };
                if lacks {
                    gone.insert(key);
                }
            }
        }
        for other in others {
            let Known::Group(old) = other else { continue };
            let own = [Asked::GroupById(old.gid), Asked::GroupByName(old.name.clone())];
            for key in self.names.of_group(old.gid).chain(own) {
                let there = (self.look)(&key);
                if matches!(&there, Some(Known::Group(there)) if there.gid == old.gid)
                    && there.as_ref() != Some(self.new)
                {
                    gone.insert(key);
                }
            }
            self.of_lost_members(&old, gone);
        }
    }

    /// Those who are members no more, or of a group with another id.
    fn of_lost_members(&self, old: &Group, gone: &mut BTreeSet<Asked>) {
        let still: BTreeSet<Name> = match self.new {
            Known::Group(new) if new.gid == old.gid => members(new).collect(),
            _ => BTreeSet::new(),
        };
        for member in members(old).filter(|member| !still.contains(member)) {
            let key = Asked::GroupsOf(member);
            if matches!((self.look)(&key), Some(Known::Gids(gids)) if gids.contains(&old.gid)) {
                gone.insert(key);
            }
        }
    }

    fn of_gids(&self, name: &Name, gone: &mut BTreeSet<Asked>) {
        let list = |known: Option<Known>| match known {
            Some(Known::Gids(gids)) => gids.into_iter().collect(),
            _ => BTreeSet::new(),
        };
        let old: BTreeSet<Gid> = list((self.look)(self.asked));
        let new: BTreeSet<Gid> = list(Some(self.new.clone()));
        for gid in old.union(&new) {
            let is_member = new.contains(gid);
            let keys = self.names.of_group(*gid).chain([Asked::GroupById(*gid)]);
            for key in keys {
                let contradicts = match (self.look)(&key) {
                    Some(Known::Group(group)) => {
                        group.gid == *gid && lists(&group, name) != is_member
                    }
                    Some(Known::Absent) => is_member,
                    _ => false,
                };
                if contradicts {
                    gone.insert(key);
                }
            }
        }
    }
}

fn members(group: &Group) -> impl Iterator<Item = Name> {
    group.members.iter().filter_map(|name| Name::parse(name).ok())
}

/// Whether a group has this member.
fn lists(group: &Group, name: &Name) -> bool {
    group.members.iter().any(|member| member == name.as_str())
}

#[cfg(test)]
mod tests;

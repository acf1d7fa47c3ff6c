//! What is kept of an entry: a run of bytes, as few as postcard needs.
//!
//! They are written once and looked into often: whose name is the smaller, who has an id. So
//! looking copies nothing, and relies on what was checked when they were written.

use common::account::{Name, User};
use common::directory::sync::{GroupEntry, UserEntry};
use serde::{Deserialize, Serialize};

/// An account; none: this host rejects the entry.
pub(super) type Bytes = Box<[u8]>;

/// A user's bytes.
#[derive(Serialize)]
struct WrittenUser<'a> {
    user: &'a User,
    /// Its other names.
    others: Vec<&'a Name>,
}

/// A group's bytes.
#[derive(Serialize)]
struct WrittenGroup<'a> {
    /// `None`: nobody finds it.
    name: Option<&'a Name>,
    others: Vec<&'a Name>,
}

/// What a user's bytes say: the fields of [`User`], and the other names.
#[derive(Deserialize)]
pub(super) struct UserFacts<'a> {
    pub(super) name: &'a str,
    pub(super) uid: u32,
    _gid: u32,
    pub(super) gecos: &'a str,
    pub(super) home: &'a str,
    pub(super) shell: &'a str,
    #[serde(borrow)]
    pub(super) others: Vec<&'a str>,
}

/// What a group's bytes say.
#[derive(Deserialize)]
pub(super) struct GroupFacts<'a> {
    #[serde(borrow)]
    pub(super) name: Option<&'a str>,
    #[serde(borrow)]
    pub(super) others: Vec<&'a str>,
}

impl<'a> UserFacts<'a> {
    pub(super) fn of(bytes: &'a [u8]) -> Option<Self> {
        read(bytes)
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &'a str> {
        [self.name].into_iter().chain(self.others.iter().copied())
    }
}

impl<'a> GroupFacts<'a> {
    pub(super) fn of(bytes: &'a [u8]) -> Option<Self> {
        read(bytes)
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &'a str> {
        self.name.into_iter().chain(self.others.iter().copied())
    }
}

/// The bytes of a user.
pub(super) fn of_user(entry: &UserEntry) -> Bytes {
    let others = others(&entry.names, &entry.user.name);
    bytes_of(&WrittenUser { user: &entry.user, others })
}

/// The bytes of a group, without its id and its members.
pub(super) fn of_group(entry: &GroupEntry) -> Bytes {
    let name = entry.name.as_ref();
    let others = name.map_or_else(Vec::new, |own| others(&entry.names, own));
    bytes_of(&WrittenGroup { name, others })
}

/// The user that bytes say.
pub(super) fn user(bytes: &[u8]) -> Option<User> {
    postcard::take_from_bytes(bytes).ok().map(|(user, _)| user)
}

/// Whether bytes from elsewhere are those of a user.
pub(super) fn is_user(bytes: &[u8]) -> bool {
    read::<(User, Vec<Name>)>(bytes).is_some()
}

/// Whether bytes from elsewhere are those of a group.
pub(super) fn is_group(bytes: &[u8]) -> bool {
    read::<(Option<Name>, Vec<Name>)>(bytes).is_some()
}

fn read<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Option<T> {
    if bytes.is_empty() { None } else { postcard::from_bytes(bytes).ok() }
}

fn bytes_of(facts: &impl Serialize) -> Bytes {
    // These types are made of what can be written; without bytes an entry would
    // be a rejected one.
    postcard::to_allocvec(facts).unwrap_or_default().into()
}

/// All names but one.
fn others<'a>(names: &'a [Name], own: &Name) -> Vec<&'a Name> {
    names.iter().filter(|name| *name != own).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let entry = super::super::tests::user(1, &["alice", "al"], 70001).entry.unwrap();
        let user = &entry.user;
        let bytes = of_user(&entry);
        let facts = UserFacts::of(&bytes).unwrap();
        assert_eq!(facts.names().collect::<Vec<_>>(), ["alice", "al"]);
        assert_eq!(facts.uid, 70001);
        let fields = [user.gecos.as_str(), user.home.as_str(), user.shell.as_str()];
        assert_eq!([facts.gecos, facts.home, facts.shell], fields);
        assert_eq!(super::user(&bytes).as_ref(), Some(user));
        assert!(is_user(&bytes));
    }
}

//! What is asked for, as a key of the table and as a request.

use common::account::{Gid, Name, Uid};
use common::protocol::Request;
use common::table::Key;

/// A lookup whose answer may be kept.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(in crate::daemon) enum Asked {
    UserByName(Name),
    UserById(Uid),
    GroupByName(Name),
    GroupById(Gid),
    GroupsOf(Name),
}

impl Asked {
    /// The lookup of a request. What isn't one is never kept: logins, ages of
    /// passwords, enumerations.
    pub(in crate::daemon) fn of(request: &Request) -> Option<Self> {
        Some(match request {
            Request::UserByName(name) => Self::UserByName(name.clone()),
            Request::UserById(uid) => Self::UserById(*uid),
            Request::GroupByName(name) => Self::GroupByName(name.clone()),
            Request::GroupById(gid) => Self::GroupById(*gid),
            Request::GroupsOf(name) => Self::GroupsOf(name.clone()),
            _ => return None,
        })
    }

    /// The lookup of a key; `None` if nobody can ask for it.
    pub(in crate::daemon) fn of_key(key: Key<'_>) -> Option<Self> {
        Some(match key {
            Key::UserName(name) => Self::UserByName(Name::from_bytes(name).ok()?),
            Key::Uid(uid) => Self::UserById(Uid::new(uid).ok()?),
            Key::GroupName(name) => Self::GroupByName(Name::from_bytes(name).ok()?),
            Key::Gid(gid) => Self::GroupById(Gid::new(gid).ok()?),
            Key::GidsOf(name) => Self::GroupsOf(Name::from_bytes(name).ok()?),
        })
    }

    /// The request.
    pub(in crate::daemon) fn request(&self) -> Request {
        match self.clone() {
            Self::UserByName(name) => Request::UserByName(name),
            Self::UserById(uid) => Request::UserById(uid),
            Self::GroupByName(name) => Request::GroupByName(name),
            Self::GroupById(gid) => Request::GroupById(gid),
            Self::GroupsOf(name) => Request::GroupsOf(name),
        }
    }

    /// The key.
    pub(in crate::daemon) fn key(&self) -> Key<'_> {
        match self {
            Self::UserByName(name) => Key::UserName(name.as_str().as_bytes()),
            Self::UserById(uid) => Key::Uid(uid.get()),
            Self::GroupByName(name) => Key::GroupName(name.as_str().as_bytes()),
            Self::GroupById(gid) => Key::Gid(gid.get()),
            Self::GroupsOf(name) => Key::GidsOf(name.as_str().as_bytes()),
        }
    }
}

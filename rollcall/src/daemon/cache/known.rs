//! What is known about a key: the same as a response, and as a record of the table.

use common::account::{Gid, Group, User};
use common::protocol::Response;
use common::table::writer::Fact;
use common::table::{Found, Gids, View};

use super::Asked;

/// What the directory has under a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::daemon) enum Known {
    User(User),
    Group(Group),
    /// At least one.
    Gids(Vec<Gid>),
    /// Nothing.
    Absent,
}

impl Known {
    /// What a response tells. `None`: it tells nothing about the directory.
    pub(super) fn of_response(response: Response) -> Option<Self> {
        Some(match response {
            Response::User(user) => Self::User(user),
            Response::Group(group) => Self::Group(group),
            Response::Gids(gids) if !gids.is_empty() => Self::Gids(gids),
            Response::Gids(_) | Response::NotFound => Self::Absent,
            _ => return None,
        })
    }

    /// What a record tells. `None`: what no directory would have.
    pub(in crate::daemon) fn of_found(found: &Found<'_>) -> Option<Self> {
        Some(match found {
            Found::User(user) => Self::User(user.to_user()?),
            Found::Group(group) => Self::Group(group.to_group()?),
            Found::Gids(gids) => Self::of_gids(gids),
            Found::Absent => Self::Absent,
        })
    }

    /// As a list of groups. None at all are an absence.
    pub(in crate::daemon) fn of_gids(gids: &Gids<'_>) -> Self {
        let gids: Vec<Gid> = gids.iter().filter_map(|gid| Gid::new(gid).ok()).collect();
        if gids.is_empty() { Self::Absent } else { Self::Gids(gids) }
    }

    /// What the table has under a key, and when that expires.
    pub(in crate::daemon) fn look(view: &View<'_>, asked: &Asked) -> Option<(Self, u32)> {
        // A replica has a user's groups with the user.
        if let Asked::GroupsOf(name) = asked
            && let name = Asked::UserByName(name.clone())
            && let Some((Found::User(user), expires)) = view.look(name.key())
            && let Asked::UserByName(name) = &name
            && user.is_named(name.as_str().as_bytes())
            && let Some(gids) = user.gids()
        {
            return Some((Self::of_gids(&gids), expires));
        }
        let (found, expires) = view.look(asked.key())?;
        Some((Self::of_found(&found)?, expires))
    }

    /// As a response.
    pub(super) fn into_response(self) -> Response {
        match self {
            Self::User(user) => Response::User(user),
            Self::Group(group) => Response::Group(group),
            Self::Gids(gids) => Response::Gids(gids),
            Self::Absent => Response::NotFound,
        }
    }

    /// As a record.
    pub(in crate::daemon) fn fact(&self) -> Fact<'_> {
        match self {
            Self::User(user) => Fact::User(user, None),
            Self::Group(group) => Fact::Group(group),
            Self::Gids(gids) => Fact::Gids(gids),
            Self::Absent => Fact::Absent,
        }
    }

    /// Whether there is nothing.
    pub(in crate::daemon) fn is_absent(&self) -> bool {
        *self == Self::Absent
    }
}

//! The population in pieces, to be put on the disk and taken from there; see `disk.rs`.
//!
//! It may change while its pieces are told, between one of them and the next. That does no
//! harm as long as the cookies are told first: whatever came later is told
//! again by the server, and to hear of it twice changes nothing.

use std::borrow::Cow;

use common::account::Members;
use common::directory::subscribe::Cookie;
use common::directory::sync::{EntryId, Seen, Stamp};
use common::protocol::Map;
use serde::{Deserialize, Serialize};

use super::facts::{self, Bytes};
use super::{GroupBody, Population};

/// A piece of a population.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::daemon::replica) enum Record<'a> {
    /// From where on a map is to be followed.
    Cookie {
        /// Of which directory.
        directory: u16,
        /// Which map.
        map: Map,
        /// From there.
        cookie: Cookie,
    },
    /// A user.
    User {
        /// Of which directory.
        directory: u16,
        /// Which entry.
        id: u128,
        /// In which state.
        stamp: u64,
        /// What it says; nothing: this host rejects it.
        #[serde(borrow)]
        facts: &'a [u8],
    },
    /// A group.
    Group {
        /// Of which directory.
        directory: u16,
        /// Which entry.
        id: u128,
        /// In which state.
        stamp: u64,
        /// What it says, but for the members.
        #[serde(borrow)]
        facts: &'a [u8],
        /// Its id.
        gid: u32,
        /// How many of the members it lists.
        listed: u32,
        /// All names, each with a NUL behind it.
        #[serde(borrow)]
        members: Cow<'a, str>,
    },
    /// There are no more, and there were so many.
    End(u64),
}

/// Where the next piece is.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::daemon::replica) struct Place {
    groups: bool,
    number: u32,
}

/// This is no piece of a population.
#[derive(Debug)]
pub(in crate::daemon::replica) struct Corrupt;

impl Population {
    /// Tells the cookies.
    pub(in crate::daemon::replica) fn tell_cookies(&self, mut tell: impl FnMut(&Record<'_>)) {
        for ((directory, map), cookie) in &self.cookies {
            let (directory, map, cookie) = (*directory, *map, cookie.clone());
            tell(&Record::Cookie { directory, map, cookie });
        }
    }

    /// Tells entries from a place on, as long as `tell` wants more. The next place, if
    /// there is one.
    pub(in crate::daemon::replica) fn tell_entries(
        &self,
        mut place: Place,
        mut tell: impl FnMut(&Record<'_>) -> bool,
    ) -> Option<Place> {
        loop {
            let goes_on = if place.groups {
                self.group_at(place.number).ok()?.is_none_or(|record| tell(&record))
            } else {
                let Ok(record) = self.user_at(place.number) else {
                    place = Place { groups: true, number: 0 };
                    continue;
                };
                record.is_none_or(|record| tell(&record))
            };
            place.number += 1;
            if !goes_on {
                return Some(place);
            }
        }
    }

    fn user_at(&self, place: u32) -> Result<Option<Record<'_>>, ()> {
        let Some((directory, seen, facts)) = self.users.at(place)? else { return Ok(None) };
        Ok(Some(Record::User { directory, id: seen.id.0, stamp: seen.stamp.0, facts }))
    }

    fn group_at(&self, place: u32) -> Result<Option<Record<'_>>, ()> {
        let Some((directory, seen, body)) = self.groups.at(place)? else { return Ok(None) };
        let mut members = String::new();
        for number in &body.members {
            members.push_str(self.names.name(*number));
            members.push('\0');
        }
        Ok(Some(Record::Group {
            directory,
            id: seen.id.0,
            stamp: seen.stamp.0,
            facts: &body.facts,
            gid: body.gid,
            listed: body.listed,
            members: Cow::Owned(members),
        }))
    }

    /// Takes a piece in.
    ///
    /// # Errors
    /// [`Corrupt`]
    pub(in crate::daemon::replica) fn take(&mut self, record: Record<'_>) -> Result<(), Corrupt> {
        let seen = |id, stamp| Seen { id: EntryId(id), stamp: Stamp(stamp), modified: None };
        match record {
            Record::Cookie { directory, map, cookie } => {
                self.set_cookie(map, directory, Some(cookie));
            }
            Record::User { directory, id, stamp, facts } => {
                let facts = Bytes::from(facts);
                if !facts.is_empty() && !facts::is_user(&facts) {
                    return Err(Corrupt);
                }
                self.set_user(directory, &seen(id, stamp), facts);
            }
            Record::Group { directory, id, stamp, facts, gid, listed, members } => {
                let members = Members::try_from(members.into_owned()).map_err(|_| Corrupt)?;
                let body = GroupBody {
                    facts: facts.into(),
                    gid,
                    listed,
                    members: members.iter().map(|m| self.names.intern(&self.hasher, m)).collect(),
                };
                let is_sound = facts.is_empty() || facts::is_group(&body.facts);
                if !is_sound || listed as usize > body.members.len() {
                    return Err(Corrupt);
                }
                self.set_group(directory, &seen(id, stamp), body);
            }
            Record::End(_) => return Err(Corrupt),
        }
        Ok(())
    }

    /// Whether a copy that is written now would say something new.
    pub(in crate::daemon::replica) fn is_saved(&self, cookies_too: bool) -> bool {
        self.saved.as_ref().is_some_and(|(changes, cookies)| {
            *changes == self.changes && (!cookies_too || *cookies == self.cookies)
        })
    }

    /// A copy is written of what it says from now on.
    pub(in crate::daemon::replica) fn note_saving(&mut self) {
        self.saved = Some((self.changes, self.cookies.clone()));
    }

    /// The copy couldn't be written.
    pub(in crate::daemon::replica) fn note_unsaved(&mut self) {
        self.saved = None;
    }

    /// Whether there is anything to go on from.
    pub(in crate::daemon::replica) fn has_cookies(&self) -> bool {
        !self.cookies.is_empty()
    }
}

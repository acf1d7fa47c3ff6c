//! What a subscription tells, taken in (RFC 4533).
//!
//! A subscription begins with a *refresh*: the server tells what has changed since the
//! cookie. It does so in one of two ways. In the *delete phase* it names what is gone. In the
//! *present phase* it names what is there, and what it didn't name until the end of that phase
//! is gone. What is told of an entry that is there is true at once, so it is put in
//! at once; but what is missing shows only when the present phase has ended, and what is
//! named as gone goes only at the end of the refresh: by then it shows whether that is
//! most of the map, which isn't believed (`vanish.rs`).
//!
//! **Cookies.** One counts only for what the population already holds. Those that come in the middle of a
//! refresh wait for its end: in a present phase, what is gone isn't known before.
//!
//! **Publishing.** While a refresh goes on the population is *held*: half of a refresh isn't shown to
//! anybody. But not for longer than [`HELD_FOR`]: one slow server must not keep the
//! changes of another directory from being seen.
//!
//! **Memory.** A server can name more ids than there are entries. Of those that it calls gone only known
//! ones are kept in mind, and [`Population::promised`] says how many of the others there are.
//!
//! **What can't be.** An entry that the server calls present and that isn't known says that the
//! cookie and the population don't belong together; then everything has to be read again.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use common::directory::subscribe::{Cookie, News};
use common::directory::sync::{EntryId, GroupEntry, Read, UserEntry};
use common::protocol::Map;

use super::super::vanish::is_mass;
use super::{Balance, Population};

/// How long half of a refresh is kept back.
const HELD_FOR: Duration = Duration::from_secs(60);

/// A kind of entry that directories have.
pub(in crate::daemon::replica) trait Kind: Sized {
    /// Where it belongs.
    const MAP: Map;

    /// Takes one in, as it is in this directory now.
    fn put(population: &mut Population, directory: u16, read: &Read<Self>);
}

impl Kind for UserEntry {
    const MAP: Map = Map::Users;

    fn put(population: &mut Population, directory: u16, read: &Read<Self>) {
        population.put_user(directory, read);
    }
}

impl Kind for GroupEntry {
    const MAP: Map = Map::Groups;

    fn put(population: &mut Population, directory: u16, read: &Read<Self>) {
        population.put_group(directory, read);
    }
}

/// Why news can't be taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::daemon::replica) enum NewsError {
    /// They tell of an entry that should be known.
    Unknown,
    /// Most of what was there isn't any more.
    Vanished(Balance),
}

/// How far a subscription or a reading is.
#[derive(Debug)]
pub(super) struct Hearing {
    began: Instant,
    /// Nothing was known to the server, so it tells everything.
    whole: bool,
    refreshed: bool,
    /// Counts when the refresh has ended.
    cookie: Option<Cookie>,
    /// What was named as gone. It goes when the refresh has ended.
    gone: BTreeSet<EntryId>,
    /// What was said to be there and isn't known. OpenLDAP names everything that is there, and
    /// then sends what has changed, so what is new is named before it comes.
    promised: BTreeSet<EntryId>,
}

impl Population {
    /// From where on a map can be followed, if that is known.
    pub(in crate::daemon::replica) fn cookie(&self, map: Map, directory: u16) -> Option<&Cookie> {
        self.cookies.get(&(directory, map))
    }

    /// Everything until there is in.
    pub(in crate::daemon::replica) fn set_cookie(
        &mut self,
        map: Map,
        directory: u16,
        cookie: Option<Cookie>,
    ) {
        match cookie {
            Some(cookie) => drop(self.cookies.insert((directory, map), cookie)),
            None => drop(self.cookies.remove(&(directory, map))),
        }
    }

    /// Begins to hear of a map, and says from where on.
    pub(in crate::daemon::replica) fn begin_to_hear(
        &mut self,
        map: Map,
        directory: u16,
    ) -> Option<Cookie> {
        self.begin(map, directory);
        let known = self.cookie(map, directory).cloned();
        let (began, whole, refreshed) = (Instant::now(), known.is_none(), false);
        let (cookie, gone, promised) = Default::default();
        let hearing = Hearing { began, whole, refreshed, cookie, gone, promised };
        self.hearings.insert((directory, map), hearing);
        known
    }

    /// A map is read: half of it should not be shown. [`Population::end_to_hear`] ends that.
    pub(in crate::daemon::replica) fn hold(&mut self, map: Map, directory: u16) {
        let (began, whole, refreshed) = (Instant::now(), false, false);
        let (cookie, gone, promised) = Default::default();
        let hearing = Hearing { began, whole, refreshed, cookie, gone, promised };
        self.hearings.insert((directory, map), hearing);
    }

    /// Nothing more is heard of a map: what came until now may be shown.
    pub(in crate::daemon::replica) fn end_to_hear(&mut self, map: Map, directory: u16) {
        self.hearings.remove(&(directory, map));
    }

    /// Takes news in. Whether the refresh has ended.
    ///
    /// # Errors
    /// [`NewsError`]; then everything has to be read again, or nothing of it believed.
    pub(in crate::daemon::replica) fn hear<E: Kind>(
        &mut self,
        directory: u16,
        news: impl IntoIterator<Item = News<E>>,
    ) -> Result<bool, NewsError> {
        news.into_iter().try_for_each(|news| self.hear_one(directory, news))?;
        Ok(self.hearings.get(&(directory, E::MAP)).is_some_and(|hearing| hearing.refreshed))
    }

    fn hear_one<E: Kind>(&mut self, directory: u16, news: News<E>) -> Result<(), NewsError> {
        let source = (directory, E::MAP);
        match news {
            News::Entry(read) => {
                // It has come back.
                if let Some(hearing) = self.hearings.get_mut(&source) {
                    hearing.gone.remove(&read.seen.id);
                    hearing.promised.remove(&read.seen.id);
                }
                E::put(self, directory, &read);
            }
            News::Present(mut ids) => {
                ids.retain(|id| !self.is_there(E::MAP, directory, *id));
                match self.hearings.get_mut(&source) {
                    Some(hearing) if !hearing.refreshed => hearing.promised.extend(ids),
                    _ if ids.is_empty() => {}
                    _ => return Err(NewsError::Unknown),
                }
            }
            News::Gone(mut ids) => match self.hearings.get_mut(&source) {
                Some(hearing) if !hearing.refreshed => {
                    for id in &ids {
                        hearing.promised.remove(id);
                    }
                    match E::MAP {
                        Map::Groups => ids.retain(|id| self.groups.find(directory, *id).is_some()),
                        Map::Users | Map::Shadows => {
                            ids.retain(|id| self.users.find(directory, *id).is_some());
                        }
                    }
                    hearing.gone.extend(ids);
                }
                _ => ids.into_iter().for_each(|id| self.is_gone(E::MAP, directory, id)),
            },
            News::PresentEnds => self.end_of_present::<E>(directory)?,
            News::Refreshed => {
                if self.hearings.get(&source).is_some_and(|hearing| hearing.whole) {
                    self.end_of_present::<E>(directory)?;
                }
                self.all_have_come::<E>(directory)?;
                self.let_go_of_the_gone::<E>(directory)?;
                if let Some(hearing) = self.hearings.get_mut(&source) {
                    hearing.refreshed = true;
                    if let Some(cookie) = hearing.cookie.take() {
                        self.cookies.insert(source, cookie);
                    }
                }
            }
            News::Cookie(cookie) => match self.hearings.get_mut(&source) {
                Some(hearing) if !hearing.refreshed => hearing.cookie = Some(cookie),
                _ => drop(self.cookies.insert(source, cookie)),
            },
        }
        Ok(())
    }

    /// How many entries were said to be there, in all directories, and have not come yet.
    pub(in crate::daemon::replica) fn promised(&self) -> usize {
        self.hearings.values().map(|hearing| hearing.promised.len()).sum()
    }

    /// Removes what a refresh has named as gone, unless that is too much.
    fn let_go_of_the_gone<E: Kind>(&mut self, directory: u16) -> Result<(), NewsError> {
        let hearing = self.hearings.get_mut(&(directory, E::MAP));
        let gone = hearing.map(|hearing| std::mem::take(&mut hearing.gone)).unwrap_or_default();
        if gone.is_empty() {
            return Ok(());
        }
        let balance = match E::MAP {
            Map::Groups => self.groups.balance_without(directory, &gone),
            Map::Users | Map::Shadows => self.users.balance_without(directory, &gone),
        };
        if is_mass(balance) {
            return Err(NewsError::Vanished(balance));
        }
        for id in gone {
            self.is_gone(E::MAP, directory, id);
        }
        Ok(())
    }

    /// Whether everything is known that was said to be there.
    fn all_have_come<E: Kind>(&self, directory: u16) -> Result<(), NewsError> {
        let hearing = self.hearings.get(&(directory, E::MAP));
        let have_come = hearing.is_none_or(|hearing| hearing.promised.is_empty());
        if have_come { Ok(()) } else { Err(NewsError::Unknown) }
    }

    fn end_of_present<E: Kind>(&mut self, directory: u16) -> Result<(), NewsError> {
        self.all_have_come::<E>(directory)?;
        let balance = self.balance(E::MAP, directory);
        if is_mass(balance) {
            return Err(NewsError::Vanished(balance));
        }
        self.finish(E::MAP, directory);
        if let Some(hearing) = self.hearings.get_mut(&(directory, E::MAP)) {
            hearing.whole = false;
        }
        Ok(())
    }

    /// Whether what has changed should not be shown yet.
    pub(in crate::daemon::replica) fn is_held(&self, now: Instant) -> bool {
        let holds =
            |hearing: &Hearing| !hearing.refreshed && now.duration_since(hearing.began) < HELD_FOR;
        self.hearings.values().any(holds)
    }
}

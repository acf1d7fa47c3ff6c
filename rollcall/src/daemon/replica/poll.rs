//! Reads one map of one directory: all of it, or what has changed.
//!
//! Three ways, from cheap to dear:
//!
//! - *changes*: the entries that were modified since the last reading. Misses what was deleted or
//!   moved away, and what came with an older date: from another server, from a backup.
//! - *ids*: which entries there are, and in which state. Whatever isn't there any more is
//!   removed. What is in a state that isn't known must come with the changes, which
//!   are read afterwards; if it doesn't, everything is read.
//! - *everything*: also where a server says nothing about when entries were modified.
//!
//! The two dear ones take place when [`PAUSE`] times what they took the last time has passed:
//! one host keeps a server busy for half a percent of its time, while in a small directory
//! each poll sees everything. But they never wait longer than [`longest_pause`], so that there is
//! a bound to how long somebody who was deleted is still there.
//!
//! What is to be removed must be credible: see `vanish.rs`.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::directory::Directory;
use common::directory::sync::{self, Change, EntryId, Moment, Read, Seen, ServerClock};
use common::protocol::Map;
use tokio::sync::mpsc::{Receiver, channel};
use tracing::debug;

use super::publish::Home;
use super::unchanged::Unchanged;
use super::vanish::{Vanished, is_believed, is_mass};
use super::{Failed, Population, State};
use crate::daemon::table::TableThread;

#[cfg(test)]
mod tests;

/// How many times as long as a dear reading took the next one waits.
const PAUSE: u32 = 200;
/// The same, where the server says that something has changed and nothing was found.
const SHORT_PAUSE: u32 = 20;
/// How long a page may take. Nobody waits for it.
pub(super) const PAGE_PATIENCE: Duration = Duration::from_secs(60);
/// By how much readings overlap: a server's clock may be set back a bit, and of
/// several servers one may be a bit late.
const OVERLAP: Duration = Duration::from_secs(5);

/// How much to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extent {
    /// Everything.
    Everything,
    /// What has changed.
    Changes,
    /// The same, and what isn't there any more.
    Ids,
}

/// What a reading has looked at.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Look {
    /// Whether it has looked at anything: if not, nobody knows what the directory holds now.
    pub(super) at_anything: bool,
    /// Whether it has looked at everything that can change.
    pub(super) at_all: bool,
    /// The number of the last change when it began.
    pub(super) began: Option<Change>,
}

/// The longest time between two dear readings, where there is a poll after this long.
pub(super) fn longest_pause(refresh: Duration) -> Duration {
    (refresh * 10).max(Duration::from_secs(300))
}

/// What is remembered of a directory.
#[derive(Debug, Default)]
pub(super) struct DirectoryReadings {
    pub(super) unchanged: Unchanged,
    /// The server said that something had changed, and it wasn't found yet.
    pub(super) is_owed: bool,
    pub(super) users: Reading,
    pub(super) groups: Reading,
    /// Since the ids were compared for the sake of a subscription.
    looks: Pause,
}

/// What is remembered of a map.
#[derive(Debug, Default)]
pub(super) struct Reading {
    clock: ServerClock,
    /// What was modified before this is known. `None`: the server doesn't tell.
    since: Option<Moment>,
    ids: Pause,
    everything: Pause,
    /// There are entries that don't tell when they were modified.
    undated: bool,
    /// Something isn't known that only reading everything finds out.
    unsure: bool,
    /// The number of the last change when everything was looked at.
    looked_at: Option<Change>,
    /// Most of it isn't there any more, since then.
    vanished: Option<Vanished>,
}

impl DirectoryReadings {
    /// Whether this poll may be left out, if this is the number of the last change.
    pub(super) fn may_leave_out(&mut self, change: Option<Change>) -> bool {
        let sure = !self.users.unsure && !self.groups.unsure && !self.is_owed;
        self.unchanged.may_leave_out(change, Instant::now()) && sure
    }

    /// Nothing counts that is remembered: the next poll reads everything.
    pub(super) fn doubt(&mut self) {
        self.unchanged.forget();
        (self.users.unsure, self.groups.unsure) = (true, true);
    }

    /// Whether the next poll reads everything.
    pub(super) fn is_doubted(&self) -> bool {
        self.users.unsure || self.groups.unsure
    }

    /// Most of a map was told to be gone, when somebody had wanted everything read so often.
    pub(super) fn has_vanished(&mut self, map: Map, asked: u64) {
        let reading = match map {
            Map::Groups => &mut self.groups,
            Map::Users | Map::Shadows => &mut self.users,
        };
        reading.has_vanished(asked);
    }

    /// Whether it was, and nobody has believed it.
    pub(super) fn is_vanished(&self) -> bool {
        self.users.vanished.is_some() || self.groups.vanished.is_some()
    }

    /// The ids were compared for the sake of a subscription, or that has failed.
    pub(super) fn have_looked(&mut self, started: Instant) {
        self.looks.begin(started);
    }

    /// How long to wait before they are once more, if at least so often.
    pub(super) fn rest(&self, longest: Duration) -> Duration {
        self.looks.rest(PAUSE, longest)
    }

    /// The number of the last change when everything was looked at, if that was the same
    /// in both maps.
    pub(super) fn looked_at(&self) -> Option<Change> {
        let sure = !self.users.unsure && !self.groups.unsure;
        self.users.looked_at.filter(|users| sure && self.groups.looked_at == Some(*users))
    }
}

impl Reading {
    fn has_vanished(&mut self, asked: u64) {
        self.vanished.get_or_insert_with(|| Vanished { since: Instant::now(), asked });
    }

    /// Whether it is believed that most is gone, if somebody has wanted it read so often.
    fn believes_in_loss(&self, asked: Option<u64>, now: Instant) -> bool {
        let Some(vanished) = self.vanished else { return false };
        let insists = asked.is_some_and(|asked| vanished.is_insisted_on(asked));
        is_believed(Some(vanished.since), insists, now)
    }

    /// Takes note of a reading from which on only changes matter.
    fn advance(&mut self, started: Instant, newest: Option<Moment>) {
        self.clock.observe(newest, Instant::now());
        self.since = self.clock.at(started).map(|moment| moment.minus(OVERLAP));
    }
}

/// When the last reading of a dear kind ended, and what it took. The first one is due at
/// once: the ids, so, at the first poll, which makes good for what changed during
/// the loading.
#[derive(Debug, Default)]
struct Pause(Option<(Instant, Duration)>);

impl Pause {
    /// Whether so many times what it took has passed, or the longest time.
    fn is_over(&self, times: u32, longest: Duration) -> bool {
        self.rest(times, longest).is_zero()
    }

    /// How long it still is until then.
    fn rest(&self, times: u32, longest: Duration) -> Duration {
        let rest = |(ended, took): (Instant, Duration)| {
            (took * times).min(longest).saturating_sub(ended.elapsed())
        };
        self.0.map_or(Duration::ZERO, rest)
    }

    fn begin(&mut self, started: Instant) {
        self.0 = Some((Instant::now(), started.elapsed()));
    }
}

/// Whether an entry that was seen has come in that state, or in a later one.
fn has_come(came: &HashMap<EntryId, Seen>, seen: &Seen) -> bool {
    came.get(&seen.id).is_some_and(|came| came.stamp == seen.stamp || came.modified > seen.modified)
}

/// A map of a directory.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) directory: &'a Arc<Directory>,
    pub(super) number: u16,
    pub(super) map: Map,
    pub(super) home: &'a Home,
    pub(super) table: &'a TableThread,
    pub(super) state: &'a State,
    /// How many entries there may be in all directories together.
    pub(super) most: usize,
    /// The longest time between two dear readings.
    pub(super) longest_pause: Duration,
}

impl Source<'_> {
    /// Brings the population up to date.
    pub(super) async fn read(self, reading: &mut Reading, extent: Extent) -> Result<Look, Failed> {
        if extent == Extent::Everything {
            // Before it begins: who asks in its middle hasn't been shown its end.
            let asked = self.state.asked().everything;
            return self.read_everything(reading, Some(asked)).await;
        }
        let Some(since) = reading.since.filter(|_| !reading.undated && !reading.unsure) else {
            // Nothing but everything will do.
            let due = reading.unsure
                || reading.vanished.is_some()
                || reading.everything.is_over(PAUSE, self.longest_pause);
            let nothing = Ok(Look::default());
            return if due { self.read_everything(reading, None).await } else { nothing };
        };
        let times = if extent == Extent::Ids { SHORT_PAUSE } else { PAUSE };
        let due = reading.vanished.is_some() || reading.ids.is_over(times, self.longest_pause);
        let ids_started = Instant::now();
        let ids = if due { Some(self.read_ids().await?) } else { None };
        let ids_took = ids_started.elapsed();
        let started = Instant::now();
        let (changes, came) = self.read_entries(Some(since)).await?;
        reading.advance(started, changes.newest);
        let look = Look { at_anything: true, at_all: false, began: changes.change };
        let Some((began, unknown)) = ids else { return Ok(look) };
        if let Some(seen) = unknown.iter().find(|seen| !has_come(&came, seen)) {
            debug!(map = ?self.map, id = ?seen.id, "an entry changed behind its date");
            reading.unsure = true;
            return self.read_everything(reading, None).await;
        }
        self.finish(reading, None).await?;
        reading.ids = Pause(Some((Instant::now(), ids_took)));
        reading.looked_at = began;
        Ok(Look { at_all: true, ..look })
    }

    /// `asked`: how often somebody has wanted that, if it may be for their sake.
    async fn read_everything(
        self,
        reading: &mut Reading,
        asked: Option<u64>,
    ) -> Result<Look, Failed> {
        let started = Instant::now();
        self.begin().await?;
        let (extent, _) = self.read_entries(None).await?;
        // The server's clock may have been set back.
        reading.clock = ServerClock::default();
        reading.advance(started, extent.newest);
        reading.undated = extent.undated > 0;
        reading.everything.begin(started);
        self.finish(reading, asked).await?;
        let (Self { map, number, .. }, cookie) = (self, extent.cookie);
        let set = move |population: &mut Population| population.set_cookie(map, number, cookie);
        self.home.work(self.table, set).await?;
        reading.unsure = false;
        reading.looked_at = extent.change;
        Ok(Look { at_anything: true, at_all: true, began: extent.change })
    }

    /// Whether somebody is known who isn't there any more. Nothing is removed: the server that was
    /// asked may be behind.
    pub(super) async fn is_anybody_gone(self) -> Result<bool, Failed> {
        self.read_ids().await?;
        let Self { map, number, .. } = self;
        let balance = self.home.work(self.table, move |it| it.balance(map, number)).await?;
        Ok(balance.after < balance.before)
    }

    async fn begin(self) -> Result<(), Failed> {
        let Self { map, number, .. } = self;
        self.home.work(self.table, move |population| population.begin(map, number)).await
    }

    /// Removes what wasn't there, unless that is too much.
    async fn finish(self, reading: &mut Reading, asked: Option<u64>) -> Result<(), Failed> {
        let Self { map, number, .. } = self;
        let believed = reading.believes_in_loss(asked, Instant::now());
        let finish = move |population: &mut Population| {
            let balance = population.balance(map, number);
            if is_mass(balance) && !believed {
                return Err(Failed::vanished(map, balance));
            }
            population.finish(map, number);
            Ok(())
        };
        let finished = self.home.work(self.table, finish).await?;
        match &finished {
            Err(_) => reading.has_vanished(self.state.asked().everything),
            Ok(()) => reading.vanished = None,
        }
        finished
    }

    /// Looks which entries there are. The number of the last change when it began, and what
    /// is in a state that isn't known.
    async fn read_ids(self) -> Result<(Option<Change>, Vec<Seen>), Failed> {
        let Self { map, number, .. } = self;
        self.begin().await?;
        let (to, mut batches) = channel::<Vec<Seen>>(1);
        // Who asks for no more must not leave the reading waiting for room.
        let compare = async move {
            let mut unknown = Vec::new();
            while let Some(mut batch) = batches.recv().await {
                let see = move |population: &mut Population| {
                    batch.retain(|seen| !population.see(map, number, seen));
                    batch
                };
                unknown.append(&mut self.home.work(self.table, see).await?);
                if unknown.len() > self.most {
                    return Err(Failed::TooMany(self.most));
                }
            }
            Ok::<_, Failed>(unknown)
        };
        let (read, unknown) = tokio::join!(self.directory.ids(map, PAGE_PATIENCE, to), compare);
        let unknown = unknown?;
        Ok((read?.change, unknown))
    }

    /// Reads entries and puts them into the population. All in all, and, of those with
    /// changes, which ones came.
    async fn read_entries(
        self,
        since: Option<Moment>,
    ) -> Result<(sync::Extent, HashMap<EntryId, Seen>), Failed> {
        let remember = since.is_some();
        let (read, came) = match self.map {
            Map::Groups => {
                let (to, batches) = channel(1);
                tokio::join!(
                    self.directory.read_groups(since, PAGE_PATIENCE, to),
                    self.put(batches, remember, Population::put_group),
                )
            }
            Map::Users | Map::Shadows => {
                let (to, batches) = channel(1);
                tokio::join!(
                    self.directory.read_users(since, PAGE_PATIENCE, to),
                    self.put(batches, remember, Population::put_user),
                )
            }
        };
        let came = came?;
        Ok((read?, came))
    }

    /// Puts entries into the population as they come.
    async fn put<T: Send + 'static>(
        self,
        mut batches: Receiver<Vec<Read<T>>>,
        remember: bool,
        put: fn(&mut Population, u16, &Read<T>),
    ) -> Result<HashMap<EntryId, Seen>, Failed> {
        let mut came = HashMap::new();
        while let Some(batch) = batches.recv().await {
            if remember {
                came.extend(batch.iter().map(|read| (read.seen.id, read.seen)));
            }
            self.state.loaded(batch.len());
            let number = self.number;
            let work = move |population: &mut Population| {
                for read in &batch {
                    put(population, number, read);
                }
                population.entries()
            };
            if self.home.work(self.table, work).await? > self.most {
                return Err(Failed::TooMany(self.most));
            }
        }
        Ok(came)
    }
}

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
//! one host keeps a server busy for half a percent of its time at most, while in a small directory
//! each poll sees everything.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::directory::Directory;
use common::directory::sync::{self, EntryId, Moment, Read, Seen, ServerClock};
use common::protocol::Map;
use tokio::sync::mpsc::{Receiver, channel};
use tracing::debug;

use super::publish::Home;
use super::unchanged::Unchanged;
use super::{Failed, Population, State};
use crate::daemon::table::TableThread;

/// How many times as long as a dear reading took the next one waits.
const PAUSE: u32 = 200;
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
}

/// What is remembered of each directory between polls.
#[derive(Debug)]
pub(super) struct Readings(pub(super) Vec<DirectoryReadings>);

/// What is remembered of a directory.
#[derive(Debug, Default)]
pub(super) struct DirectoryReadings {
    pub(super) unchanged: Unchanged,
    pub(super) users: Reading,
    pub(super) groups: Reading,
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
}

impl Readings {
    pub(super) fn new(directories: usize) -> Self {
        Self((0..directories).map(|_| DirectoryReadings::default()).collect())
    }
}

impl Reading {
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
    fn is_over(&self) -> bool {
        self.0.is_none_or(|(ended, took)| ended.elapsed() >= took * PAUSE)
    }

    fn begin(&mut self, started: Instant) {
        self.0 = Some((Instant::now(), started.elapsed()));
    }
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
}

impl Source<'_> {
    /// Brings the population up to date.
    pub(super) async fn read(self, reading: &mut Reading, extent: Extent) -> Result<(), Failed> {
        if extent == Extent::Everything {
            return self.read_everything(reading).await;
        }
        let Some(since) = reading.since.filter(|_| !reading.undated && !reading.unsure) else {
            // Nothing but everything will do.
            let due = reading.unsure || reading.everything.is_over();
            return if due { self.read_everything(reading).await } else { Ok(()) };
        };
        let due = reading.ids.is_over();
        let unknown = if due { Some(self.read_ids(reading).await?) } else { None };
        let started = Instant::now();
        let (extent, came) = self.read_entries(Some(since)).await?;
        reading.advance(started, extent.newest);
        let mut missed = unknown.into_iter().flatten().filter(|seen| !came.contains(&seen.id));
        if let Some(seen) = missed.next() {
            debug!(map = ?self.map, id = ?seen.id, "an entry changed behind its date");
            reading.unsure = true;
            return self.read_everything(reading).await;
        }
        Ok(())
    }

    async fn read_everything(self, reading: &mut Reading) -> Result<(), Failed> {
        let started = Instant::now();
        let Self { map, number, .. } = self;
        self.home.work(self.table, move |population| population.begin(map, number)).await?;
        let (extent, _) = self.read_entries(None).await?;
        self.home.work(self.table, move |population| population.finish(map, number)).await?;
        reading.advance(started, extent.newest);
        reading.undated = extent.undated > 0;
        reading.unsure = false;
        reading.everything.begin(started);
        Ok(())
    }

    /// Removes what isn't there any more. What is in a state that isn't known.
    async fn read_ids(self, reading: &mut Reading) -> Result<Vec<Seen>, Failed> {
        let started = Instant::now();
        let Self { map, number, .. } = self;
        self.home.work(self.table, move |population| population.begin(map, number)).await?;
        let (to, mut batches) = channel::<Vec<Seen>>(1);
        let compare = async {
            let mut unknown = Vec::new();
            while let Some(mut batch) = batches.recv().await {
                let see = move |population: &mut Population| {
                    batch.retain(|seen| !population.see(map, number, seen));
                    batch
                };
                unknown.append(&mut self.home.work(self.table, see).await?);
            }
            Ok::<_, Failed>(unknown)
        };
        let (read, unknown) = tokio::join!(self.directory.ids(map, PAGE_PATIENCE, to), compare);
        let unknown = unknown?;
        read?;
        self.home.work(self.table, move |population| population.finish(map, number)).await?;
        reading.ids.begin(started);
        Ok(unknown)
    }

    /// Reads entries and puts them into the population. All in all, and, of those with
    /// changes, which ones came.
    async fn read_entries(
        self,
        since: Option<Moment>,
    ) -> Result<(sync::Extent, HashSet<EntryId>), Failed> {
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
    ) -> Result<HashSet<EntryId>, Failed> {
        let mut came = HashSet::new();
        while let Some(batch) = batches.recv().await {
            if remember {
                came.extend(batch.iter().map(|read| read.seen.id));
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

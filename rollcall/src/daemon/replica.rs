//! Keeps a copy of all users and groups in the table.
//!
//! ```text
//!   directories ──batches──▶ Population ──dirty keys──▶ one change of the table
//!   (this task)              (the table's thread)
//! ```
//!
//! **Loading.** All users and groups of all directories are read, page by page, on
//! connections of their own, while lookups are answered on demand. When all
//! is there, a table is made of it and takes the old one's place; only then it is
//! *complete*, and what isn't in it isn't in the directory.
//!
//! **Polling.** Every `refresh` seconds it asks what was modified since the last time. That
//! misses what was deleted, moved away, or came late or with an older date from another
//! server. So now and then the ids of all entries are compared with those that are known: see
//! `replica/poll.rs`. Whatever a poll finds is published as one change.
//!
//! **An outage.** The table is complete until some time after the last poll that worked. When
//! polls fail that time runs out by itself: what is there is still found, but what
//! isn't must be asked for, and nobody is told "no such user" because of an outage.
//!
//! | file | idea |
//! |---|---|
//! | `replica/population.rs` | what the directories hold, and what the table must say |
//! | `replica/poll.rs` | reads one map of one directory, all of it or what has changed |
//! | `replica/publish.rs` | brings the population into the table |
//! | `replica/unchanged.rs` | whether there is anything to read |
//! | `replica/state.rs` | how it is doing, for `rollcall status` |

use std::sync::Arc;
use std::time::{Duration, Instant};

use common::config::{CacheConfig, CacheMode};
use common::deadline::Deadline;
use common::directory::Directory;
use common::ldap::LdapError;
use common::protocol::Map;
use tracing::{info, warn};

mod poll;
mod population;
mod publish;
mod state;
mod unchanged;

pub(super) use population::Population;
pub(super) use state::State;

use state::Phase;

use super::table::TableThread;
use poll::{Extent, Readings};
use publish::Home;

/// After a poll that failed the next one is due after this long, and then after
/// twice as long each time, up to [`CacheConfig::refresh`] or [`LONGEST_WAIT`].
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// A directory that can't be loaded is tried again at least this often.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// But not so often if it is the table that can't be made: the server does its part
/// each time.
const NO_ROOM: Duration = Duration::from_secs(600);

/// Why there is no poll, or no complete one.
#[derive(Debug, thiserror::Error)]
enum Failed {
    /// The directory can't be read.
    #[error("{0}")]
    Directory(#[from] LdapError),
    /// There are more accounts than the configuration allows.
    #[error("there are more than {0} users and groups (cache.max_replica)")]
    TooMany(usize),
    /// The table can't be written.
    #[error("the table can't be written: {0}")]
    Table(#[from] std::io::Error),
    /// The table's thread began from nothing, so this has to do so, too.
    #[error("the table was lost")]
    Lost,
}

/// Loads all users and groups, and keeps in step with the directories. Never
/// returns, unless the population is too large for a replica.
pub(super) async fn run(
    directories: Vec<Arc<Directory>>,
    cache: CacheConfig,
    table: Arc<TableThread>,
    state: Arc<State>,
) {
    let _running = state.start();
    let mut replica = Replica { directories, cache, table, state, outage: false };
    loop {
        let why = match replica.load().await {
            Ok(readings) => replica.follow(readings).await,
            Err(why) => why,
        };
        if let Failed::TooMany(_) = why {
            warn!("{why}: lookups are answered on demand");
            replica.table.run(publish::give_up).await;
            replica.state.set(Phase::TooMany);
            return;
        }
        // What is known isn't in a table any more: loading makes another one.
        warn!("all users and groups are loaded again: {why}");
    }
}

struct Replica {
    directories: Vec<Arc<Directory>>,
    cache: CacheConfig,
    table: Arc<TableThread>,
    state: Arc<State>,
    /// Whether the log has said that polls fail.
    outage: bool,
}

impl Replica {
    /// Reads everything, until that has worked, and makes a table of it.
    async fn load(&mut self) -> Result<Readings, Failed> {
        let mut wait = FIRST_WAIT;
        loop {
            self.state.set(Phase::Loading(0));
            let home = Home::new_building();
            let started = Instant::now();
            let requests = self.state.requests();
            let loaded = self.load_once(&home).await;
            self.state.answer(requests);
            match loaded {
                Ok(readings) => {
                    self.worked().await;
                    let (users, groups) = self.state.counts();
                    let took = started.elapsed().as_secs_f32();
                    info!("loaded {users} users and {groups} groups in {took:.1} s");
                    return Ok(readings);
                }
                Err(why @ Failed::TooMany(_)) => return Err(why),
                Err(why) => {
                    self.failed(&why);
                    let longest = if let Failed::Table(_) = why { NO_ROOM } else { LONGEST_WAIT };
                    wait = (wait * 2).min(longest);
                }
            }
            self.state.wait_or_request(wait).await;
        }
    }

    async fn load_once(&self, home: &Home) -> Result<Readings, Failed> {
        let mut readings = Readings::new(self.directories.len());
        self.read(&mut readings, home, Extent::Everything).await?;
        publish::install(&self.table, home, self.cache.refresh).await?;
        Ok(readings)
    }

    /// Polls, until everything has to be begun again.
    async fn follow(&mut self, mut readings: Readings) -> Failed {
        let home = Home::Installed;
        let mut wait = jittered(self.cache.refresh);
        let mut backoff = FIRST_WAIT;
        loop {
            self.state.wait_or_request(wait).await;
            let requests = self.state.requests();
            let extent = if requests > 0 { Extent::Everything } else { Extent::Changes };
            let read = self.read(&mut readings, &home, extent).await;
            // What was read is true, even if it isn't all.
            let published = publish::publish(&self.table).await;
            let result = read.and(published);
            match result {
                Ok(()) => {
                    self.worked().await;
                    self.state.answer(requests);
                    (wait, backoff) = (jittered(self.cache.refresh), FIRST_WAIT);
                }
                Err(why @ (Failed::TooMany(_) | Failed::Lost)) => return why,
                Err(why) => {
                    self.failed(&why);
                    self.state.answer(requests);
                    wait = backoff.min(self.cache.refresh);
                    backoff = (backoff * 2).min(LONGEST_WAIT);
                }
            }
        }
    }

    /// Reads all maps of all directories: users and groups at the same time, so that
    /// the server and this host work at the same time.
    async fn read(
        &self,
        readings: &mut Readings,
        home: &Home,
        extent: Extent,
    ) -> Result<(), Failed> {
        for (number, (directory, readings)) in
            (0..).zip(self.directories.iter().zip(&mut readings.0))
        {
            let last_change = || directory.last_change(Deadline::after(poll::PAGE_PATIENCE));
            let change = last_change().await?;
            if extent == Extent::Changes && readings.unchanged.may_leave_out(change) {
                continue;
            }
            let source = |map| poll::Source {
                directory,
                number,
                map,
                home,
                table: &self.table,
                state: &self.state,
                most: self.most(),
            };
            let (users, groups) = (source(Map::Users), source(Map::Groups));
            tokio::try_join!(
                users.read(&mut readings.users, extent),
                groups.read(&mut readings.groups, extent),
            )?;
            if home.work(&self.table, |population| population.is_dirty()).await? {
                readings.unchanged.found_a_change(change, last_change().await?);
            }
            readings.unchanged.note(change);
        }
        Ok(())
    }

    fn most(&self) -> usize {
        match self.cache.mode {
            CacheMode::Auto => self.cache.max_replica,
            _ => usize::MAX,
        }
    }

    /// A poll worked: what isn't in the table isn't in the directory for a while.
    async fn worked(&mut self) {
        let counts = publish::in_step(&self.table, self.cache.refresh).await;
        self.state.in_step(counts);
        if std::mem::take(&mut self.outage) {
            info!("the copy of the directory is in step again");
        }
    }

    fn failed(&mut self, why: &Failed) {
        self.state.failing(why.to_string());
        if !std::mem::replace(&mut self.outage, true) {
            warn!("the copy of the directory can't be brought up to date: {why}");
        }
    }
}

/// A tenth more or less, so that hosts that were started together spread out.
fn jittered(time: Duration) -> Duration {
    use std::hash::{BuildHasher, RandomState};
    let random = RandomState::new().hash_one(0_u8) % 1000;
    time * 9 / 10 + time / 5 * u32::try_from(random).unwrap_or(0) / 1000
}

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
//! **Trouble.** The table is complete until some time after the last poll that worked, and only
//! until one has failed: from then on what is there is still found, but what isn't must be
//! asked for, and nobody is told "no such user" because of an outage. If the directory
//! answers lookups but can't be read, the replica is let go of: see `replica/trouble.rs`.
//!
//! **Several directories.** One that is down doesn't keep the changes of the others
//! from being read.
//!
//! | file | idea |
//! |---|---|
//! | `replica/population.rs` | what the directories hold, and what the table must say |
//! | `replica/poll.rs` | reads one map of one directory, all of it or what has changed |
//! | `replica/publish.rs` | brings the population into the table |
//! | `replica/unchanged.rs` | whether there is anything to read |
//! | `replica/trouble.rs` | why a poll failed, and what that means |
//! | `replica/state.rs` | how it is doing, for `rollcall status` |

use std::sync::Arc;
use std::time::{Duration, Instant};

use common::config::{CacheConfig, CacheMode};
use common::deadline::Deadline;
use common::directory::Directory;
use common::protocol::Map;
use tracing::{info, warn};

mod poll;
mod population;
mod publish;
mod state;
mod trouble;
mod unchanged;

pub(super) use population::Population;
pub(super) use state::State;

use state::Phase;
use trouble::{Failed, Trouble};

use super::table::TableThread;
use poll::{DirectoryReadings, Extent, Readings};
use publish::Home;

/// After a poll that failed the next one is due after this long, and then after
/// twice as long each time, up to [`CacheConfig::refresh`] or [`LONGEST_WAIT`].
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// A directory that can't be loaded is tried again at least this often.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// But not so often if the directory can be read in part, or if it is the table that
/// can't be made: the server does its part each time.
const DEAR_WAIT: Duration = Duration::from_secs(600);
/// How long to wait for the number of the last change. Without it everything is looked at.
const NUMBER_PATIENCE: Duration = Duration::from_secs(5);

/// Loads all users and groups, and keeps in step with the directories. Never
/// returns, unless the population is too large for a replica.
pub(super) async fn run(
    directories: Vec<Arc<Directory>>,
    cache: CacheConfig,
    table: Arc<TableThread>,
    state: Arc<State>,
) {
    let _running = state.start();
    let worked = Instant::now();
    let mut replica = Replica { directories, cache, table, state, told: None, worked };
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
    /// What the log has said about polls that fail.
    told: Option<Trouble>,
    /// When a poll worked the last time, or when this began.
    worked: Instant,
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
                    self.failed(&why).await;
                    let outage = Trouble::of(&why) == Trouble::Outage;
                    wait = (wait * 2).min(if outage { LONGEST_WAIT } else { DEAR_WAIT });
                }
            }
            self.state.wait_or_request(jittered(wait)).await;
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
            let result = match published {
                Ok(()) => read,
                Err(why) => Err(why),
            };
            match result {
                Ok(looked) => {
                    if looked {
                        self.worked().await;
                    }
                    self.state.answer(requests);
                    (wait, backoff) = (jittered(self.cache.refresh), FIRST_WAIT);
                }
                Err(why @ (Failed::TooMany(_) | Failed::Lost)) => return why,
                Err(why) => {
                    let let_go = self.failed(&why).await;
                    self.state.answer(requests);
                    if let_go {
                        return why;
                    }
                    wait = jittered(backoff.min(self.cache.refresh));
                    backoff = (backoff * 2).min(LONGEST_WAIT);
                }
            }
        }
    }

    /// Reads all directories, and then fails if one of them couldn't be read. Whether it
    /// has looked at all of them: else nobody knows whether the table is in step.
    async fn read(
        &self,
        readings: &mut Readings,
        home: &Home,
        extent: Extent,
    ) -> Result<bool, Failed> {
        let (mut looked, mut failed) = (true, None);
        for (number, (directory, readings)) in
            (0..).zip(self.directories.iter().zip(&mut readings.0))
        {
            let source = |map| poll::Source {
                directory,
                number,
                map,
                home,
                table: &self.table,
                state: &self.state,
                most: self.most(),
                longest_pause: poll::longest_pause(self.cache.refresh),
            };
            match read_directory(source, readings, extent).await {
                Ok(at_anything) => looked &= at_anything,
                Err(why) if !matches!(why, Failed::Directory(_) | Failed::Vanished { .. }) => {
                    return Err(why);
                }
                // Without one of the directories there is nothing to load.
                Err(why) if matches!(home, Home::Building(_)) => return Err(why),
                Err(why) => failed = failed.or(Some(why)),
            }
        }
        failed.map_or(Ok(looked), Err)
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
        self.worked = Instant::now();
        self.state.in_step(counts);
        if self.told.take().is_some() {
            info!("the copy of the directory is in step again");
        }
    }

    /// A poll failed: from now on the directory is asked for what isn't in the table. Whether
    /// the replica was let go of, so that it is asked for everything.
    async fn failed(&mut self, why: &Failed) -> bool {
        let trouble = Trouble::of(why);
        self.state.failing(why.to_string());
        publish::out_of_step(&self.table).await;
        if self.told.replace(trouble) != Some(trouble) {
            let advice = trouble.advice();
            warn!("the copy of the directory can't be brought up to date: {why}{advice}");
        }
        let was_complete = publish::complete_for(self.cache.refresh);
        let let_go = trouble == Trouble::Unreadable && self.worked.elapsed() >= was_complete;
        if let_go {
            publish::let_go(&self.table).await;
        }
        let_go
    }
}

/// Reads both maps of a directory, users and groups at the same time, so that the server and this
/// host work at the same time. Whether it has looked at both.
async fn read_directory<'a>(
    source: impl Fn(Map) -> poll::Source<'a>,
    readings: &mut DirectoryReadings,
    extent: Extent,
) -> Result<bool, Failed> {
    let (users, groups) = (source(Map::Users), source(Map::Groups));
    let number = || users.directory.last_change(Deadline::after(NUMBER_PATIENCE));
    if extent == Extent::Changes && readings.may_leave_out(number().await) {
        return Ok(true);
    }
    let changes = || users.home.work(users.table, |population| population.changes());
    let before = changes().await?;
    let extent = if readings.is_owed && extent == Extent::Changes { Extent::Ids } else { extent };
    let (mut looks, mut result) = read_maps((users, groups), readings, extent).await;
    let began = looks[0].began.or(looks[1].began);
    let moved = readings.unchanged.has_moved(began);
    let has_looked = |looks: [poll::Look; 2]| looks.iter().all(|look| look.at_all);
    readings.is_owed |= moved && changes().await? == before;
    if result.is_ok() && readings.is_owed && !has_looked(looks) && extent == Extent::Changes {
        // What has changed may be that somebody was deleted.
        (looks, result) = read_maps((users, groups), readings, Extent::Ids).await;
    }
    result.inspect_err(|_| readings.unchanged.forget())?;
    readings.is_owed &= !has_looked(looks);
    let found = changes().await? != before;
    if found && readings.unchanged.is_same(began) && number().await == began {
        readings.unchanged.are_not_kept();
    }
    let looked_at = readings.looked_at();
    readings.unchanged.note(began, looked_at, Instant::now());
    Ok(looks.iter().all(|look| look.at_anything))
}

/// Reads both, even if one can't be read.
async fn read_maps(
    (users, groups): (poll::Source<'_>, poll::Source<'_>),
    readings: &mut DirectoryReadings,
    extent: Extent,
) -> ([poll::Look; 2], Result<(), Failed>) {
    let (users, groups) = tokio::join!(
        users.read(&mut readings.users, extent),
        groups.read(&mut readings.groups, extent),
    );
    match (users, groups) {
        (Ok(users), Ok(groups)) => ([users, groups], Ok(())),
        (Err(why), _) | (_, Err(why)) => (Default::default(), Err(why)),
    }
}

/// A tenth more or less, so that hosts that were started together spread out.
fn jittered(time: Duration) -> Duration {
    use std::hash::{BuildHasher, RandomState};
    let random = RandomState::new().hash_one(0_u8) % 1000;
    time * 9 / 10 + time / 5 * u32::try_from(random).unwrap_or(0) / 1000
}

//! Keeps a copy of all users and groups in the table.
//!
//! ```text
//!   directories ──news or batches──▶ Population ──dirty keys──▶ one change of the table
//!   (this task)                      (the table's thread)
//! ```
//!
//! **Loading.** All users and groups of all directories are read, page by page, on
//! connections of their own, while lookups are answered on demand. When all
//! is there, a table is made of it and takes the old one's place; only then it is
//! *complete*, and what isn't in it isn't in the directory. Where an earlier daemon has left what it
//! knew on the disk, only what has changed since then is asked for: see `replica/disk.rs`.
//!
//! **Following.** From then on each directory tells of its changes, or is polled where it doesn't:
//! see `replica/follow.rs`. Whatever comes at a time is published as one change.
//!
//! **Polling.** Every `refresh` seconds it asks what was modified since the last time. That
//! misses what was deleted, moved away, or came late or with an older date from another
//! server. So now and then the ids of all entries are compared with those that are known: see
//! `replica/poll.rs`.
//!
//! **Trouble.** The table is complete while the subscription lives, or until some time after the
//! last poll that worked, and only until one has failed: from then on what is there is still
//! found, but what isn't must be asked for, and nobody is told "no such user" because of an
//! outage. If the directory answers lookups but can't be read, the replica is let go of: see
//! `replica/trouble.rs`.
//!
//! **Several directories.** Each has a task of its own. One that is down doesn't keep the changes of
//! the others from being read.
//!
//! | file | idea |
//! |---|---|
//! | `replica/population.rs` | what the directories hold, and what the table must say |
//! | `replica/follow.rs` | keeps in step with one directory, in one way or the other |
//! | `replica/follow/told.rs` | is told, again and again |
//! | `replica/push.rs` | hears of changes as they happen |
//! | `replica/poll.rs` | reads one map of one directory, all of it or what has changed |
//! | `replica/publish.rs` | brings the population into the table |
//! | `replica/disk.rs` | keeps the population for the next daemon |
//! | `replica/unchanged.rs` | whether there is anything to read |
//! | `replica/vanish.rs` | whether to believe that most of a map is gone |
//! | `replica/trouble.rs` | why a poll failed, and what that means |
//! | `replica/state.rs` | how it is doing, for `rollcall status` |

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::config::{CacheConfig, CacheMode};
use common::deadline::Deadline;
use common::directory::Directory;
use common::protocol::{Following, Map, Way};
use tokio::task::JoinSet;
use tracing::{info, warn};

mod disk;
mod follow;
mod poll;
mod population;
mod publish;
mod push;
mod state;
mod trouble;
mod unchanged;
mod vanish;

pub(super) use disk::{file_beside, save_now};
pub(super) use population::Population;
pub(super) use state::State;

use state::Phase;
use trouble::{Failed, Trouble};

use super::pause::{DEAR_WAIT, FIRST_WAIT, LONGEST_WAIT, jittered};
use super::table::TableThread;
use follow::Follower;
use poll::{DirectoryReadings, Extent};
use publish::{Home, Standing};
use push::Broken;

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
    let following = directories.iter().map(|directory| Following {
        base: directory.known_base().unwrap_or_default().into(),
        way: Way::Polling,
        why: Some("not chosen yet".into()),
        newest: 0,
    });
    state.begin(following.collect());
    let standing = Arc::new(Standing::new(directories.len()));
    let context = Arc::new(Context { directories, cache, table, state, standing });
    let mut replica = Replica { context, told: None };
    let mut saved = disk::load(&replica.context).await;
    loop {
        let why = match replica.load(saved.take()).await {
            Ok(readings) => replica.follow(readings).await,
            Err(why) => why,
        };
        let Context { table, state, .. } = &*replica.context;
        if let Failed::TooMany(_) = why {
            warn!("{why}: lookups are answered on demand");
            table.run(publish::give_up).await;
            state.set(Phase::TooMany);
            return;
        }
        // What is known isn't in a table any more: loading makes another one.
        warn!("all users and groups are loaded again: {why}");
    }
}

/// What everybody here needs.
#[derive(Debug)]
struct Context {
    directories: Vec<Arc<Directory>>,
    cache: CacheConfig,
    table: Arc<TableThread>,
    state: Arc<State>,
    standing: Arc<Standing>,
}

impl Context {
    /// A map of the directory of this number.
    fn source<'a>(&'a self, number: u16, map: Map, home: &'a Home) -> Option<poll::Source<'a>> {
        Some(poll::Source {
            directory: self.directories.get(usize::from(number))?,
            number,
            map,
            home,
            table: &self.table,
            state: &self.state,
            most: self.most(),
            longest_pause: poll::longest_pause(self.cache.refresh),
        })
    }

    fn most(&self) -> usize {
        match self.cache.mode {
            CacheMode::Auto => self.cache.max_replica,
            _ => usize::MAX,
        }
    }
}

struct Replica {
    context: Arc<Context>,
    /// What the log has said about loading that fails.
    told: Option<Trouble>,
}

impl Replica {
    /// Brings everything in, until that has worked, and makes a table of it. `saved` is
    /// what an earlier daemon knew.
    async fn load(&mut self, mut saved: Option<Home>) -> Result<Vec<DirectoryReadings>, Failed> {
        let context = Arc::clone(&self.context);
        let Context { cache, state, standing, table, .. } = &*context;
        let mut wait = FIRST_WAIT;
        loop {
            state.set(Phase::Loading(0));
            let home = saved.clone().unwrap_or_else(Home::new_building);
            let started = Instant::now();
            let asked = state.asked();
            let loaded = self.load_once(&home, saved.is_some()).await;
            state.all_done(asked);
            match loaded {
                // What is there counts until most of it is believed to be gone.
                Ok((readings, Some(why))) => {
                    self.failed(&why).await;
                    return Ok(readings);
                }
                Ok((readings, None)) => {
                    standing.all_in_step(publish::complete_for(cache.refresh));
                    state.in_step(publish::counts(table).await);
                    if self.told.take().is_some() {
                        info!("the copy of the directory is in step again");
                    }
                    let (users, groups) = state.counts();
                    let took = started.elapsed().as_secs_f32();
                    let how = if saved.is_some() { "brought up to date" } else { "loaded" };
                    info!("{how} {users} users and {groups} groups in {took:.1} s");
                    return Ok(readings);
                }
                Err(Broken::Failed(why @ Failed::TooMany(_))) => return Err(why),
                Err(Broken::Failed(why @ Failed::Directory(_)))
                    if saved.is_none() || Trouble::of(&why) == Trouble::Outage =>
                {
                    self.failed(&why).await;
                    let is_outage = context.directories.iter().any(|it| it.outage().is_some());
                    let outage = Trouble::of(&why).seen(&why, is_outage, true) == Trouble::Outage;
                    wait = (wait * 2).min(if outage { LONGEST_WAIT } else { DEAR_WAIT });
                }
                Err(Broken::Failed(why)) if saved.is_none() => {
                    self.failed(&why).await;
                    wait = (wait * 2).min(DEAR_WAIT);
                }
                Err(broken) => {
                    info!("what an earlier daemon knew is of no use: {broken}");
                    saved = None;
                    continue;
                }
            }
            state.wait(jittered(wait), asked).await;
        }
    }

    /// What is remembered of each directory, and, if most of what an earlier daemon knew
    /// isn't there any more, that it is so: then nothing of it is removed, nor is it complete.
    async fn load_once(
        &self,
        home: &Home,
        is_saved: bool,
    ) -> Result<(Vec<DirectoryReadings>, Option<Failed>), Broken> {
        let context = &*self.context;
        let (mut all, mut vanished) = (Vec::new(), None);
        for number in (0..).take(context.directories.len()) {
            let mut readings = DirectoryReadings::default();
            let has_cookies = move |population: &mut Population| {
                [Map::Users, Map::Groups]
                    .iter()
                    .all(|map| population.cookie(*map, number).is_some())
            };
            let brought_in = if is_saved && home.work(&context.table, has_cookies).await? {
                let caught_up = push::catch_up(context, number, home).await;
                readings.doubt();
                caught_up
            } else {
                let source = |map| context.source(number, map, home);
                let read = read_directory(source, &mut readings, Extent::Everything).await;
                read.map(drop).map_err(Broken::from)
            };
            match brought_in {
                Err(Broken::Failed(why @ Failed::Vanished { map, .. })) => {
                    readings.has_vanished(map, context.state.asked().everything);
                    readings.doubt();
                    vanished = Some(why);
                }
                brought_in => brought_in?,
            }
            all.push(readings);
        }
        let length = publish::complete_for(context.cache.refresh);
        let length = vanished.is_none().then_some(length);
        publish::install(&context.table, home, length).await?;
        Ok((all, vanished))
    }

    /// Keeps in step with all directories, until everything has to be begun again.
    async fn follow(&mut self, readings: Vec<DirectoryReadings>) -> Failed {
        let asked = self.context.state.asked();
        // Whoever is left when one of them ends, ends with this.
        let mut followers = JoinSet::new();
        for (number, readings) in (0..).zip(readings) {
            let follower = Follower::new(Arc::clone(&self.context), number, readings, asked);
            followers.spawn(follower.run());
        }
        let save = async {
            let never: Infallible = disk::save_now_and_then(&self.context).await;
            match never {}
        };
        tokio::select! {
            ended = followers.join_next() => match ended {
                Some(Ok(why)) => why,
                _ => Failed::Lost,
            },
            never = save => never,
        }
    }

    /// Loading failed: the directory is asked for everything.
    async fn failed(&mut self, why: &Failed) {
        let Context { directories, table, state, standing, .. } = &*self.context;
        let trouble = Trouble::of(why);
        state.failing(why.to_string());
        for number in (0..).take(directories.len()) {
            standing.out_of_step(table, number).await;
        }
        if self.told.replace(trouble) != Some(trouble) {
            let advice = trouble.advice();
            warn!("the copy of the directory can't be brought up to date: {why}{advice}");
        }
    }
}

/// Reads both maps of a directory, users and groups at the same time, so that the server and this
/// host work at the same time. Whether it has looked at both.
async fn read_directory<'a>(
    source: impl Fn(Map) -> Option<poll::Source<'a>>,
    readings: &mut DirectoryReadings,
    extent: Extent,
) -> Result<bool, Failed> {
    let (Some(users), Some(groups)) = (source(Map::Users), source(Map::Groups)) else {
        return Err(Failed::Lost);
    };
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

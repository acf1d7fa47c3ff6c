//! Hears of changes to what is kept on demand.
//!
//! A server that tells changes as they happen (RFC 4533), and says where its history stands, is
//! asked for all that happens from now on: no entry comes that isn't changed, and one that is
//! costs a message, whether it is kept here or not. What is kept of it is doubted: it counts only
//! while nobody can be asked, and who asks next asks the directory.
//!
//! | what is told | what is doubted |
//! |---|---|
//! | a user is added or changed | the user under each name and id, and that there is no such user |
//! | a group is added or changed | the group, and the lists of groups that say otherwise about a member |
//! | somebody is gone, or can't be read any more | everything is doubted: only an id is told, and what is kept has none |
//!
//! From the end of a subscription to the next one changes are missed, so everything is doubted
//! when it begins. Not so when the first one does, at once after the start: what was kept before that
//! is doubted already. Where a directory has several servers, an answer may come from another one than
//! the news, and be older: its lifetime bounds that.
//!
//! Other servers are asked every `cache.refresh` seconds what was modified lately, by this host's clock
//! and with a margin. After a time without an answer everything is doubted. That doesn't show
//! who is gone: an answer's lifetime sees to that.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use common::config::CacheConfig;
use common::deadline::Deadline;
use common::directory::Directory;
use common::directory::subscribe::{News, SubscribeError};
use common::directory::sync::{EntryId, GroupEntry, Moment, Read, Stamp, UserEntry};
use common::ldap::LdapError;
use tokio::sync::mpsc::{Receiver, channel};
use tokio::task::JoinSet;
use tokio::time::sleep;
use tracing::{debug, info};

use super::Cache;
use crate::daemon::table::Keeper;

/// Users and groups have a subscription each.
const MAPS: usize = 2;
/// How many batches may wait for the table.
const WAITING: usize = 16;
/// How long to wait for what a server says about itself.
const PATIENCE: Duration = Duration::from_secs(5);
/// After a subscription ended the next one is tried so much later, and then twice as much
/// each time, up to [`LONGEST_WAIT`].
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// How often a server that tells nothing is asked whether it does by now.
const UNSUPPORTED_FOR: u32 = 20;
/// How long a page of what was modified may take.
const PAGE_PATIENCE: Duration = Duration::from_secs(60);
/// By how much a server's clock may differ from this host's, and be late.
const OVERLAP: Duration = Duration::from_secs(120);

/// What happened to an entry, as far as it matters here.
pub(super) trait Heard: Sized + Send + 'static {
    /// Doubts what is kept of such entries.
    fn doubt(keeper: &mut Keeper, changed: &[Self]);
}

impl Heard for UserEntry {
    fn doubt(keeper: &mut Keeper, changed: &[Self]) {
        let names = changed.iter().flat_map(|entry| entry.names.iter().chain([&entry.user.name]));
        let ids = changed.iter().map(|entry| entry.user.uid);
        keeper.doubt_users(names.cloned().collect(), ids.collect());
    }
}

impl Heard for GroupEntry {
    fn doubt(keeper: &mut Keeper, changed: &[Self]) {
        keeper.doubt_groups(changed);
    }
}

/// Hears of the directories' changes for as long as the cache lives and is in use.
pub(super) async fn run(cache: Weak<Cache>, directories: Vec<Arc<Directory>>, config: CacheConfig) {
    let mut all = JoinSet::new();
    for directory in directories {
        let cache = Weak::clone(&cache);
        all.spawn(async move { watch(&cache, &directory, config).await });
    }
    while all.join_next().await.is_some() {}
}

async fn watch(cache: &Weak<Cache>, directory: &Directory, config: CacheConfig) {
    let mut wait = FIRST_WAIT;
    let mut polls = 0;
    let mut known = HashSet::new();
    let mut polled = Instant::now();
    let mut is_first = true;
    while cache.strong_count() > 0 {
        if polls == 0 && config.push {
            match hear(cache, directory, std::mem::take(&mut is_first)).await {
                Ok(ended) => {
                    debug!(%ended, "what is kept is not told of changes any more");
                    wait = if ended.was_told { FIRST_WAIT } else { (wait * 2).min(LONGEST_WAIT) };
                    if !ended.is_refused {
                        sleep(jittered(wait)).await;
                        continue;
                    }
                    info!("changes are asked for every {} s: {ended}", config.refresh.as_secs());
                }
                Err(why) => {
                    info!("changes are asked for every {} s: {why}", config.refresh.as_secs());
                }
            }
        }
        polls = (polls + 1) % UNSUPPORTED_FOR;
        sleep(jittered(config.refresh)).await;
        match poll(cache, directory, config, &mut known).await {
            Ok(()) => {
                // Changes may have come and gone out of sight.
                if polled.elapsed() > config.refresh * 2 + OVERLAP / 2
                    && let Some(cache) = cache.upgrade()
                {
                    cache.let_go::<UserEntry>(Vec::new(), true).await;
                }
                polled = Instant::now();
            }
            Err(error) => debug!(%error, "what has changed can't be asked for"),
        }
    }
}

/// Half as much to one and a half times as much, so that hosts spread out.
fn jittered(time: Duration) -> Duration {
    let random = RandomState::new().hash_one(0_u8) % 1000;
    time / 2 + time * u32::try_from(random).unwrap_or(0) / 1000
}

/// How a subscription ended.
struct Ended {
    why: SubscribeError,
    /// Whether it had begun.
    was_told: bool,
    /// Whether the server will say so again.
    is_refused: bool,
}

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.why.fmt(f)
    }
}

/// Hears of what happens from now on, until that ends.
///
/// # Errors
/// Why it can't be heard of in this way.
async fn hear(
    cache: &Weak<Cache>,
    directory: &Directory,
    is_first: bool,
) -> Result<Ended, &'static str> {
    let failed =
        |error| Ended { why: SubscribeError::Failed(error), was_told: false, is_refused: false };
    match directory.supports_push(Deadline::after(PATIENCE)).await {
        Ok(true) => {}
        Ok(false) => return Err("the server doesn't tell changes (RFC 4533; OpenLDAP: syncprov)"),
        Err(error) => return Ok(failed(error)),
    }
    let Some(cookie) = directory.cookie_of_now(Deadline::after(PATIENCE)).await else {
        return match directory.outage() {
            Some(error) => Ok(failed(error)),
            None => Err("the server doesn't say where its history stands (contextCSN)"),
        };
    };
    let (users, from_users) = channel(WAITING);
    let (groups, from_groups) = channel(WAITING);
    let begun = AtomicUsize::new(0);
    let why = tokio::select! {
        why = directory.subscribe_users(Some(cookie.clone()), users) => why,
        why = directory.subscribe_groups(Some(cookie), groups) => why,
        () = take(cache, from_users, &begun, is_first) => lost(),
        () = take(cache, from_groups, &begun, is_first) => lost(),
    };
    let is_refused = matches!(why, SubscribeError::Unsupported(_));
    Ok(Ended { why, was_told: begun.into_inner() == MAPS, is_refused })
}

fn lost() -> SubscribeError {
    SubscribeError::Failed(LdapError::Protocol("nobody keeps anything any more"))
}

/// Takes what is told. Ends with the cache.
async fn take<T: Heard>(
    cache: &Weak<Cache>,
    mut batches: Receiver<Vec<News<T>>>,
    begun: &AtomicUsize,
    is_first: bool,
) {
    while let Some(batch) = batches.recv().await {
        let (mut changed, mut doubtful) = (Vec::new(), false);
        for news in batch {
            match news {
                News::Entry(Read { entry: Some(entry), .. }) => changed.push(entry),
                // Who it was isn't told.
                News::Entry(_) | News::Gone(_) | News::PresentEnds => doubtful = true,
                News::Refreshed => {
                    doubtful |= !is_first;
                    if begun.fetch_add(1, Ordering::Relaxed) + 1 == MAPS {
                        info!("the server tells of changes to what is kept as they happen");
                    }
                }
                News::Present(_) | News::Cookie(_) => {}
            }
        }
        let Some(cache) = cache.upgrade() else { return };
        cache.let_go(changed, doubtful).await;
    }
}

/// Asks what was modified lately, and lets go of what wasn't known to be so.
async fn poll(
    cache: &Weak<Cache>,
    directory: &Directory,
    config: CacheConfig,
    known: &mut HashSet<(EntryId, Stamp)>,
) -> Result<(), LdapError> {
    let since = Some(Moment::now().minus(config.refresh * 2 + OVERLAP));
    let mut seen = HashSet::new();
    let (users, from_users) = channel(WAITING);
    let read = directory.read_users(since, PAGE_PATIENCE, users);
    tokio::join!(read, sift(cache, from_users, known, &mut seen)).0?;
    let (groups, from_groups) = channel(WAITING);
    let read = directory.read_groups(since, PAGE_PATIENCE, groups);
    tokio::join!(read, sift(cache, from_groups, known, &mut seen)).0?;
    *known = seen;
    Ok(())
}

async fn sift<T: Heard>(
    cache: &Weak<Cache>,
    mut batches: Receiver<Vec<Read<T>>>,
    known: &HashSet<(EntryId, Stamp)>,
    seen: &mut HashSet<(EntryId, Stamp)>,
) {
    while let Some(batch) = batches.recv().await {
        let (mut changed, mut doubtful) = (Vec::new(), false);
        for Read { seen: state, entry } in batch {
            let state = (state.id, state.stamp);
            seen.insert(state);
            if !known.contains(&state) {
                doubtful |= entry.is_none();
                changed.extend(entry);
            }
        }
        let Some(cache) = cache.upgrade() else { return };
        cache.let_go(changed, doubtful).await;
    }
}

impl Cache {
    /// Lets go of what is kept of entries that have changed; of everything, as far as
    /// anybody can be asked, where it isn't known which ones.
    async fn let_go<T: Heard>(&self, changed: Vec<T>, doubtful: bool) {
        if changed.is_empty() && !doubtful {
            return;
        }
        // Who asks from now on doesn't get the answer of a search that began before.
        self.service.forget_searches();
        self.vain.clear();
        let Some(table) = self.table().filter(|_| !self.is_stopped()) else { return };
        let let_go = move |keeper: &mut Keeper| {
            // A replica knows better.
            if keeper.population.is_some() {
                return;
            }
            keeper.outdate();
            if doubtful {
                keeper.doubt_everything();
            } else {
                T::doubt(keeper, &changed);
            }
        };
        table.run(let_go).await;
        // Of a search that began before and ended meanwhile.
        self.vain.clear();
    }
}

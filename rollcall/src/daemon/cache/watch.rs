//! Hears of changes to what is kept on demand.
//!
//! A server that tells changes as they happen (RFC 4533), and says where its history stands, is
//! asked for all that happens from now on: no entry comes that isn't changed, and one that is
//! costs a message, whether it is kept here or not. What is kept of it is outdated (`age.rs`): it counts only
//! while nobody can be asked, and who asks next asks the directory.
//!
//! | what is told | what is outdated |
//! |---|---|
//! | a user is added or changed | the user under each name and id, old ones included, and that there is no such user |
//! | a group is added or changed | the group, under its old id as well, and the lists of groups that say otherwise about a member |
//! | somebody is gone, or can't be read any more | the user or group that had this id when it was looked up; nobody, if nobody was looked up; everything, if that isn't known |
//!
//! Of who is gone only the entry's id is told, so lookups note the ids of the entries that they
//! see (`common/src/directory/numbers.rs`). By that id a user is found, too, whose name and
//! uid change at once. Nothing is kept of an entry that isn't noted: a lookup that has seen it
//! but hasn't noted it yet is one whose answer is worth nothing once the news are in. Where entries
//! don't show their ids nobody knows whom a change is about, so each one outdates everything.
//!
//! From the end of a subscription to the next one changes are missed, so everything is doubted
//! when it begins. When the first one of the daemon does, soon after the start, what was
//! kept before that is doubted already, and what was learned until the server said where its history
//! stands is doubted then: of what is asked for later no change is missed. Where a directory has
//! several servers, an answer may come from another one than the news, and be older: its lifetime
//! bounds that. What is only doubted may well be true, so it isn't waited for as long.
//!
//! Other servers are asked every `cache.refresh` seconds what was modified lately, by this host's clock
//! and with a margin. After a time without an answer everything is doubted. That doesn't show
//! who is gone: an answer's lifetime sees to that. It is done as well where a server that tells
//! changes doesn't come to it, again and again, while it answers everything else.

mod told;
mod way;

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

use common::config::{CacheConfig, CacheMode};
use common::deadline::Deadline;
use common::directory::Directory;
use common::directory::subscribe::{News, SubscribeError, TELLS_NOTHING};
use common::directory::sync::{EntryId, Moment, Read, Stamp, UserEntry};
use common::ldap::LdapError;
use common::table::Now;
use tokio::sync::mpsc::{Receiver, channel};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tracing::{debug, info};

use super::Cache;
use crate::daemon::pause::{Pauses, jittered, outage_ends};
use crate::daemon::table::Keeper;
use told::{Heard, Missed, Told};
use way::Way;

/// What is said of the way of choice.
const TOLD: &str = "the server tells of changes to what is kept as they happen";
/// Users and groups have a subscription each.
const MAPS: usize = 2;
/// How many batches may wait for the table.
const WAITING: usize = 16;
/// How long to wait for what a server says about itself.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often a server that tells nothing is asked whether it does by now.
const UNSUPPORTED_FOR: u32 = 20;
/// How long a page of what was modified may take.
const PAGE_PATIENCE: Duration = Duration::from_secs(60);
/// How many ids are noted for each answer that may be kept: a list of groups has several.
const NOTED_FOR_EACH: usize = 2;
/// By how much a server's clock may differ from this host's, and be late.
const OVERLAP: Duration = Duration::from_secs(120);

/// Has the directories note whom lookups see, before anything is kept of that. `is_first`:
/// nothing is kept that counts.
pub(super) fn note_who_is_kept(
    directories: &[Arc<Directory>],
    config: &CacheConfig,
    is_first: bool,
) {
    if matches!(config.mode, CacheMode::Auto | CacheMode::OnDemand) {
        let most = config.max_entries.saturating_mul(NOTED_FOR_EACH);
        for directory in directories {
            directory.note_numbers(most, is_first);
        }
    }
}

/// Hears of the directories' changes for as long as the cache lives and is in use.
/// `is_first`: what was kept before is doubted already.
pub(super) async fn run(
    cache: Weak<Cache>,
    directories: Vec<Arc<Directory>>,
    config: CacheConfig,
    is_first: bool,
) {
    let mut all = JoinSet::new();
    for directory in directories {
        let cache = Weak::clone(&cache);
        all.spawn(async move { watch(&cache, &directory, config, is_first).await });
    }
    while all.join_next().await.is_some() {}
}

async fn watch(
    cache: &Weak<Cache>,
    directory: &Arc<Directory>,
    config: CacheConfig,
    mut is_first: bool,
) {
    let mut pauses = Pauses::default();
    let mut polls = 0;
    let mut known = HashSet::new();
    let mut polled = Instant::now();
    let mut way = Way::default();
    while cache.strong_count() > 0 {
        let mut again = None;
        if polls == 0 && config.push {
            match hear(cache, directory, std::mem::take(&mut is_first), &mut way).await {
                Ok(Ended { why: SubscribeError::Unsupported(why), .. }) => {
                    way.is_asking(&why, config.refresh);
                }
                Ok(ended) => again = Some(ended),
                Err(why) => way.is_asking(why, config.refresh),
            }
        }
        if let Some(ended) = again {
            debug!(%ended, "what is kept is not told of changes any more");
            if let Some(time) = ended.lived {
                pauses.lived(time);
            }
            let wait = pauses.failed(directory.outage().is_some());
            let _ = timeout(wait, outage_ends(directory)).await;
            let is_outage = directory.outage().is_some();
            if !is_asked_meanwhile(&ended, is_outage, polled.elapsed(), config.refresh) {
                continue;
            }
        } else {
            polls = (polls + 1) % UNSUPPORTED_FOR;
            sleep(jittered(config.refresh)).await;
        }
        match poll(cache, directory, config, &mut known).await {
            Ok(()) => {
                // Changes may have come and gone out of sight.
                if polled.elapsed() > config.refresh * 2 + OVERLAP / 2
                    && let Some(cache) = cache.upgrade()
                {
                    cache.let_go(directory, Told::<UserEntry>::anything()).await;
                }
                polled = Instant::now();
            }
            Err(error) => debug!(%error, "what has changed can't be asked for"),
        }
    }
}

/// Whether changes are asked for before it is tried once more to be told: so it never was, while the
/// directory serves others. `since`: when they were asked for last.
fn is_asked_meanwhile(ended: &Ended, is_outage: bool, since: Duration, refresh: Duration) -> bool {
    ended.lived.is_none() && !is_outage && since >= refresh
}

/// How a subscription ended.
struct Ended {
    why: SubscribeError,
    /// How long changes were told, if they were.
    lived: Option<Duration>,
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
    directory: &Arc<Directory>,
    is_first: bool,
    way: &mut Way,
) -> Result<Ended, &'static str> {
    let failed = |error| Ended { why: SubscribeError::Failed(error), lived: None };
    match directory.supports_push(Deadline::after(PATIENCE)).await {
        Ok(true) => {}
        Ok(false) => return Err(TELLS_NOTHING),
        Err(error) => return Ok(failed(error)),
    }
    let cookie = match directory.cookie_of_now(Deadline::after(PATIENCE)).await {
        Ok(Some(cookie)) => cookie,
        Ok(None) => return Err("the server doesn't say where its history stands (contextCSN)"),
        Err(error) => return Ok(failed(error)),
    };
    // Whoever asks later than this is told of nothing older than the cookie.
    let missed = if is_first { Missed::Until(Now::read()) } else { Missed::Anything };
    let (users, from_users) = channel(WAITING);
    let (groups, from_groups) = channel(WAITING);
    let begun = Begun { is_new: !way.is(TOLD), ..Begun::default() };
    let why = tokio::select! {
        why = directory.subscribe_users(Some(cookie.clone()), users) => why,
        why = directory.subscribe_groups(Some(cookie), groups) => why,
        () = take(cache, directory, from_users, &begun, missed) => lost(),
        () = take(cache, directory, from_groups, &begun, missed) => lost(),
    };
    let lived = begun.all.get().map(Instant::elapsed);
    if lived.is_some() {
        way.is_now(TOLD);
    }
    Ok(Ended { why, lived })
}

/// What of a subscription is told as it happens.
#[derive(Default)]
struct Begun {
    maps: AtomicUsize,
    /// Since when both are.
    all: OnceLock<Instant>,
    /// Whether changes were heard of in another way before.
    is_new: bool,
}

fn lost() -> SubscribeError {
    SubscribeError::Failed(LdapError::Protocol("nobody keeps anything any more"))
}

/// Takes what is told. Ends with the cache. `missed`: what may have happened before it begins.
async fn take<T: Heard>(
    cache: &Weak<Cache>,
    directory: &Arc<Directory>,
    mut batches: Receiver<Vec<News<T>>>,
    begun: &Begun,
    missed: Missed,
) {
    while let Some(batch) = batches.recv().await {
        let mut told = Told::default();
        for news in batch {
            match news {
                News::Entry(read) => told.note(read),
                News::Gone(ids) => told.gone.extend(ids),
                // Who isn't there isn't told.
                News::PresentEnds => told.missed = Missed::Anything,
                News::Refreshed => {
                    told.missed = told.missed.max(missed);
                    if begun.maps.fetch_add(1, Ordering::Relaxed) + 1 == MAPS {
                        let _ = begun.all.set(Instant::now());
                        if begun.is_new {
                            info!("{TOLD}");
                        } else {
                            debug!("{TOLD}, again");
                        }
                    }
                }
                News::Present(_) | News::Cookie(_) => {}
            }
        }
        let Some(cache) = cache.upgrade() else { return };
        cache.let_go(directory, told).await;
    }
}

/// Asks what was modified lately, and lets go of what wasn't known to be so.
async fn poll(
    cache: &Weak<Cache>,
    directory: &Arc<Directory>,
    config: CacheConfig,
    known: &mut HashSet<(EntryId, Stamp)>,
) -> Result<(), LdapError> {
    let since = Some(Moment::now().minus(config.refresh * 2 + OVERLAP));
    let mut seen = HashSet::new();
    let (users, from_users) = channel(WAITING);
    let read = directory.read_users(since, PAGE_PATIENCE, users);
    tokio::join!(read, sift(cache, directory, from_users, known, &mut seen)).0?;
    let (groups, from_groups) = channel(WAITING);
    let read = directory.read_groups(since, PAGE_PATIENCE, groups);
    tokio::join!(read, sift(cache, directory, from_groups, known, &mut seen)).0?;
    *known = seen;
    Ok(())
}

async fn sift<T: Heard>(
    cache: &Weak<Cache>,
    directory: &Arc<Directory>,
    mut batches: Receiver<Vec<Read<T>>>,
    known: &HashSet<(EntryId, Stamp)>,
    seen: &mut HashSet<(EntryId, Stamp)>,
) {
    while let Some(batch) = batches.recv().await {
        let mut told = Told::default();
        for read in batch {
            let state = (read.seen.id, read.seen.stamp);
            seen.insert(state);
            if !known.contains(&state) {
                told.note(read);
            }
        }
        let Some(cache) = cache.upgrade() else { return };
        cache.let_go(directory, told).await;
    }
}

impl Cache {
    /// Outdates what is kept of entries of a directory that have changed; everything, where it
    /// isn't known which ones. Doubts what may have changed besides.
    async fn let_go<T: Heard>(&self, directory: &Arc<Directory>, told: Told<T>) {
        if told.is_nothing() {
            return;
        }
        // Who asks from now on doesn't get the answer of a search that began before.
        self.service.forget_searches();
        let Some(table) = self.table().filter(|_| !self.is_stopped()) else {
            return self.vain.clear();
        };
        let directory = Arc::clone(directory);
        let let_go = move |keeper: &mut Keeper| {
            // A replica knows better.
            if keeper.population.is_some() {
                return;
            }
            // From here on nothing is kept of what was seen before, so all that is kept is noted.
            keeper.outdate();
            if let Missed::Until(moment) = told.missed {
                keeper.doubt_what_was_learned(moment);
            }
            match told.numbers(&directory) {
                Some(numbers) if told.changed.is_empty() && numbers.is_empty() => {}
                Some(numbers) => T::doubt(keeper, &told.changed, &numbers),
                None => {
                    directory.forget_numbers();
                    // What was seen and noted before that is noted no more.
                    keeper.outdate();
                    if told.missed == Missed::Anything {
                        keeper.doubt_everything();
                    } else {
                        // Who is gone, or was changed, may be anybody.
                        keeper.outdate_everything();
                    }
                    if !told.changed.is_empty() {
                        T::doubt(keeper, &told.changed, &[]);
                    }
                }
            }
        };
        table.run(let_go).await;
        // After the table: who finds a new user by name finds the user by uid as well.
        self.vain.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_a_subscription_never_lives_changes_are_asked_for_as_often_as_elsewhere() {
        let ended = |lived| Ended { why: SubscribeError::RefreshRequired, lived };
        let refresh = Duration::from_secs(30);
        assert!(is_asked_meanwhile(&ended(None), false, refresh, refresh));
        assert!(!is_asked_meanwhile(&ended(None), false, refresh / 2, refresh));
        assert!(!is_asked_meanwhile(&ended(None), true, refresh, refresh), "nobody answers");
        let lived = ended(Some(Duration::ZERO));
        assert!(!is_asked_meanwhile(&lived, false, refresh, refresh), "it is told soon");
    }
}

//! Hears of a directory's changes as they happen (RFC 4533).
//!
//! ```text
//!   server ──news──▶ subscription ──batches──▶ Population ──dirty keys──▶ one change of the table
//! ```
//!
//! Each map has a subscription of its own, and they live and end together. What is told is taken
//! into the population and published at once, by one piece of work of the table's thread, so a single
//! change is seen as soon as it was told. While that work goes on, more news gather, and are
//! the next piece: a burst of thousands of changes is a few publications. What
//! belongs to a refresh is published at its end: see `population/news.rs`.

use std::sync::atomic::{AtomicBool, Ordering};

use common::directory::subscribe::{Cookie, News, SubscribeError};
use common::directory::sync::{GroupEntry, UserEntry};
use common::protocol::Map;
use tokio::sync::Notify;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::population::{Kind, NewsError};
use super::publish::{self, Home};
use super::trouble::Trouble;
use super::{Context, Failed, Population};
use crate::daemon::table::wall;

/// How many batches may wait while the one before is published.
const WAITING: usize = 64;
/// At most so many news are one publication.
const AT_ONCE: usize = 10_000;

/// Why nothing more is told.
#[derive(Debug, thiserror::Error)]
pub(super) enum Broken {
    /// Somebody wants everything looked at again.
    #[error("everything is wanted anew")]
    Asked,
    /// It is time to look whether the server has told everything.
    #[error("it is looked who is there")]
    Due,
    /// The server doesn't do this, or not for this host; why.
    #[error("{0}")]
    Unsupported(String),
    /// Everything has to be read again, for this reason.
    #[error("{0}")]
    Useless(String),
    /// Something failed that has nothing to do with subscriptions.
    #[error("{0}")]
    Failed(#[from] Failed),
}

impl From<SubscribeError> for Broken {
    fn from(error: SubscribeError) -> Self {
        match error {
            SubscribeError::Unsupported(why) => Self::Unsupported(why),
            SubscribeError::RefreshRequired => Self::Useless(error.to_string()),
            SubscribeError::Failed(error) => {
                let why = Failed::Directory(error);
                match Trouble::of(&why) {
                    Trouble::Outage => Self::Failed(why),
                    _ => Self::Useless(why.to_string()),
                }
            }
        }
    }
}

/// What a server tells of both maps of a directory.
#[derive(Debug)]
pub(super) struct Subscription<'a> {
    context: &'a Context,
    number: u16,
    home: &'a Home,
    users: AtomicBool,
    groups: AtomicBool,
    refresh: Notify,
}

/// Has the server tell what has happened since the cookies, and no more.
pub(super) async fn catch_up(context: &Context, number: u16, home: &Home) -> Result<(), Broken> {
    let subscription = Subscription::new(context, number, home);
    let caught_up = tokio::select! {
        broken = subscription.hear() => Err(broken),
        () = subscription.refreshed() => Ok(()),
    };
    subscription.end().await?;
    caught_up
}

impl<'a> Subscription<'a> {
    /// Hears nothing yet.
    pub(super) fn new(context: &'a Context, number: u16, home: &'a Home) -> Self {
        let (users, groups, refresh) = <(AtomicBool, AtomicBool, Notify)>::default();
        Self { context, number, home, users, groups, refresh }
    }

    /// Hears of both maps until that ends. [`Subscription::end`] must follow, also when
    /// this is dropped.
    pub(super) async fn hear(&self) -> Broken {
        let Some(directory) = self.context.directories.get(usize::from(self.number)) else {
            return Failed::Lost.into();
        };
        let users = self.hear_of::<UserEntry, _>(&self.users, |cookie, to| {
            directory.subscribe_users(cookie, to)
        });
        let groups = self.hear_of::<GroupEntry, _>(&self.groups, |cookie, to| {
            directory.subscribe_groups(cookie, to)
        });
        tokio::select! {
            broken = users => broken,
            broken = groups => broken,
        }
    }

    /// Waits until both maps are as the server has them.
    pub(super) async fn refreshed(&self) {
        while !(self.users.load(Ordering::Acquire) && self.groups.load(Ordering::Acquire)) {
            self.refresh.notified().await;
        }
    }

    /// Shows what came until now, even if it isn't all.
    pub(super) async fn end(&self) -> Result<(), Failed> {
        let number = self.number;
        let end = move |population: &mut Population| {
            population.end_to_hear(Map::Users, number);
            population.end_to_hear(Map::Groups, number);
        };
        publish::apply(&self.context.table, self.home, end).await
    }

    async fn hear_of<E, S>(
        &self,
        refreshed: &AtomicBool,
        subscribe: impl FnOnce(Option<Cookie>, Sender<Vec<News<E>>>) -> S,
    ) -> Broken
    where
        E: Kind + Send + 'static,
        S: Future<Output = SubscribeError>,
    {
        let number = self.number;
        let begin = move |population: &mut Population| population.begin_to_hear(E::MAP, number);
        let cookie = match self.home.work(&self.context.table, begin).await {
            Ok(cookie) => cookie,
            Err(why) => return why.into(),
        };
        let (to, batches) = channel(WAITING);
        let told = std::pin::pin!(subscribe(cookie, to));
        let mut taken = std::pin::pin!(self.take(batches, refreshed));
        tokio::select! {
            biased;
            why = &mut taken => match why {
                Ok(()) => Failed::Lost.into(),
                Err(broken) => broken,
            },
            // What was told before is true.
            why = told => match taken.await {
                Ok(()) => why.into(),
                Err(broken) => broken,
            },
        }
    }

    /// Takes news in as they come, until there are no more.
    async fn take<E: Kind + Send + 'static>(
        &self,
        mut batches: Receiver<Vec<News<E>>>,
        refreshed: &AtomicBool,
    ) -> Result<(), Broken> {
        while let Some(mut news) = batches.recv().await {
            while news.len() < AT_ONCE
                && let Ok(more) = batches.try_recv()
            {
                news.extend(more);
            }
            self.context.state.loaded(news.len());
            let number = self.number;
            let hear = move |population: &mut Population| {
                let before = population.changes();
                let heard = population.hear(number, news);
                // What was announced counts as if it had come.
                let entries = population.entries() + population.promised();
                (heard, entries, population.changes() != before)
            };
            let heard = publish::apply(&self.context.table, self.home, hear).await?;
            let (heard, entries, is_new) = heard;
            if is_new {
                self.context.state.follows(number, |following| following.newest = wall());
            }
            match heard {
                Err(NewsError::Unknown) => {
                    let why = "the server tells of entries that aren't known";
                    return Err(Broken::Useless(why.into()));
                }
                Err(NewsError::Vanished(balance)) => {
                    return Err(Failed::vanished(E::MAP, balance).into());
                }
                Ok(true) if !refreshed.swap(true, Ordering::AcqRel) => self.refresh.notify_one(),
                Ok(_) => {}
            }
            if entries > self.context.most() {
                return Err(Failed::TooMany(self.context.most()).into());
            }
        }
        Ok(())
    }
}

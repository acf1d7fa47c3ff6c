//! Is told of a directory's changes, again and again.
//!
//! **Looking after.** A subscription goes on where the one before ended, and relies on the server
//! to know what happened in between. Not every server does: a slapd that crashed has forgotten which
//! entries were deleted last, and one that was set back doesn't know what it once told. So some time
//! after each new beginning the ids of all entries are compared with those that are known. If
//! somebody is gone of whom nothing was told, everything is read once.
//!
//! **Complete.** While a subscription lives, what isn't in the table isn't in the directory: the
//! server would have told. That it lives is for the subscription to see to, which
//! notices a server that has fallen silent.

use std::sync::Arc;
use std::time::{Duration, Instant};

use common::protocol::{Map, Way};
use tracing::{debug, info};

use super::super::Failed;
use super::super::publish::Home;
use super::super::push::{Broken, Subscription};
use super::Follower;
use crate::daemon::pause::{drawn, half_drawn, jittered};

/// How often it is said that a subscription lives.
const TICK: Duration = Duration::from_secs(5);
/// For how long the table is complete after that.
const ALIVE_FOR: Duration = Duration::from_secs(30);
/// How often it is tried again with one that says so and doesn't.
const REFUSED_FOR: Duration = Duration::from_secs(3600);
/// Within so many times `cache.refresh` after a new beginning it is looked whether all was told.
const LOOK_AFTER: u32 = 4;

impl Follower {
    /// Something may have been missed.
    pub(super) fn look_soon(&mut self) {
        let soon = drawn(self.context.cache.refresh * LOOK_AFTER);
        self.look.get_or_insert(Instant::now() + soon);
    }

    /// Is told of changes, until the directory has to be polled.
    pub(super) async fn push(&mut self) -> Result<(), Failed> {
        let mut in_vain = false;
        loop {
            let asked = self.context.state.asked();
            if asked.everything != self.done.everything {
                self.reload().await?;
            }
            self.done = asked;
            let (broken, lived) = self.listen().await?;
            if let Some(time) = lived {
                in_vain = false;
                self.pauses.lived(time);
            }
            if !matches!(broken, Broken::Asked | Broken::Due) {
                self.look_soon();
            }
            let (why, lasts) = match broken {
                Broken::Due => {
                    self.look = None;
                    if self.is_anybody_gone().await? {
                        let base = self.base();
                        info!("everything below {base:?} is read again: deletions weren't told");
                        self.reload().await?;
                    }
                    continue;
                }
                Broken::Asked => {
                    // Who wants everything read doesn't say that anything is wrong.
                    if self.context.state.asked().again != self.done.again {
                        self.out_of_step().await;
                    }
                    continue;
                }
                Broken::Failed(why @ Failed::Directory(_)) => {
                    self.failed(&why).await;
                    let wait = half_drawn(self.pauses.outage.next());
                    self.wait_for_a_server(wait).await;
                    continue;
                }
                // Where it ended it can begin again; whether it does shows then.
                Broken::Useless(why) if lived.is_some() => {
                    info!("the server has ended a subscription below {:?}: {why}", self.base());
                    self.out_of_step().await;
                    let wait = half_drawn(self.pauses.ended.next());
                    self.context.state.wait(wait, self.done).await;
                    continue;
                }
                Broken::Useless(why) if !in_vain => {
                    info!("everything below {:?} is read again: {why}", self.base());
                    in_vain = true;
                    self.out_of_step().await;
                    let wait = drawn(self.pauses.reload.next());
                    self.context.state.wait(wait, self.done).await;
                    self.reload().await?;
                    continue;
                }
                Broken::Failed(why @ Failed::Vanished { map, .. }) => {
                    self.readings.has_vanished(map, self.context.state.asked().everything);
                    self.failed(&why).await;
                    (why.to_string(), self.pauses.vanished.next())
                }
                Broken::Failed(why) => return Err(why),
                Broken::Unsupported(why) | Broken::Useless(why) => (why, REFUSED_FOR),
            };
            self.readings.doubt();
            self.polled = Some((why, Instant::now() + jittered(lasts)));
            return Ok(());
        }
    }

    /// Hears of changes until that ends: for which reason, and for how long it was in step,
    /// if it was.
    async fn listen(&mut self) -> Result<(Broken, Option<Duration>), Failed> {
        let (context, home) = (Arc::clone(&self.context), Home::Installed);
        let subscription = Subscription::new(&context, self.number, &home);
        let (mut in_step, look) = (None, self.look);
        let broken = {
            let mut heard = std::pin::pin!(subscription.hear());
            let mut tick = tokio::time::interval(TICK);
            loop {
                tokio::select! {
                    broken = &mut heard => break broken,
                    () = context.state.more_than(self.done) => break Broken::Asked,
                    () = until(look), if in_step.is_some() => break Broken::Due,
                    () = subscription.refreshed(), if in_step.is_none() => {
                        in_step = Some(Instant::now());
                        self.choose(Way::Push, None);
                        tick.reset_immediately();
                    }
                    _ = tick.tick(), if in_step.is_some() => {
                        if let Err(why) = self.worked(ALIVE_FOR).await {
                            break why.into();
                        }
                        self.context.state.done(self.number, self.done);
                    }
                }
            }
        };
        subscription.end().await?;
        Ok((broken, in_step.map(|since: Instant| since.elapsed())))
    }

    /// Whether somebody is gone of whom nothing was told. If that can't be looked at now, it is
    /// when the subscription has ended again.
    async fn is_anybody_gone(&self) -> Result<bool, Failed> {
        let (context, home) = (Arc::clone(&self.context), Home::Installed);
        for map in [Map::Users, Map::Groups] {
            let source = context.source(self.number, map, &home).ok_or(Failed::Lost)?;
            match source.is_anybody_gone().await {
                Ok(false) => {}
                Err(Failed::Directory(error)) => {
                    debug!(%error, "it can't be looked who is there");
                    return Ok(false);
                }
                gone => return gone,
            }
        }
        Ok(false)
    }
}

/// Waits until then; without a time, for ever.
async fn until(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time.into()).await,
        None => std::future::pending().await,
    }
}

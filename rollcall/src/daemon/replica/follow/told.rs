//! Is told of a directory's changes, again and again.
//!
//! **Looking after.** A subscription goes on where the one before ended, and relies on the server
//! to know what happened in between. Not every server does: a slapd that crashed has forgotten which
//! entries were deleted last, and one that was set back doesn't know what it once told. So some time
//! after each new beginning, and after a suspension, the ids of all entries are compared with those
//! that are known. If somebody is gone of whom nothing was told, everything is read once. However
//! often it begins anew, that is no more work for the server than polls are (`poll.rs`).
//!
//! **Complete.** While a subscription lives, what isn't in the table isn't in the directory: the
//! server would have told. That it lives is for the subscription to see to, which
//! notices a server that has fallen silent.

use std::sync::Arc;
use std::time::{Duration, Instant};

use common::protocol::{Map, Way};
use tracing::{debug, info};

use super::super::Failed;
use super::super::poll::longest_pause;
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
        self.look_after(drawn(self.context.cache.refresh * LOOK_AFTER));
    }

    fn look_after(&mut self, wait: Duration) {
        let rest = self.readings.rest(longest_pause(self.context.cache.refresh));
        self.look.get_or_insert(Instant::now() + wait.max(rest));
    }

    /// Is told of changes, until the directory has to be polled.
    pub(super) async fn push(&mut self) -> Result<(), Failed> {
        let mut in_vain = false;
        loop {
            let asked = self.context.state.asked();
            // Also if that came while this waited for a server.
            if asked.again != self.done.again {
                self.look_soon();
            }
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
                    if self.failed(&why).await {
                        return Err(why);
                    }
                    let wait = self.pauses.failed(self.is_outage());
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
    /// some time later.
    async fn is_anybody_gone(&mut self) -> Result<bool, Failed> {
        let started = Instant::now();
        let gone = self.compare_ids().await;
        self.has_looked(started, gone)
    }

    fn has_looked(&mut self, started: Instant, gone: Result<bool, Failed>) -> Result<bool, Failed> {
        self.readings.have_looked(started);
        if let Err(Failed::Directory(error)) = gone {
            debug!(%error, "it can't be looked who is there");
            let wait = half_drawn(self.pauses.look.next());
            self.look_after(wait);
            return Ok(false);
        }
        gone
    }

    async fn compare_ids(&self) -> Result<bool, Failed> {
        let (context, home) = (Arc::clone(&self.context), Home::Installed);
        for map in [Map::Users, Map::Groups] {
            let source = context.source(self.number, map, &home).ok_or(Failed::Lost)?;
            if source.is_anybody_gone().await? {
                return Ok(true);
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use common::config::{CacheConfig, CacheMode};
    use common::ldap::LdapError;

    use super::super::super::poll::DirectoryReadings;
    use super::super::super::publish::Standing;
    use super::super::super::{Context, State};
    use super::*;
    use crate::daemon::table::{Files, Keeper, TableThread};

    /// A follower of a directory that isn't there.
    fn follower() -> Follower {
        let second = Duration::from_secs(1);
        let cache = CacheConfig {
            mode: CacheMode::Replica,
            push: true,
            refresh: second,
            lifetime: second,
            negative_lifetime: second,
            max_replica: 1,
            max_entries: 1,
            max_stale: second,
        };
        let nowhere = Path::new("/nonexistent");
        let keeper = Keeper::new(Files::beside(&nowhere.join("socket"), nowhere));
        let table = TableThread::start(keeper).unwrap();
        let (state, standing) = (Arc::new(State::default()), Arc::new(Standing::new(0)));
        let context = Context { directories: Vec::new(), cache, table, state, standing };
        let readings = DirectoryReadings::default();
        let done = context.state.asked();
        Follower::new(Arc::new(context), 0, readings, done)
    }

    #[tokio::test]
    async fn after_a_suspension_it_is_looked_who_is_there() {
        let mut follower = follower();
        assert!(follower.look.is_none());
        follower.context.state.look_again();
        follower.push().await.unwrap_err();
        assert!(follower.look.is_some());
    }

    #[tokio::test]
    async fn a_look_that_failed_is_taken_again() {
        let mut follower = follower();
        let failed = Err(Failed::Directory(LdapError::TimedOut));
        assert!(!follower.has_looked(Instant::now(), failed).unwrap());
        assert!(follower.look.is_some());
    }
}

//! Keeps in step with one directory: it is told of changes, or asks for them.
//!
//! Being told (`push.rs`) is the way of choice. Where that can't be had, the directory is polled
//! (`poll.rs`), and now and then it is tried again. The log says which way is taken, and why,
//! whenever that changes; so does `rollcall status`.
//!
//! | the subscription ends because | then |
//! |---|---|
//! | the connection or the server is gone, or it ends what was in step | what isn't known must be asked for; it begins again where it ended, as soon as there is a server |
//! | its cookie is of no use, or nothing fits | everything is read once, and it begins again from there |
//! | the same happens again before it was in step | polling |
//! | the server refuses it | polling |
//! | most entries are gone | polling, until that is believed or not so any more |
//!
//! **Complete.** While a subscription lives, what isn't in the table isn't in the directory: the
//! server would have told. That it lives is for the subscription to see to, which
//! notices a server that has fallen silent.

use std::sync::Arc;
use std::time::{Duration, Instant};

use common::deadline::Deadline;
use common::protocol::{Map, Way};
use tracing::{info, warn};

use super::pause::{Pauses, drawn, half_drawn};
use super::poll::{DirectoryReadings, Extent};
use super::publish::{self, Home};
use super::push::{Broken, Subscription};
use super::state::Asked;
use super::trouble::Trouble;
use super::{Context, Failed, Population, jittered, read_directory};
use crate::daemon::table::wall;

/// After a failure the next try is due after this long, and then after twice as long each time,
/// up to [`LONGEST_WAIT`].
pub(super) const FIRST_WAIT: Duration = Duration::from_secs(1);
/// A directory is tried again at least this often.
pub(super) const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// But not so often if everything has to be read that can't be, or if it is the table that
/// can't be made: the server does its part each time.
pub(super) const DEAR_WAIT: Duration = Duration::from_secs(600);
/// How often it is said that a subscription lives.
const TICK: Duration = Duration::from_secs(5);
/// For how long the table is complete after that.
const ALIVE_FOR: Duration = Duration::from_secs(30);
/// How long to wait for what the server says it can do.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often a server that tells nothing is asked whether it does so by now.
const UNSUPPORTED_FOR: Duration = Duration::from_secs(600);
/// How often it is tried again with one that says so and doesn't.
const REFUSED_FOR: Duration = Duration::from_secs(3600);
/// How often to look whether an outage is over.
const GLANCE: Duration = Duration::from_millis(100);
/// Over how long the hosts spread when it is.
const COMING_BACK: Duration = Duration::from_secs(1);
/// Why a directory is polled of which most was gone when this began.
const MOST_IS_GONE: &str = "most entries are gone from the directory";

/// One who keeps in step with a directory.
pub(super) struct Follower {
    context: Arc<Context>,
    number: u16,
    readings: DirectoryReadings,
    /// What was asked for and is done.
    done: Asked,
    /// What the log has said about failures.
    told: Option<Trouble>,
    /// When this worked the last time, or when it began.
    worked: Instant,
    /// Why changes are polled for, if they are, and how long that is so.
    polled: Option<(String, Instant)>,
    way: Option<(Way, Option<String>)>,
    pauses: Pauses,
}

impl Follower {
    /// Goes on from what was read.
    pub(super) fn new(
        context: Arc<Context>,
        number: u16,
        readings: DirectoryReadings,
        done: Asked,
    ) -> Self {
        let worked = Instant::now();
        let (told, way, pauses) = Default::default();
        let polled = readings.is_vanished().then(|| (MOST_IS_GONE.into(), worked));
        Self { context, number, readings, done, told, worked, polled, way, pauses }
    }

    /// Keeps in step, until everything has to be begun again.
    pub(super) async fn run(mut self) -> Failed {
        let mut wait = jittered(self.context.cache.refresh);
        loop {
            let followed = match self.why_polled().await {
                None => self.push().await,
                Some(why) => {
                    self.choose(Way::Polling, Some(why));
                    self.poll(wait).await
                }
            };
            if let Err(why) = followed {
                return why;
            }
            wait = Duration::ZERO;
        }
    }

    /// Why the directory has to be polled; `None`: it doesn't.
    async fn why_polled(&mut self) -> Option<String> {
        if !self.context.cache.push {
            return Some("cache.push = false".into());
        }
        if let Some((why, until)) = &self.polled
            && (Instant::now() < *until || self.readings.is_vanished())
        {
            return Some(why.clone());
        }
        let directory = self.context.directories.get(usize::from(self.number))?;
        match directory.supports_push(Deadline::after(PATIENCE)).await {
            Ok(true) => self.polled = None,
            Ok(false) => {
                let why = "the server doesn't tell changes (RFC 4533; OpenLDAP: syncprov)";
                self.polled = Some((why.into(), Instant::now() + jittered(UNSUPPORTED_FOR)));
            }
            // Whatever it is, the way that was taken will find out.
            Err(_) => {
                if let Some((_, until)) = &mut self.polled {
                    *until = Instant::now() + jittered(LONGEST_WAIT);
                }
            }
        }
        self.polled.as_ref().map(|(why, _)| why.clone())
    }

    /// Takes note of the way in which changes are heard of, and tells if it is another one.
    fn choose(&mut self, way: Way, why: Option<String>) {
        let chosen = Some((way, why.clone()));
        if self.way == chosen {
            return;
        }
        self.way = chosen;
        let base = self.base();
        match (way, &why) {
            (Way::Push, _) => info!("the server tells of changes below {base:?} as they happen"),
            (Way::Polling, why) => info!(
                "changes below {base:?} are asked for every {} s: {}",
                self.context.cache.refresh.as_secs(),
                why.as_deref().unwrap_or_default()
            ),
        }
        self.context.state.follows(self.number, |following| {
            (following.base, following.way, following.why) = (base, way, why);
        });
    }

    fn base(&self) -> String {
        let directory = self.context.directories.get(usize::from(self.number));
        directory.and_then(|directory| directory.known_base()).unwrap_or_default().into()
    }

    /// Is told of changes, until the directory has to be polled.
    async fn push(&mut self) -> Result<(), Failed> {
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
            let (why, lasts) = match broken {
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
        let mut in_step = None;
        let broken = {
            let mut heard = std::pin::pin!(subscription.hear());
            let mut tick = tokio::time::interval(TICK);
            loop {
                tokio::select! {
                    broken = &mut heard => break broken,
                    () = context.state.more_than(self.done) => break Broken::Asked,
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

    /// Reads everything, until that has worked.
    async fn reload(&mut self) -> Result<(), Failed> {
        let mut backoff = FIRST_WAIT;
        loop {
            let asked = self.context.state.asked();
            let read = self.read(Extent::Everything).await;
            self.done = asked;
            let done = match read {
                Ok(_) => self.worked(publish::complete_for(self.context.cache.refresh)).await,
                Err(why @ (Failed::TooMany(_) | Failed::Lost)) => Err(why),
                Err(why) if self.failed(&why).await => Err(why),
                Err(why) => {
                    self.context.state.done(self.number, asked);
                    let outage = Trouble::of(&why) == Trouble::Outage;
                    backoff = (backoff * 2).min(if outage { LONGEST_WAIT } else { DEAR_WAIT });
                    self.wait_for_a_server(jittered(backoff)).await;
                    continue;
                }
            };
            self.context.state.done(self.number, asked);
            return done;
        }
    }

    /// Polls, until it can be tried to be told. The first poll is due after this long.
    async fn poll(&mut self, mut wait: Duration) -> Result<(), Failed> {
        let refresh = self.context.cache.refresh;
        let mut backoff = FIRST_WAIT;
        loop {
            self.context.state.wait(wait, self.done).await;
            let asked = self.context.state.asked();
            let extent = if asked == self.done { Extent::Changes } else { Extent::Everything };
            self.done = asked;
            match self.read(extent).await {
                Ok(looked) => {
                    if looked {
                        self.worked(publish::complete_for(refresh)).await?;
                    }
                    self.context.state.done(self.number, asked);
                    (wait, backoff) = (jittered(refresh), FIRST_WAIT);
                    let is_over = |(_, until): &(_, Instant)| *until <= Instant::now();
                    if self.polled.as_ref().is_some_and(is_over) && !self.readings.is_vanished() {
                        return Ok(());
                    }
                }
                Err(why @ (Failed::TooMany(_) | Failed::Lost)) => return Err(why),
                Err(why) => {
                    let let_go = self.failed(&why).await;
                    self.context.state.done(self.number, asked);
                    if let_go {
                        return Err(why);
                    }
                    wait = jittered(backoff.min(refresh));
                    backoff = (backoff * 2).min(LONGEST_WAIT);
                }
            }
        }
    }

    /// Reads the directory and publishes what was found. Whether it was looked at.
    async fn read(&mut self, extent: Extent) -> Result<bool, Failed> {
        let (context, home, number) = (Arc::clone(&self.context), Home::Installed, self.number);
        let begin = move |population: &mut Population| {
            if extent == Extent::Everything {
                population.hold(Map::Users, number);
                population.hold(Map::Groups, number);
            }
            population.changes()
        };
        let before = home.work(&context.table, begin).await?;
        let source = |map| context.source(number, map, &home);
        let read = read_directory(source, &mut self.readings, extent).await;
        // What was read is true, even if it isn't all.
        let end = move |population: &mut Population| {
            population.end_to_hear(Map::Users, number);
            population.end_to_hear(Map::Groups, number);
            population.changes() != before
        };
        if publish::apply(&context.table, &home, end).await? {
            context.state.follows(number, |following| following.newest = wall());
        }
        read
    }

    /// It is in step: what isn't in the table isn't in this directory for a while.
    async fn worked(&mut self, length: Duration) -> Result<(), Failed> {
        let Context { table, standing, state, .. } = &*self.context;
        if let Some(counts) = standing.in_step(table, self.number, length).await? {
            state.in_step(counts);
        }
        self.worked = Instant::now();
        if self.told.take().is_some() {
            info!("the copy of the directory is in step again");
        }
        Ok(())
    }

    async fn out_of_step(&self) {
        self.context.standing.out_of_step(&self.context.table, self.number).await;
    }

    /// It failed: from now on the directory is asked for what isn't in the table. Whether
    /// the replica was let go of, so that it is asked for everything.
    async fn failed(&mut self, why: &Failed) -> bool {
        let trouble = Trouble::of(why);
        self.context.state.failing(why.to_string());
        self.out_of_step().await;
        if self.told.replace(trouble) != Some(trouble) {
            let advice = trouble.advice();
            warn!("the copy of the directory can't be brought up to date: {why}{advice}");
        }
        let was_complete = publish::complete_for(self.context.cache.refresh);
        let let_go = trouble == Trouble::Unreadable && self.worked.elapsed() >= was_complete;
        if let_go {
            publish::let_go(&self.context.table).await;
        }
        let_go
    }

    /// Waits this long, or until more is asked, or until an outage is over.
    async fn wait_for_a_server(&self, wait: Duration) {
        let answers_again = async {
            let Some(directory) = self.context.directories.get(usize::from(self.number)) else {
                return;
            };
            let mut was_out = false;
            loop {
                let is_out = directory.outage().is_some();
                if was_out && !is_out {
                    return tokio::time::sleep(drawn(COMING_BACK)).await;
                }
                was_out |= is_out;
                tokio::time::sleep(GLANCE).await;
            }
        };
        tokio::select! {
            () = self.context.state.wait(wait, self.done) => {}
            () = answers_again => {}
        }
    }
}

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
//! `follow/told.rs` does what the table says, and `pause.rs` says how long to wait.

mod told;

use std::sync::Arc;
use std::time::{Duration, Instant};

use common::deadline::Deadline;
use common::directory::subscribe::TELLS_NOTHING;
use common::protocol::{Map, Way};
use tracing::{info, warn};

use super::poll::{DirectoryReadings, Extent};
use super::publish::{self, Home};
use super::state::Asked;
use super::trouble::Trouble;
use super::{Context, Failed, Population, read_directory};
use crate::daemon::pause::{DEAR_WAIT, FIRST_WAIT, LONGEST_WAIT, Pauses, jittered, outage_ends};
use crate::daemon::table::wall;

/// How long to wait for what the server says it can do.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often a server that tells nothing is asked whether it does so by now.
const UNSUPPORTED_FOR: Duration = Duration::from_secs(600);
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
    /// When to look whether the server has told everything, if that is to be looked at.
    look: Option<Instant>,
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
        let look = readings.is_doubted();
        let mut follower =
            Self { context, number, readings, done, told, worked, polled, way, pauses, look: None };
        if look {
            follower.look_soon();
        }
        follower
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
                let until = Instant::now() + jittered(UNSUPPORTED_FOR);
                self.polled = Some((TELLS_NOTHING.into(), until));
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

    /// Reads everything, until that has worked.
    async fn reload(&mut self) -> Result<(), Failed> {
        let mut backoff = FIRST_WAIT;
        self.look = None;
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
            let was_vanished = self.readings.is_vanished();
            match self.read(extent).await {
                Ok(looked) => {
                    if looked {
                        self.worked(publish::complete_for(refresh)).await?;
                    }
                    self.context.state.done(self.number, asked);
                    (wait, backoff) = (jittered(refresh), FIRST_WAIT);
                    if self.readings.is_vanished() {
                        continue;
                    }
                    let is_over = |(_, until): &(_, Instant)| *until <= Instant::now();
                    if was_vanished {
                        // It is believed by now, or isn't so any more.
                        self.polled = None;
                        return Ok(());
                    }
                    if self.polled.as_ref().is_some_and(is_over) {
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
        let was_complete = publish::complete_for(self.context.cache.refresh);
        let is_over = self.worked.elapsed() >= was_complete;
        let trouble = Trouble::of(why).seen(why, self.is_outage(), is_over);
        self.context.state.failing(why.to_string());
        self.out_of_step().await;
        if self.told.replace(trouble) != Some(trouble) {
            let advice = trouble.advice();
            warn!("the copy of the directory can't be brought up to date: {why}{advice}");
        }
        let let_go = trouble == Trouble::Unreadable && is_over;
        if let_go {
            publish::let_go(&self.context.table).await;
        }
        let_go
    }

    fn is_outage(&self) -> bool {
        let directory = self.context.directories.get(usize::from(self.number));
        directory.is_some_and(|directory| directory.outage().is_some())
    }

    /// Waits this long, or until more is asked, or until an outage is over.
    async fn wait_for_a_server(&self, wait: Duration) {
        let Some(directory) = self.context.directories.get(usize::from(self.number)) else {
            return;
        };
        tokio::select! {
            () = self.context.state.wait(wait, self.done) => {}
            () = outage_ends(directory) => {}
        }
    }
}

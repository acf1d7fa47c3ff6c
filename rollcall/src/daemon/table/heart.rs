//! The heartbeat: what is looked after once a second.
//!
//! Readers believe the table for as long as the daemon has promised to look after it. With
//! each beat the daemon also sees to the file: one that was removed or replaced comes
//! back with the same content; one that was cut short is made anew from nothing,
//! since nobody knows what was in it. A host without room for a table is served
//! without one, and another try is made every minute.
//!
//! A file that is cut short under the daemon's hands would kill it (SIGBUS). Looking at
//! the length first leaves a gap, and neither leases nor seals work on such a file,
//! so the daemon catches that signal and goes on with zeros; see
//! [`survive_cuts_of`](crate::daemon::ffi::survive_cuts_of).

use std::fs;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use common::config::CacheMode;
use common::table::layout::header;
use common::table::writer::{Heartbeat, Room, Writer};
use common::table::{Now, Table};
use tracing::{debug, info, warn};

use super::Keeper;
use crate::daemon::ffi;

/// For how many seconds a beat promises that there will be another one.
const PROMISE: u32 = 5;
/// After so long it is tried again to make a table.
const NEXT_TRY: Duration = Duration::from_secs(60);
/// How old the sealed copy gets at most while there are changes.
const SEAL_AFTER: Duration = Duration::from_secs(300);

/// What the heart remembers between two beats.
#[derive(Debug, Default)]
pub(super) struct Heart {
    /// When it last failed to make a table, since when that was told.
    failed: Option<Instant>,
    /// When the table was sealed, or began, and which change of which memory was its last then.
    sealed: Option<(Instant, Version)>,
    /// Whether it was told that it can't be sealed.
    unsealed: bool,
}

/// Which table it is, and its last change.
type Version = (usize, u64);

impl Keeper {
    /// One beat; see the head of this file.
    pub(in crate::daemon) fn beat(&mut self) {
        let Some(cache) = self.cache.filter(|cache| cache.mode != CacheMode::Off) else { return };
        self.see_to_the_memory();
        if self.writer.is_none() {
            self.try_to_begin();
        }
        self.see_to_the_place();
        let Some(writer) = &mut self.writer else { return };
        let Now(now) = Now::read();
        writer.beat(Heartbeat {
            alive_until: Now(now.saturating_add(PROMISE)),
            complete_until: self.complete_until,
            heard: self.heard,
            max_stale: u32::try_from(cache.max_stale.as_secs()).unwrap_or(u32::MAX),
        });
        self.seal_now_and_then();
    }

    /// Lets go of a table that somebody has written to, or taken pages from.
    pub(in crate::daemon) fn see_to_the_memory(&mut self) {
        let Some(memory) = self.writer.as_ref().map(Writer::memory) else { return };
        let is_cut = ffi::was_cut(memory.words());
        if is_cut || Table::new(memory.words()).is_none() {
            let what = if is_cut { "cut short" } else { "overwritten" };
            warn!("{} was {what} by somebody; it is made anew", self.files.live.display());
            self.give_up();
        }
    }

    /// Makes a table of nothing, unless that failed a moment ago.
    fn try_to_begin(&mut self) {
        if self.heart.failed.is_some_and(|failed| failed.elapsed() < NEXT_TRY) {
            return;
        }
        match begin(&self.files.live) {
            Ok(writer) => {
                if self.heart.failed.take().is_some() {
                    info!("there is a table again");
                }
                self.writer = Some(writer);
            }
            Err(error) => self.has_no_room(&error),
        }
    }

    /// Serves without a table from now on.
    pub(in crate::daemon) fn has_no_room(&mut self, error: &io::Error) {
        if self.heart.failed.replace(Instant::now()).is_none() {
            let file = self.files.live.display();
            warn!("no table at {file}, every lookup comes to the daemon: {error}");
        }
        self.give_up();
    }

    /// Puts the table back into its place.
    fn see_to_the_place(&mut self) {
        let Some(writer) = &mut self.writer else { return };
        if writer.is_in_place() {
            return;
        }
        let bytes = writer.stats().bytes as u64;
        let is_cut = fs::symlink_metadata(&self.files.live).is_ok_and(|file| file.len() < bytes);
        warn!("{} was removed, replaced or cut; it is made anew", self.files.live.display());
        // Which file was cut can't be told any more: the one at the path may be another.
        if is_cut {
            self.give_up();
            self.try_to_begin();
        } else if let Err(error) = writer.rebuild(|_, _, _| true) {
            self.has_no_room(&error);
        }
    }

    fn seal_now_and_then(&mut self) {
        let Some(version) = self.version() else { return };
        match self.heart.sealed {
            None => self.heart.sealed = Some((Instant::now(), (0, 0))),
            Some((when, last)) if when.elapsed() >= SEAL_AFTER && last != version => self.seal(),
            _ => {}
        }
    }

    /// Writes the sealed copy if there is anything new for it.
    pub(in crate::daemon) fn seal(&mut self) {
        let (Some(writer), Some(version)) = (&self.writer, self.version()) else { return };
        if self.heart.sealed.is_some_and(|(_, last)| last == version) {
            return;
        }
        match writer.seal(&self.files.sealed) {
            Ok(()) => {
                self.heart.unsealed = false;
                self.note_origin(&self.files.sealed);
                debug!("the table was copied to {}", self.files.sealed.display());
            }
            Err(error) if !self.heart.unsealed => {
                self.heart.unsealed = true;
                warn!("the table can't be copied to {}: {error}", self.files.sealed.display());
            }
            Err(_) => {}
        }
        self.heart.sealed = Some((Instant::now(), version));
    }

    fn version(&self) -> Option<Version> {
        let memory = self.writer.as_ref()?.memory();
        let change = memory.words().get(header::CHANGE)?;
        let change = change.load(std::sync::atomic::Ordering::Relaxed);
        Some((memory.words().as_ptr().addr(), change))
    }
}

/// A table of nothing, in its place.
fn begin(path: &Path) -> io::Result<Writer> {
    let mut writer = Writer::create(path, Room::default())?;
    writer.publish()?;
    Ok(writer)
}

/// The time in seconds since 1970.
pub(in crate::daemon) fn wall() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

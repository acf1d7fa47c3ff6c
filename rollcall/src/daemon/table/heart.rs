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
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use common::config::{CacheConfig, CacheMode};
use common::table::layout::header;
use common::table::writer::{Heartbeat, Room, Writer};
use common::table::{Now, Table};
use tracing::{debug, info, warn};

use super::Keeper;
use super::begin::{note, origin_of, remove};
use crate::daemon::{ffi, replica};

/// For how many seconds a beat promises that there will be another one.
const PROMISE: u32 = common::table::layout::PROMISE;
/// After so long it is tried again to make a table.
const NEXT_TRY: Duration = Duration::from_secs(60);
/// How old the sealed copy gets at most while there are changes.
const SEAL_AFTER: Duration = Duration::from_secs(300);
/// A suspension that is worth asking the directory again.
const SLEPT: Duration = Duration::from_secs(5);
/// A clock that shows an earlier time than 2020 isn't set.
const CLOCK_IS_SET: u64 = 1_577_836_800;
/// So many free bytes are enough for the others, however large the file system is.
const PLENTY: u64 = 1 << 30;

/// What the heart remembers between two beats.
#[derive(Debug, Default)]
pub(super) struct Heart {
    /// When it last failed to make a table, since when that was told.
    failed: Option<Instant>,
    /// When the table was sealed, or began, and which change of which memory was its last then.
    sealed: Option<(Instant, Version)>,
    /// Whether it was told that it can't be sealed.
    unsealed: bool,
    /// The thread that writes a sealed copy.
    sealing: Option<Sealing>,
    /// For how long the machine had been suspended at the last beat.
    suspended: Option<Duration>,
    /// How often that was noticed.
    sleeps: u64,
}

/// A sealed copy that is being written: a disk may take its time, and the heart has none.
#[derive(Debug)]
struct Sealing {
    thread: JoinHandle<io::Result<()>>,
    /// Set when nobody wants it any more.
    unwanted: Arc<AtomicBool>,
}

/// Which table it is, and its last change.
type Version = (usize, u64);

impl Keeper {
    /// One beat; see the head of this file.
    pub(in crate::daemon) fn beat(&mut self) {
        let Some(cache) = self.cache.filter(|cache| cache.mode != CacheMode::Off) else { return };
        self.heard = no_later_than_now(self.heard);
        self.see_to_the_memory();
        if self.writer.is_none() {
            self.try_to_begin();
        }
        self.see_to_the_place();
        let Some(writer) = &mut self.writer else { return };
        let now = Now::read();
        let is_in_step = self.complete_until > now;
        // A replica's answers never expire: they end here. Others expire by themselves, and do so
        // in their time even where nothing counts in an outage.
        let longest = match self.population {
            Some(_) => cache.max_stale,
            None => cache.max_stale.max(cache.lifetime * 2),
        };
        let is_too_old = wall().saturating_sub(self.heard) > longest.as_secs() && !is_in_step;
        writer.beat(Heartbeat {
            alive_until: if is_too_old { Now(0) } else { Now(now.0.saturating_add(PROMISE)) },
            complete_until: self.complete_until,
            heard: self.heard,
            max_stale: max_stale(&cache),
        });
        self.seal_now_and_then();
    }

    /// Doubts what is known if the machine was suspended since the last time: the times in the
    /// table didn't go on meanwhile, but the directory did. Whether it was.
    pub(in crate::daemon) fn see_to_a_suspension(&mut self) -> bool {
        self.notice_a_suspension(ffi::suspended())
    }

    /// How often the machine was suspended for long. What a replica knew before the last
    /// time says nothing about now.
    pub(in crate::daemon) fn sleeps(&self) -> u64 {
        self.heart.sleeps
    }

    pub(super) fn notice_a_suspension(&mut self, suspended: Duration) -> bool {
        let before = self.heart.suspended.replace(suspended);
        let slept = before.map_or(Duration::ZERO, |before| suspended.saturating_sub(before));
        if slept < SLEPT {
            return false;
        }
        info!("the machine was suspended for {} s: the directory is asked again", slept.as_secs());
        if self.population.is_some() {
            self.complete_until = Now(0);
            self.heart.sleeps += 1;
        } else {
            self.doubt_everything();
        }
        self.beat();
        true
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
                self.note_origin(&self.files.live);
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
        } else {
            self.note_origin(&self.files.live);
        }
    }

    fn seal_now_and_then(&mut self) {
        if self.heart.sealing.as_ref().is_some_and(|sealing| sealing.thread.is_finished()) {
            self.await_the_seal();
        }
        let Some(version) = self.version() else { return };
        match self.heart.sealed {
            None => self.heart.sealed = Some((Instant::now(), (0, 0))),
            Some((when, last)) if when.elapsed() >= SEAL_AFTER && last != version => self.seal(),
            _ => {}
        }
    }

    /// Writes the sealed copy if there is anything new for it, and waits for that. For the end.
    pub(in crate::daemon) fn seal_for_good(&mut self) {
        self.await_the_seal();
        self.seal();
        replica::save_now(self);
        self.await_the_seal();
    }

    /// Has the sealed copy written if there is anything new for it, and none is being written.
    pub(in crate::daemon) fn seal(&mut self) {
        let (Some(writer), Some(version)) = (&self.writer, self.version()) else { return };
        let is_known = self.heart.sealed.is_some_and(|(_, last)| last == version);
        if is_known || self.heart.sealing.is_some() {
            return;
        }
        let (copy, path) = (writer.sealed_copy(), self.files.sealed.clone());
        let (origin, unwanted) = (self.origin.clone(), Arc::new(AtomicBool::new(false)));
        let is_unwanted = Arc::clone(&unwanted);
        let thread = std::thread::Builder::new().name("seal".into()).spawn(move || {
            Writer::place_sealed(&path, &copy)?;
            note(&path, &origin);
            if is_unwanted.load(Ordering::SeqCst) {
                remove(&path);
                remove(&origin_of(&path));
            }
            Ok(())
        });
        match thread {
            Ok(thread) => self.heart.sealing = Some(Sealing { thread, unwanted }),
            Err(error) => self.tell_of_the_seal(&Err(error)),
        }
        self.heart.sealed = Some((Instant::now(), version));
    }

    /// Waits until no sealed copy is being written.
    fn await_the_seal(&mut self) {
        let Some(sealing) = self.heart.sealing.take() else { return };
        let done = sealing.thread.join();
        self.tell_of_the_seal(&done.unwrap_or_else(|_| Err(io::Error::other("it failed"))));
    }

    /// The copy that is being written isn't wanted any more.
    pub(super) fn forget_the_seal(&mut self) {
        if let Some(sealing) = &self.heart.sealing {
            sealing.unwanted.store(true, Ordering::SeqCst);
        }
    }

    fn tell_of_the_seal(&mut self, done: &io::Result<()>) {
        let path = self.files.sealed.display();
        match done {
            Ok(()) => {
                self.heart.unsealed = false;
                debug!("the table was copied to {path}");
            }
            Err(error) if !self.heart.unsealed => {
                self.heart.unsealed = true;
                warn!("the table can't be copied to {path}: {error}");
            }
            Err(_) => {}
        }
    }

    fn version(&self) -> Option<Version> {
        let memory = self.writer.as_ref()?.memory();
        let change = memory.words().get(header::CHANGE)?;
        let change = change.load(Ordering::Relaxed);
        Some((memory.words().as_ptr().addr(), change))
    }
}

/// A table of nothing, in its place.
fn begin(path: &Path) -> io::Result<Writer> {
    leaves_room(path, 0)?;
    let mut writer = Writer::create(path, Room::default())?;
    writer.publish()?;
    Ok(writer)
}

/// Checks that a table of so many bytes more leaves others some of the file system: it is the
/// one of their sockets and locks.
///
/// # Errors
/// When it doesn't.
pub(super) fn leaves_room(path: &Path, bytes: u64) -> io::Result<()> {
    let Some(folder) = path.parent() else { return Ok(()) };
    // Where that can't be told, making the table fails in its own way.
    let Ok(facts) = nix::sys::statvfs::statvfs(folder) else { return Ok(()) };
    let unit = facts.fragment_size();
    let left = (facts.blocks_available() * unit).saturating_sub(bytes);
    let all = facts.blocks() * unit;
    if left < (all / 10).min(PLENTY) {
        let what = "a table would leave less than a tenth of the file system free";
        return Err(io::Error::new(io::ErrorKind::StorageFull, what));
    }
    Ok(())
}

/// For how many seconds answers count in an outage.
pub(super) fn max_stale(cache: &CacheConfig) -> u32 {
    u32::try_from(cache.max_stale.as_secs()).unwrap_or(u32::MAX)
}

/// A time in seconds since 1970, or now if it is one of the future: that would keep
/// answers for as long. As it is while the clock isn't set yet.
pub(in crate::daemon) fn no_later_than_now(time: u64) -> u64 {
    match wall() {
        unset if unset < CLOCK_IS_SET => time,
        now => time.min(now),
    }
}

/// The time in seconds since 1970.
pub(in crate::daemon) fn wall() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

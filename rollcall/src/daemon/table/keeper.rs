//! What the table's thread owns.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use common::config::CacheConfig;
use common::paths;
use common::table::Now;
use common::table::writer::{Memory, Writer};

use super::heart::{Heart, leaves_room};
use crate::daemon::cache::Kept;
use crate::daemon::ffi;
use crate::daemon::replica::Population;

/// Where the table lies.
#[derive(Debug, Clone)]
pub(in crate::daemon) struct Files {
    /// The live table, beside the socket.
    pub(in crate::daemon) live: PathBuf,
    /// The sealed copy.
    pub(in crate::daemon) sealed: PathBuf,
}

impl Files {
    /// Beside this socket, and in that folder. A socket that systemd made without a path
    /// has the table in the usual place.
    pub(in crate::daemon) fn beside(socket: &Path, cache_folder: &Path) -> Self {
        let live = if socket.is_absolute() {
            socket.with_file_name("table")
        } else {
            PathBuf::from(paths::TABLE)
        };
        Self { live, sealed: cache_folder.join("table") }
    }
}

/// What the requests see of the thread's things.
#[derive(Debug, Default)]
pub(super) struct Shown {
    /// Locked only to copy or set what is in it.
    memory: Mutex<Option<Arc<Memory>>>,
    /// How often answers that were under way were made worthless.
    epoch: AtomicU64,
    /// How many keys lead somewhere.
    keys: AtomicU64,
}

impl Shown {
    pub(super) fn memory(&self) -> Option<Arc<Memory>> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    pub(super) fn keys(&self) -> u64 {
        self.keys.load(Ordering::Relaxed)
    }
}

/// The table and what belongs to it.
#[derive(Debug)]
pub(in crate::daemon) struct Keeper {
    /// The table; `None`: there is none, by configuration or for want of room.
    pub(in crate::daemon) writer: Option<Writer>,
    /// Where it lies.
    pub(in crate::daemon) files: Files,
    /// What is kept; `None` before there is a configuration.
    pub(in crate::daemon) cache: Option<CacheConfig>,
    /// Which directories, read in which way, the table is about.
    pub(in crate::daemon) origin: String,
    /// Until when what isn't in the table isn't in the directory. The replica sets
    /// it, after each poll that succeeded; the next beat of the heart writes it.
    /// `Now(0)`: the table isn't complete.
    pub(in crate::daemon) complete_until: Now,
    /// When the directory was last heard of, in seconds since 1970; 0: never.
    pub(in crate::daemon) heard: u64,
    /// What the replica knows about the entries in the table. Belongs to it alone;
    /// `None` whenever the table was begun from nothing. As long as it is there nobody
    /// else writes entries.
    pub(in crate::daemon) population: Option<Population>,
    /// What is known about the entries that were put on demand.
    pub(in crate::daemon) kept: Kept,
    pub(super) heart: Heart,
    pub(super) shown: Arc<Shown>,
}

impl Keeper {
    /// Keeps no table yet.
    pub(in crate::daemon) fn new(files: Files) -> Self {
        Self {
            writer: None,
            files,
            cache: None,
            origin: String::new(),
            complete_until: Now(0),
            heard: 0,
            population: None,
            kept: Kept::default(),
            heart: Heart::default(),
            shown: Arc::default(),
        }
    }

    /// Puts another table in the place of the one that is there.
    ///
    /// # Errors
    /// When the folder can't be written to; then everything is as before.
    pub(in crate::daemon) fn replace(&mut self, mut new: Writer) -> io::Result<()> {
        // It has its blocks already.
        leaves_room(&self.files.live, 0)?;
        new.publish()?;
        self.note_origin(&self.files.live);
        if let Some(mut old) = self.writer.replace(new) {
            old.retire();
        }
        self.kept = Kept::default();
        self.beat();
        Ok(())
    }

    /// Lets go of a table that can't be relied on, and tells its readers. The heart makes
    /// another one.
    pub(in crate::daemon) fn give_up(&mut self) {
        if let Some(mut writer) = self.writer.take() {
            writer.retire();
        }
        self.complete_until = Now(0);
        self.population = None;
        self.kept = Kept::default();
        self.outdate();
    }

    /// Makes the answers worthless that the directory is giving right now: they may be
    /// of before what happens now.
    pub(in crate::daemon) fn outdate(&mut self) {
        self.shown.epoch.fetch_add(1, Ordering::AcqRel);
    }

    /// How often that was done.
    pub(in crate::daemon) fn epoch(&self) -> u64 {
        self.shown.epoch()
    }

    /// Shows the requests the memory that the writer has now.
    pub(super) fn show(&self) {
        let new = self.writer.as_ref().map(Writer::memory);
        let keys = self.writer.as_ref().map_or(0, |writer| writer.stats().keys as u64);
        self.shown.keys.store(keys, Ordering::Relaxed);
        let mut shown = self.shown.memory.lock().unwrap_or_else(PoisonError::into_inner);
        let same = match (&*shown, &new) {
            (Some(old), Some(new)) => Arc::ptr_eq(old, new),
            (None, None) => true,
            _ => false,
        };
        if !same {
            if let Some(memory) = &new {
                ffi::survive_cuts_of(memory.words());
            }
            *shown = new;
        }
    }
}

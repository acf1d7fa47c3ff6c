//! The one mapping of a process, and how it is exchanged.
//!
//! Every lookup of every thread reads the same mapping, and may do so at the very
//! moment in which another thread finds out that the daemon has put another file
//! in its place. Counting the readers would make each of them write, to a word that all
//! threads share. So nobody is counted:
//!
//! * The process has two ranges of addresses (`range`), and `swaps` says
//!   how many times files were exchanged; whether that is even or odd says which
//!   range is live.
//! * Another file is mapped into the range that isn't live. Then `swaps` is raised.
//!   Then zeros take the old file's place, which lets go of it.
//! * A reader notes `swaps`, reads, and looks at `swaps` again. If it was raised in
//!   between, what was read may be zeros, or of another file: it is thrown away, and read
//!   again. A reader who is stopped in the middle for an hour finds memory there when it
//!   goes on, whatever was exchanged meanwhile, since ranges are never given back.
//!   Twice as large a file needs another range; the addresses of the old one stay reserved.
//!
//! **Who exchanges** writes the number of its process into `swapper` first, and
//! only if nobody is there. If somebody is, nobody waits: there is no
//! table then, as far as this lookup goes. Who meets the number of another process there is a child that
//! was forked in the middle of an exchange by another thread, which doesn't exist in
//! the child. The child may take over at any point:
//! the live range is whole at each of them, and what is in the other one is overwritten.
//! (A program that leaves an exchange by `siglongjmp(3)` out of a signal handler keeps what it
//! has mapped, and asks the daemon when that is no longer fresh. So does a child that was forked in
//! the middle of an exchange and has the number of that process: in a namespace of its own.)
//!
//! A child that shares its parent's memory (`vfork(2)`, `CLONE_VM`) may do nothing but execute another program.
//! One that looks somebody up all the same may take over from a thread that is alive. Each of the two
//! may put zeros where the other one has mapped a file. So a reader looks whether what it has
//! read from is a table still, and zeros in the live range are a reason to map the file anew.
//!
//! **When** is decided by the table's heartbeat. When it doesn't beat (the daemon has gone, or
//! has put another file in place), each lookup looks whether another file is there, before
//! it asks the daemon. A file that is gone is let go of then. Where a file can't be mapped, nobody
//! tries again within the same second. While it beats, a process looks once in
//! each [`Moment`]: the heart of a daemon that was killed goes on for some seconds, and
//! its successor's file may be there already. And see [`super::map`] for a file that was cut short.
//! A process that looks nobody up looks at nothing: it keeps the file that it had, of
//! the size of a table, until its next lookup. So on a host whose table is replaced now and then, as
//! many old files take their memory in `/run` as there are such that an idle process has: one for each
//! replacement, and no more than there are processes.
//!
//! **Where** is a path, looked at from inside programs that may have changed their
//! root folder since. Who decides what lies there may be somebody else then, so
//! a table is only mapped under the root folder of this code's first call. What is
//! mapped already goes on answering.

use std::path::Path;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::SystemTime;

use super::clock::{Moment, Now};
use super::heart::Heart;
use super::layout::MAGIC;
use super::map::{self, Identity, MapError, Mapping};
use super::range::{self, Place, Range};
use super::reader::{Table, View, read_before};
use crate::{direct, paths};

/// How many times a lookup reads, where it meets exchanges, or files that were replaced
/// before it had mapped them. A daemon takes far longer to make a table than
/// a lookup to map one: so many in a row are not met.
const TRIES: usize = 8;

/// This host's table, as this process has it.
pub static HOST: Shared = Shared::new(paths::TABLE, paths::SEALED_TABLE);

/// A table, as all threads of this process have it.
#[derive(Debug)]
pub struct Shared {
    live: &'static str,
    sealed: &'static str,
    /// How many times files were exchanged.
    swaps: AtomicU32,
    /// The moment in which the file at the path was last looked at.
    looked: AtomicU32,
    /// The second in which a file could last not be mapped; 0: none.
    failed: AtomicU32,
    places: [Place; 2],
    /// The process that exchanges files right now; 0: none.
    swapper: AtomicU32,
    /// The [`Identity`] of the file that is mapped. Only the swapper's.
    mapped: (AtomicU64, AtomicU64, AtomicUsize),
}

/// What comes of one reading.
enum Reading<T> {
    /// It was read from one file, from beginning to end.
    Done(T),
    /// There is nothing to be read.
    Nothing,
    /// Files were exchanged meanwhile.
    Raced,
}

impl Shared {
    /// The table at these two paths, of which nothing is mapped yet. It is meant to
    /// live as long as the process, as a static does: its ranges are never given back.
    pub const fn new(live: &'static str, sealed: &'static str) -> Self {
        Self {
            live,
            sealed,
            swaps: AtomicU32::new(0),
            looked: AtomicU32::new(0),
            failed: AtomicU32::new(0),
            places: [Place::new(), Place::new()],
            swapper: AtomicU32::new(0),
            mapped: (AtomicU64::new(0), AtomicU64::new(0), AtomicUsize::new(0)),
        }
    }

    /// Reads the table if it is mapped and fresh. Calls nothing but the clock, so it reaches
    /// no cancellation point; what it can't do, [`Shared::with_fresh`] may be able to.
    #[inline]
    pub fn glance<T>(&self, mut read: impl FnMut(View<'_>) -> T) -> Option<T> {
        let (now, moment) = Now::with_moment();
        if moment != Moment(self.looked.load(Ordering::Relaxed)) {
            return None;
        }
        match self.read(|table| table.fresh(now), &mut read) {
            Reading::Done(result) => Some(result),
            Reading::Nothing | Reading::Raced => None,
        }
    }

    /// Reads the table if it is fresh, and maps it first where need be. `read` may be called
    /// more than once; what it says counts only where it is returned.
    pub fn with_fresh<T>(&self, mut read: impl FnMut(View<'_>) -> T) -> Option<T> {
        let (now, moment) = Now::with_moment();
        self.look_at_file(now, moment);
        for _ in 0..TRIES {
            match self.read(|table| table.fresh(now), &mut read) {
                Reading::Done(result) => return Some(result),
                Reading::Nothing if !self.renew(now) => return None,
                Reading::Nothing | Reading::Raced => {}
            }
        }
        None
    }

    /// Reads the table whatever its age, or else the sealed copy: for those who have nobody to
    /// ask. See [`Table::of_any_age`].
    pub fn of_any_age<T>(&self, mut read: impl FnMut(View<'_>) -> T) -> Option<T> {
        // Somebody may have asked the daemon for seconds since the last look.
        let (now, moment) = Now::with_moment();
        self.look_at_file(now, moment);
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs();
        for _ in 0..TRIES {
            match self.read(|table| table.of_any_age(wall), &mut read) {
                Reading::Done(result) => return Some(result),
                Reading::Raced => {}
                Reading::Nothing => break,
            }
        }
        // Another thread is about to map it, or there is no room for ranges; or
        // there is only the sealed copy, which is mapped for each lookup anew: between
        // the start of the machine and that of the daemon, however long that takes.
        [self.live, self.sealed].iter().find_map(|path| {
            let mapping = open(path).ok()?;
            Some(read(mapping.table()?.of_any_age(wall)?))
        })
    }

    /// What the table that is mapped says about its daemon. For those whom
    /// [`Shared::with_fresh`] hasn't answered: it has mapped the newest file.
    pub fn heart(&self) -> Heart {
        let range = self.place(self.swaps.load(Ordering::Acquire)).load();
        let table = range.as_ref().and_then(|range| Table::new(range.words()));
        table.map_or(Heart::Unknown, |table| Heart::of(table, Now::read()))
    }

    /// A mapping of its own of the live file, if it is fresh and complete: for an
    /// enumeration, which goes on in one file to its end.
    pub fn complete(&self) -> Option<Mapping> {
        for _ in 0..TRIES {
            let mapping = open(self.live).ok()?;
            match mapping.table()?.fresh(Now::read()) {
                Some(view) => return view.is_complete().then_some(mapping),
                // Another file took its place just after it was opened.
                None if !mapping.is_at(self.path()) => {}
                None => return None,
            }
        }
        None
    }

    /// The path of the live file.
    pub fn path(&self) -> &Path {
        Path::new(self.live)
    }

    #[inline]
    fn read<T>(
        &self,
        view: impl for<'a> FnOnce(Table<'a>) -> Option<View<'a>>,
        read: &mut impl FnMut(View<'_>) -> T,
    ) -> Reading<T> {
        // Pairs with the release in `exchange`: the range of this number is in place.
        let swaps = self.swaps.load(Ordering::Acquire);
        let Some(range) = self.place(swaps).load() else { return Reading::Nothing };
        let result = Table::new(range.words()).and_then(view).map(read);
        read_before();
        let is_table = |range: Range| {
            range.words().first().is_some_and(|word| word.load(Ordering::Relaxed) == MAGIC)
        };
        match result {
            // Zeros would only be seen after this number was raised.
            _ if self.swaps.load(Ordering::Relaxed) != swaps => Reading::Raced,
            // But for those of a child that shares our memory.
            Some(_) if !is_table(range) => Reading::Raced,
            Some(result) => Reading::Done(result),
            None => Reading::Nothing,
        }
    }

    /// The place of the range that is live after so many exchanges.
    fn place(&self, swaps: u32) -> &Place {
        let [even, odd] = &self.places;
        if swaps.is_multiple_of(2) { even } else { odd }
    }

    /// Looks at the file once a moment: lets go of one that was cut short, and maps one that
    /// has taken its place. The old one says so itself when its daemon put the new one
    /// there, but a daemon that was killed can't tell its readers that it has a successor.
    fn look_at_file(&self, now: Now, moment: Moment) {
        if moment == Moment(self.looked.load(Ordering::Relaxed)) {
            return;
        }
        // If somebody exchanges files right now, that one has looked at them just before.
        let Some(swapper) = Swapper::begin(self) else { return };
        if swapper.mapped() != Identity::NONE
            && let Ok(file) = Identity::at(self.path())
            && file != swapper.mapped()
        {
            if swapper.mapped().was_cut_to(file) {
                swapper.let_go();
            } else if direct::is_same_root() {
                swapper.renew(now);
            }
        }
        // Only now: until then the others don't read on the strength of a look that isn't done.
        self.looked.store(moment.0, Ordering::Relaxed);
    }

    /// Maps the file at the path, if it is another one. Whether it did.
    fn renew(&self, now: Now) -> bool {
        Swapper::begin(self).is_some_and(|swapper| direct::is_same_root() && swapper.renew(now))
    }
}

/// Maps the table at this path, under the root folder of the first call.
fn open(path: &str) -> Result<Mapping, MapError> {
    if direct::is_same_root() { Mapping::open(Path::new(path)) } else { Err(MapError::Absent) }
}

/// The right to exchange files.
struct Swapper<'a>(&'a Shared);

impl<'a> Swapper<'a> {
    /// Takes the right, if nobody of this process has it.
    fn begin(shared: &'a Shared) -> Option<Self> {
        let this = std::process::id();
        let take = |from| {
            shared.swapper.compare_exchange(from, this, Ordering::Acquire, Ordering::Relaxed)
        };
        match take(0) {
            Ok(_) => Some(Self(shared)),
            Err(other) if other != this && take(other).is_ok() => {
                let swapper = Self(shared);
                swapper.clean_up();
                Some(swapper)
            }
            Err(_) => None,
        }
    }

    /// Throws away what another process has left in the middle of an exchange.
    fn clean_up(&self) {
        self.clear(self.swaps().wrapping_add(1));
        // It may be wrong. Knowing none, the file at the path counts as another one.
        self.set_mapped(Identity::NONE);
    }

    fn swaps(&self) -> u32 {
        self.0.swaps.load(Ordering::Relaxed)
    }

    fn mapped(&self) -> Identity {
        let (device, inode, bytes) = &self.0.mapped;
        let bytes = bytes.load(Ordering::Relaxed);
        Identity::from_parts(device.load(Ordering::Relaxed), inode.load(Ordering::Relaxed), bytes)
    }

    fn set_mapped(&self, identity: Identity) {
        let (device, inode, bytes) = identity.parts();
        self.0.mapped.0.store(device, Ordering::Relaxed);
        self.0.mapped.1.store(inode, Ordering::Relaxed);
        self.0.mapped.2.store(bytes, Ordering::Relaxed);
    }

    fn renew(&self, now: Now) -> bool {
        // A daemon answers meanwhile; a filter that forbids it won't change its mind soon.
        if now.0 == self.0.failed.load(Ordering::Relaxed) {
            return false;
        }
        let mapped = self.mapped();
        let path = self.0.path();
        if mapped != Identity::NONE && Identity::at(path) == Ok(mapped) && self.is_table() {
            return false;
        }
        match self.exchange(path) {
            Ok(()) => true,
            // For want of memory or descriptors: better an old table than none.
            Err(MapError::Failed(_)) => {
                self.0.failed.store(now.0, Ordering::Relaxed);
                false
            }
            Err(_) => {
                if mapped != Identity::NONE {
                    self.let_go();
                }
                false
            }
        }
    }

    /// Whether there is a table in the live range.
    fn is_table(&self) -> bool {
        let live = self.0.place(self.swaps()).load();
        live.is_some_and(|range| Table::new(range.words()).is_some())
    }

    /// Maps the file at this path instead of the one that is mapped.
    fn exchange(&self, path: &Path) -> Result<(), MapError> {
        let (file, identity) = map::open(path)?;
        range::can_be_mapped(&file, identity.bytes)?;
        let next = self.swaps().wrapping_add(1);
        let place = self.0.place(next);
        let fits = |range: &Range| range.bytes() >= identity.bytes;
        let range = match place.load().filter(fits) {
            Some(range) => range,
            None => Range::reserve(identity.bytes).inspect_err(|_| {
                // There is no room for two. If the range that is live is large enough, the
                // next try has that one.
                if self.0.place(self.swaps()).load().as_ref().is_some_and(fits) {
                    self.let_go();
                }
            })?,
        };
        if let Err(errno) = range.map(&file, identity.bytes) {
            // Nobody knows what lies there now.
            place.store(None);
            return Err(errno.into());
        }
        place.store(Some(range));
        // What follows the file in the range isn't part of it.
        if range.words().get(..identity.bytes / 8).and_then(Table::new).is_none() {
            self.clear(next);
            return Err(MapError::NotATable);
        }
        self.0.swaps.store(next, Ordering::Release);
        // After that: a child that is forked in between maps the file once more.
        self.set_mapped(identity);
        self.clear(next.wrapping_add(1));
        Ok(())
    }

    /// Has no file mapped any more.
    fn let_go(&self) {
        // Before that: a child that is forked in between maps the file once more.
        self.set_mapped(Identity::NONE);
        let next = self.swaps().wrapping_add(1);
        // All zeros, which are no table.
        self.0.swaps.store(next, Ordering::Release);
        self.clear(next.wrapping_add(1));
    }

    /// Puts zeros into the range of this number, which isn't live.
    fn clear(&self, swaps: u32) {
        let place = self.0.place(swaps);
        if place.load().is_some_and(|range| range.clear().is_err()) {
            // Nobody will ever go there again.
            place.store(None);
        }
    }
}

impl Drop for Swapper<'_> {
    fn drop(&mut self) {
        self.0.swapper.store(0, Ordering::Release);
    }
}

#[cfg(all(test, feature = "writer"))]
mod tests;

//! The daemon's side: makes tables, and publishes changes.
//!
//! A [`Writer`] owns a file that is mapped to be written to. Whatever it does, it does by
//! storing words, in an order that [`super`] describes and `sheet.rs` proves; if it is
//! killed in between, readers see what was last published, until the heartbeat is over.
//! Nobody ever goes on writing to a file of another process: a new daemon makes a new
//! table, and takes over what it wants by [`Table::entries`].
//!
//! **Room.** A file has its blocks from the beginning, so that a full file system is an
//! error here and no SIGBUS in somebody's `ls`. When its index is nearly full, its heap
//! is full, or most of the heap is dead, the next change is prepared in another
//! file, which takes the old one's place when the change is published.
//!
//! | file | idea |
//! |---|---|
//! | `writer/sheet.rs` | one table's memory: slots, links, publication |
//! | `writer/change.rs` | a change, as the daemon makes it |
//! | `writer/encode.rs` | facts as words |
//! | `writer/rebuild.rs` | a table of what is in another one |
//! | `writer/draft.rs` | a table that will take another one's place |
//! | `writer/place.rs` | files that take another one's place |
//! | `writer/file.rs` | memory |

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use crate::account::{Gid, Group, User};
use crate::table::{Found, Key, Now, Table};

mod change;
mod draft;
mod encode;
#[allow(unsafe_code)] // FFI: mmap
mod file;
mod place;
mod rebuild;
mod sheet;

pub use change::Change;
pub use file::Memory;

use super::layout::header;
use draft::Draft;
use place::{Identity, Temporary};
use rebuild::{Kept, MORE_WORDS, Size};
use sheet::Sheet;

/// What a key leads to.
#[derive(Clone, Copy, Debug)]
pub enum Fact<'a> {
    /// A user, and the groups that have the user as a member, if they are known.
    /// Under keys [`Key::UserName`] and [`Key::Uid`].
    User(&'a User, Option<&'a [Gid]>),
    /// A group. Under keys [`Key::GroupName`] and [`Key::Gid`].
    Group(&'a Group),
    /// The groups that somebody is in, at least one. Under a key [`Key::GidsOf`].
    Gids(&'a [Gid]),
    /// The directory has no such entry. Under any key.
    Absent,
}

/// How large a table is made at first.
#[derive(Clone, Copy, Debug, Default)]
pub struct Room {
    /// How many keys it will have.
    pub keys: usize,
    /// How many words its records will take.
    pub words: usize,
}

/// Times that the daemon writes into the header.
#[derive(Clone, Copy, Debug)]
pub struct Heartbeat {
    /// Until when the daemon promises to write again; not further ahead than
    /// [`FURTHEST_PROMISE`](super::layout::FURTHEST_PROMISE).
    pub alive_until: Now,
    /// Until when what isn't in the table isn't in the directory; `Now(0)`: the
    /// table isn't complete.
    pub complete_until: Now,
    /// When the directory was last heard of, in seconds since 1970; 0: never.
    pub heard: u64,
    /// For how many seconds after that answers count when nobody can be asked.
    pub max_stale: u32,
}

/// How much is in a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stats {
    /// Users that an enumeration gives.
    pub users: usize,
    /// Groups that an enumeration gives.
    pub groups: usize,
    /// Keys that lead somewhere, to an absence too.
    pub keys: usize,
    /// Bytes of the whole file.
    pub bytes: usize,
    /// Bytes of it that records can still be added to.
    pub free: usize,
    /// Bytes that nothing leads to any more.
    pub dead: usize,
}

/// The one writer of a table.
#[derive(Debug)]
pub struct Writer {
    /// What readers see, or will see first.
    sheet: Sheet,
    /// Where it belongs; `None`: it is in memory only.
    path: Option<PathBuf>,
    /// Its file, as long as that hasn't taken its place.
    temporary: Option<Temporary>,
    /// Its file afterwards.
    identity: Option<Identity>,
    /// The table in which the pending change goes on, if the first one has no room for it.
    draft: Option<Draft>,
    retired: bool,
}

impl Writer {
    /// Makes a table that nobody sees yet: [`Writer::publish`] puts it at `path`.
    /// Filling it before is cheaper than afterwards, since nobody has to be kept from
    /// seeing half of a change.
    ///
    /// # Errors
    /// When there is no room for it, or the folder can't be written to.
    pub fn create(path: &Path, room: Room) -> io::Result<Self> {
        Self::new(Some(path.to_owned()), room)
    }

    /// Makes a table in the memory of this process, which behaves like one in a file
    /// but that no other process sees it.
    ///
    /// # Errors
    /// When it would be too large for a table.
    pub fn in_memory(room: Room) -> io::Result<Self> {
        Self::new(None, room)
    }

    fn new(path: Option<PathBuf>, room: Room) -> io::Result<Self> {
        let size = Size::of(room.keys, fresh_heap(room.words));
        let Draft { sheet, temporary } = Draft::new(path.as_deref(), size)?;
        Ok(Self { sheet, path, temporary, identity: None, draft: None, retired: false })
    }

    /// Puts the table in its place, by a rename. A writer that had a table there
    /// before calls [`Writer::retire`] on the old one afterwards.
    /// A table with much more room than it needs is built anew first.
    ///
    /// # Errors
    /// When the folder can't be written to.
    pub fn publish(&mut self) -> io::Result<()> {
        self.roll_back();
        if self.sheet.seen {
            return Ok(());
        }
        self.shrink();
        if let Some(mut temporary) = self.temporary.take() {
            match temporary.place() {
                Ok(identity) => self.identity = Some(identity),
                Err(error) => {
                    self.temporary = Some(temporary);
                    return Err(error);
                }
            }
        }
        self.sheet.seen = true;
        Ok(())
    }

    /// Tells all readers to look for another table. The heart of this one doesn't
    /// beat any more.
    pub fn retire(&mut self) {
        self.retired = true;
        self.sheet.retire();
    }

    /// Starts a change.
    pub fn change(&mut self) -> Change<'_> {
        self.roll_back();
        Change::new(self)
    }

    /// Writes the times.
    pub fn beat(&mut self, heartbeat: Heartbeat) {
        if !self.retired {
            self.sheet.beat(heartbeat);
        }
    }

    /// Says that everything was in this table once, as in one that has been complete: it is
    /// made of such a one, without what can be read anew.
    pub fn had_everything(&mut self) {
        self.sheet.had_everything();
    }

    /// Says that something is left out, or may come to be missing: neither is the table complete until the
    /// next beat says so, nor does it say any more that it had everything once. To be said before
    /// readers can see what it is about.
    pub fn leaves_out(&mut self) {
        self.sheet.is_incomplete();
    }

    /// What readers see.
    ///
    /// # Panics
    /// When somebody else has written to the file.
    pub fn table(&self) -> Table<'_> {
        self.sheet.table().expect("the writer's own table")
    }

    /// The memory of what readers see, for those of this process: [`Table::new`] looks
    /// at it. It is another one after a change, or [`Writer::rebuild`], that
    /// needed more room; the old one isn't [`Table::fresh`] any more then.
    pub fn memory(&self) -> Arc<Memory> {
        Arc::clone(self.sheet.memory())
    }

    /// How much is in the table.
    pub fn stats(&self) -> Stats {
        let counts = self.sheet.counts;
        Stats {
            users: counts.users as usize,
            groups: counts.groups as usize,
            keys: self.sheet.keys(),
            bytes: self.sheet.words() * 8,
            free: (self.sheet.words() - counts.used) * 8,
            dead: counts.dead * 8,
        }
    }

    /// Whether the file at its path is still this table, whole.
    pub fn is_in_place(&self) -> bool {
        let (Some(path), Some(identity)) = (&self.path, self.identity) else {
            return self.path.is_none() && self.sheet.seen;
        };
        Identity::at(path).is_ok_and(|found| found == identity)
    }

    /// Puts another table in the place of this one, with those keys only for which
    /// `keep` says so: it is given the key, what that leads to, and when that expires.
    /// For a bounded number of keys, and for a file that somebody has removed. Where anything
    /// but an absence is left out, the table isn't complete until the next beat says so.
    ///
    /// # Errors
    /// When there is no room for it, or the folder can't be written to; then everything stays as it is.
    pub fn rebuild(&mut self, keep: impl FnMut(Key<'_>, Found<'_>, u32) -> bool) -> io::Result<()> {
        self.roll_back();
        let kept = Kept::of(&self.sheet, keep);
        let size = Size::of(kept.keys() + kept.keys() / 8, kept.words + kept.words / 4);
        let draft = Draft::of(self.path.as_deref(), &self.sheet, &kept, size)?;
        self.install(draft)
    }

    /// Writes a sealed copy: a temporary file beside `path`, fsync, rename, fsync of the
    /// folder. Nothing that is being prepared is in it, and it isn't fresh; that everything
    /// was in it once it says all the same ([`View::had_everything`](crate::table::View::had_everything)).
    ///
    /// # Errors
    /// When the folder can't be written to.
    pub fn seal(&self, path: &Path) -> io::Result<()> {
        Self::place_sealed(path, &self.sealed_copy())
    }

    /// The bytes of a sealed copy, for [`Writer::place_sealed`].
    pub fn sealed_copy(&self) -> Vec<u8> {
        let used = self.sheet.counts.used;
        let mut bytes = Vec::with_capacity(used * 8);
        for (at, word) in self.sheet.memory().words()[..used].iter().enumerate() {
            let word = match at {
                header::WORDS => used as u64,
                header::ALIVE_UNTIL | header::COMPLETE_UNTIL => 0,
                _ => word.load(Relaxed),
            };
            bytes.extend_from_slice(&word.to_ne_bytes());
        }
        bytes
    }

    /// Writes a sealed copy as [`Writer::seal`] does. It takes as long as the disk does, and
    /// needs no writer, so another thread than the writer's can do it.
    ///
    /// # Errors
    /// When the folder can't be written to.
    pub fn place_sealed(path: &Path, copy: &[u8]) -> io::Result<()> {
        let mut file = Temporary::create(path)?;
        file.write_all(copy)?;
        file.place_for_good()?;
        Ok(())
    }

    /// Forgets a change that was neither published nor dropped, too.
    fn roll_back(&mut self) {
        self.draft = None;
        self.sheet.roll_back();
    }

    /// Where the pending change goes on.
    fn current(&self) -> &Sheet {
        self.draft.as_ref().map_or(&self.sheet, |draft| &draft.sheet)
    }

    fn current_mut(&mut self) -> &mut Sheet {
        self.draft.as_mut().map_or(&mut self.sheet, |draft| &mut draft.sheet)
    }

    /// Lets the pending change go on in another table, which has room for so many words
    /// and keys more, and an index of so many slots at least.
    fn grow(&mut self, words: usize, keys: usize, slots: usize) -> io::Result<()> {
        let kept = Kept::of(self.current(), rebuild::is_worth_it(Now::read()));
        // As long as nobody sees it, it is being filled.
        let spare = if self.sheet.seen { kept.words / 4 } else { kept.words };
        let mut size = Size::of(kept.keys() + kept.keys() / 8 + keys, kept.words + spare + words);
        while size.slots < slots {
            size = size.doubled();
        }
        self.draft = Some(Draft::of(self.path.as_deref(), self.current(), &kept, size)?);
        Ok(())
    }

    /// Puts another table in the place of this one.
    fn install(&mut self, mut draft: Draft) -> io::Result<()> {
        draft.sheet.seen = self.sheet.seen;
        if self.sheet.seen {
            if let Some(mut temporary) = draft.temporary.take() {
                self.identity = Some(temporary.place()?);
            }
        } else {
            self.temporary = draft.temporary.take();
        }
        let old = std::mem::replace(&mut self.sheet, draft.sheet);
        old.retire();
        Ok(())
    }

    /// Builds the table anew if it has far more room than it needs. It is good
    /// enough if that can't be done.
    fn shrink(&mut self) {
        let live = self.sheet.live();
        let size = Size::of(self.sheet.keys(), fresh_heap(live));
        if size.words + live / 8 + MORE_WORDS < self.sheet.words() {
            let kept = Kept::of(&self.sheet, |_, _, _| true);
            if let Ok(draft) = Draft::of(self.path.as_deref(), &self.sheet, &kept, size) {
                // Nobody has seen either, so there is nothing to fail.
                let _ = self.install(draft);
            }
        }
    }
}

/// A heap with a little spare room.
fn fresh_heap(words: usize) -> usize {
    words.saturating_add(words / 10)
}

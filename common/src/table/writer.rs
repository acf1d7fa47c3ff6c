//! The daemon's side: makes tables, and publishes changes.

use std::io;
use std::path::Path;

use crate::account::{Gid, Group, User};
use crate::table::{Key, Now, Table};

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
    /// Until when the daemon promises to write again.
    pub alive_until: Now,
    /// Until when what isn't in the table isn't in the directory; `Now(0)`: the
    /// table isn't complete.
    pub complete_until: Now,
    /// When the directory was last heard of, in seconds since 1970; 0: never.
    pub heard: u64,
    /// For how many seconds after that answers count when nobody can be asked.
    pub max_stale: u32,
}

/// The one writer of a table.
#[derive(Debug)]
pub struct Writer {}

impl Writer {
    /// Makes a table that nobody sees yet: [`Writer::publish`] puts it at `path`.
    ///
    /// # Errors
    /// When there is no room for it, or the folder can't be written to.
    pub fn create(path: &Path, room: Room) -> io::Result<Self> {
        let _ = (path, room);
        todo!()
    }

    /// Puts the table in its place, by a rename. A writer that had a table there
    /// before calls [`Writer::retire`] on the old one afterwards.
    ///
    /// # Errors
    /// When the folder can't be written to.
    pub fn publish(&mut self) -> io::Result<()> {
        todo!()
    }

    /// Tells all readers to look for another table.
    pub fn retire(&mut self) {
        todo!()
    }

    /// Starts a change.
    pub fn change(&mut self) -> Change<'_> {
        todo!()
    }

    /// Writes the times.
    pub fn beat(&mut self, heartbeat: Heartbeat) {
        let _ = heartbeat;
        todo!()
    }

    /// What readers see.
    pub fn table(&self) -> Table<'_> {
        todo!()
    }

    /// Whether the file at its path is still this table, whole.
    pub fn is_in_place(&self) -> bool {
        todo!()
    }

    /// Writes a sealed copy: a temporary file beside `path`, fsync, rename.
    ///
    /// # Errors
    /// When the folder can't be written to.
    pub fn seal(&self, path: &Path) -> io::Result<()> {
        let _ = path;
        todo!()
    }
}

/// A change that is being prepared. Dropped, it never happened.
#[derive(Debug)]
pub struct Change<'a> {
    _writer: &'a mut Writer,
}

impl Change<'_> {
    /// Makes these keys lead to this fact, until it expires. A key that is another
    /// name than the user's or group's own becomes an alias of it.
    /// What is there already is left as it is, but for its time.
    ///
    /// # Errors
    /// When a larger file is needed and can't be made.
    pub fn put(&mut self, fact: Fact<'_>, keys: &[Key<'_>], expires: u32) -> io::Result<()> {
        let _ = (fact, keys, expires);
        todo!()
    }

    /// Makes a key lead nowhere.
    ///
    /// # Errors
    /// As [`Change::put`].
    pub fn remove(&mut self, key: Key<'_>) -> io::Result<()> {
        let _ = key;
        todo!()
    }

    /// What a key leads to with this change, whatever its age.
    pub fn get(&self, key: Key<'_>) -> Option<super::Found<'_>> {
        let _ = key;
        todo!()
    }

    /// Publishes it. Whether there was anything to publish.
    ///
    /// # Errors
    /// When a larger file is needed and can't be put in place.
    pub fn commit(self) -> io::Result<bool> {
        todo!()
    }
}

//! Files that are made beside another one and take its place as a whole.
//!
//! Until then such a file has a name of its own, `.NAME.PID.NUMBER.new`, and is locked
//! (`flock(2)`) by who makes it. A lock ends with its process, so what a killed daemon
//! has left can be told from what a living one works on, and is removed.
//! Whoever can open a file can lock it, so until it takes its place nobody else may open it,
//! and nobody waits for a lock.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::{Errno, retry_on_intr};

/// Nobody else may open it before it is in its place.
const MODE_BEFORE: u32 = 0o600;
/// Everybody may read it; not even its owner writes to it by accident.
const MODE: u32 = 0o444;

/// A file that has not taken its place yet. Removed on drop.
#[derive(Debug)]
pub(super) struct Temporary {
    path: PathBuf,
    target: PathBuf,
    file: File,
    placed: bool,
}

/// What a file is known by, whatever its name; with another owner or other rights
/// it wouldn't be believed any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
    bytes: u64,
    owner: u32,
    mode: u32,
}

impl Identity {
    /// The file that has this name.
    pub(super) fn at(path: &Path) -> io::Result<Self> {
        fs::symlink_metadata(path).map(|data| Self::from(&data))
    }
}

impl From<&fs::Metadata> for Identity {
    fn from(data: &fs::Metadata) -> Self {
        let (device, inode, bytes) = (data.dev(), data.ino(), data.len());
        Self { device, inode, bytes, owner: data.uid(), mode: data.mode() }
    }
}

impl Temporary {
    /// Makes an empty file that may take the place of `target`.
    pub(super) fn create(target: &Path) -> io::Result<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = target.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        let folder = folder_of(target);
        remove_leftovers(folder, name);
        loop {
            let number = NUMBER.fetch_add(1, Ordering::Relaxed);
            let mut own = prefix(name);
            own.push(format!("{}.{number}.new", std::process::id()));
            let path = folder.join(own);
            let mut options = OpenOptions::new();
            options.read(true).write(true).create_new(true);
            options.mode(MODE_BEFORE).custom_flags(libc::O_NOFOLLOW);
            let file = match options.open(&path) {
                // A process that had our number has left it, and somebody holds its lock.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                opened => opened?,
            };
            let temporary = Self { path, target: target.to_owned(), file, placed: false };
            match temporary.file.try_lock() {
                Ok(()) => {}
                // Somebody takes it for a leftover: another name is free.
                Err(TryLockError::WouldBlock) => continue,
                Err(TryLockError::Error(error)) => return Err(error),
            }
            // Whoever removes leftovers may have come before the lock.
            if temporary.file.metadata()?.nlink() > 0 {
                return Ok(temporary);
            }
        }
    }

    /// Gives it so many bytes of 0, each of them with its block.
    pub(super) fn allocate(&mut self, bytes: u64) -> io::Result<()> {
        match retry_on_intr(|| fallocate(&self.file, FallocateFlags::empty(), 0, bytes)) {
            // A file system that can't do it ahead does it when it is written to.
            Err(Errno::OPNOTSUPP) => {
                let mut zeros = io::Read::take(io::repeat(0), bytes);
                io::copy(&mut zeros, &mut self.file)?;
                self.file.sync_data()
            }
            allocated => Ok(allocated?),
        }
    }

    /// The file.
    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// Adds to its end.
    pub(super) fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)
    }

    /// Puts it in its place, and tells what it is known by from now on.
    pub(super) fn place(&mut self) -> io::Result<Identity> {
        self.open_up()?;
        let identity = Identity::from(&self.file.metadata()?);
        match fs::rename(&self.path, &self.target) {
            // An empty folder in its place is nobody's, and nobody should have to remove it.
            Err(error) if error.kind() == io::ErrorKind::IsADirectory => {
                fs::remove_dir(&self.target)?;
                fs::rename(&self.path, &self.target)?;
            }
            renamed => renamed?,
        }
        self.placed = true;
        Ok(identity)
    }

    /// The same, and it is on the disk afterwards, whatever happens to the power.
    pub(super) fn place_for_good(&mut self) -> io::Result<Identity> {
        self.open_up()?;
        self.file.sync_all()?;
        let identity = self.place()?;
        File::open(folder_of(&self.target))?.sync_all()?;
        Ok(identity)
    }

    /// Lets everybody read it.
    fn open_up(&self) -> io::Result<()> {
        self.file.set_permissions(Permissions::from_mode(MODE))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.placed {
            // What can't be removed now is a leftover.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// How the names of the files begin that may take this one's place.
fn prefix(name: &OsStr) -> OsString {
    let mut prefix = OsString::from(".");
    prefix.push(name);
    prefix.push(".");
    prefix
}

/// Removes the files that nobody works on any more.
fn remove_leftovers(folder: &Path, name: &OsStr) {
    let prefix = prefix(name);
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let ours =
            name.as_bytes().starts_with(prefix.as_bytes()) && name.as_bytes().ends_with(b".new");
        let mut options = OpenOptions::new();
        options.read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
        if ours
            && let Ok(file) = options.open(entry.path())
            && file.try_lock().is_ok()
        {
            let _ = fs::remove_file(entry.path());
        }
    }
}

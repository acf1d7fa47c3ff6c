//! Maps files, and says which ones may be believed.
//!
//! # Which files
//!
//! What a table says is who somebody is, so it is believed only where nobody but
//! its daemon (or root) can have written it: a regular file, not behind a symbolic
//! link, that belongs to the owner of its folder, or to root; and neither it nor
//! its folder can be written by group or others. The folders above belong to
//! root: the paths are fixed (`paths::TABLE`). Everything else counts as absent.
//!
//! # SIGBUS
//!
//! A page of a mapping that the file doesn't have any more, or for which the file system
//! has no room, can't be read: the kernel kills whoever tries. What protects readers:
//!
//! * The writer allocates all blocks of a file (`fallocate(2)`) before
//!   anybody sees it. So a full file system breaks nothing.
//! * A file never shrinks. A larger or smaller one is another file.
//! * A length is checked before it is mapped, and all reading stays within it.
//!
//! What doesn't: root (or the daemon's user) cuts the file short, by
//! `truncate(1)` or `>`, under a process that has it mapped. No file outside of a
//! `memfd_create(2)` can be sealed against that, and the only cure after the fact would be
//! a signal handler, which isn't a guest's to set. So a process looks at the length again,
//! once in each [`Moment`](super::clock::Moment) in which it looks anything up,
//! before it reads from the mapping: one `stat(2)` at most every 16 ms. What is left is
//! the rest of the moment in which the file is cut, 17 ms at most. SSSD looks in each lookup
//! (`fstat(2)`, most of what a lookup costs there), and what is left there is the
//! time of one lookup.

use std::fmt;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::ptr::NonNull;
use std::sync::atomic::AtomicU64;

use rustix::fs::{self, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::layout::{HEADER_WORDS, MAX_WORDS};
use super::reader::Table;
use crate::guest;

/// Why there is no table to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapError {
    /// There is no such file.
    Absent,
    /// There is one, but somebody else may have written it.
    Untrusted(&'static str),
    /// It is no table, or one of another version.
    NotATable,
    /// The system didn't let it be looked at or mapped: the text of its error.
    Failed(Errno),
}

impl fmt::Display for MapError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => f.write_str("there is no table"),
            Self::Untrusted(why) => write!(f, "the table is not to be trusted: {why}"),
            Self::NotATable => f.write_str("it is no table of this version"),
            Self::Failed(errno) => write!(f, "the table can't be read: {errno}"),
        }
    }
}

impl std::error::Error for MapError {}

impl From<Errno> for MapError {
    fn from(errno: Errno) -> Self {
        match errno {
            Errno::NOENT | Errno::NOTDIR => Self::Absent,
            Errno::LOOP => Self::Untrusted("it is a symbolic link"),
            errno => Self::Failed(errno),
        }
    }
}

/// Which file it is, and how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    device: u64,
    inode: u64,
    /// Its length, in bytes.
    pub(super) bytes: usize,
}

impl Identity {
    /// The one of no file.
    pub(super) const NONE: Self = Self { device: 0, inode: 0, bytes: 0 };

    fn of(file: &Stat) -> Self {
        let bytes = usize::try_from(file.st_size).unwrap_or(0);
        Self { device: file.st_dev, inode: file.st_ino, bytes }
    }

    /// The file at this path now, whatever it is.
    ///
    /// # Errors
    /// [`MapError::Absent`] or [`MapError::Failed`].
    pub(super) fn at(path: &Path) -> Result<Self, MapError> {
        Ok(Self::of(&fs::lstat(path)?))
    }

    /// Whether `other` is this file after it was cut short.
    pub(super) fn was_cut_to(self, other: Self) -> bool {
        (self.device, self.inode) == (other.device, other.inode) && other.bytes < self.bytes
    }

    pub(super) const fn parts(self) -> (u64, u64, usize) {
        (self.device, self.inode, self.bytes)
    }

    pub(super) const fn from_parts(device: u64, inode: u64, bytes: usize) -> Self {
        Self { device, inode, bytes }
    }
}

/// Why the last call of libc failed.
pub(super) fn last_error() -> Errno {
    Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::NOMEM)
}

/// Opens a file that may be believed, to be mapped.
pub(super) fn open(path: &Path) -> Result<(OwnedFd, Identity), MapError> {
    // Nothing waits for a FIFO's other end, nor for a tape.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let fd = fs::open(path, flags, Mode::empty())?;
    let fd = guest::above_standard(fd)
        .map_err(|e| MapError::Failed(Errno::from_io_error(&e).unwrap_or(Errno::MFILE)))?;
    let file = fs::fstat(&fd)?;
    let folder = fs::stat(path.parent().unwrap_or(Path::new(".")))?;
    if let Some(why) = distrust(&file, &folder) {
        return Err(MapError::Untrusted(why));
    }
    let identity = Identity::of(&file);
    if !(HEADER_WORDS * 8..=MAX_WORDS * 8).contains(&identity.bytes) {
        return Err(MapError::NotATable);
    }
    Ok((fd, identity))
}

/// Why somebody else may have written this file in this folder, if so.
fn distrust(file: &Stat, folder: &Stat) -> Option<&'static str> {
    let others =
        |file: &Stat| Mode::from_raw_mode(file.st_mode).intersects(Mode::WGRP | Mode::WOTH);
    if !FileType::from_raw_mode(file.st_mode).is_file() {
        Some("it is no regular file")
    } else if ![0, folder.st_uid].contains(&file.st_uid) {
        Some("it belongs to somebody else than its folder")
    } else if others(file) {
        Some("group or others can write to it")
    } else if others(folder) {
        Some("group or others can write to its folder")
    } else {
        None
    }
}

/// A file that is mapped read-only, for as long as this value lives.
#[derive(Debug)]
pub struct Mapping {
    start: NonNull<AtomicU64>,
    identity: Identity,
}

// SAFETY: the memory is the process's, not a thread's, and it is read atomically.
unsafe impl Send for Mapping {}
// SAFETY: what is shared is read atomically, and `Drop` alone unmaps it, when nobody borrows it any more.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps the table at this path.
    ///
    /// # Errors
    /// See [`MapError`].
    pub fn open(path: &Path) -> Result<Self, MapError> {
        let (fd, identity) = open(path)?;
        let (nowhere, all) = (std::ptr::null_mut(), identity.bytes);
        // SAFETY: a new mapping, at a place that the kernel chooses.
        let start = unsafe {
            libc::mmap(nowhere, all, libc::PROT_READ, libc::MAP_SHARED, fd.as_raw_fd(), 0)
        };
        if start == libc::MAP_FAILED {
            return Err(last_error().into());
        }
        let start = NonNull::new(start.cast()).ok_or(MapError::NotATable)?;
        let mapping = Self { start, identity };
        mapping.table().map(|_| ()).ok_or(MapError::NotATable)?;
        Ok(mapping)
    }

    /// Its words. They may change under the reader's hands, so they are atomic.
    pub fn words(&self) -> &[AtomicU64] {
        let count = self.identity.bytes / 8;
        // SAFETY: as many are mapped until this value is dropped, from the beginning
        // of a page; the kernel writes to nobody's read-only mapping but through the file.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), count) }
    }

    /// The table in it.
    pub fn table(&self) -> Option<Table<'_>> {
        Table::new(self.words())
    }

    /// Whether the file at this path is the one that is mapped.
    pub(super) fn is_at(&self, path: &Path) -> bool {
        Identity::at(path) == Ok(self.identity)
    }

    /// Lets go of the pages that were read: they count as this process's memory as
    /// long as it has them. What is read again comes back from the file.
    pub fn let_go_of_pages(&self) {
        // SAFETY: `open` has mapped all of this from a file, shared; the kernel takes the pages out of
        // this process's tables, and puts the same ones there when they are touched again.
        // If it refuses, nothing has happened.
        unsafe {
            libc::madvise(self.start.as_ptr().cast(), self.identity.bytes, libc::MADV_DONTNEED)
        };
    }

    /// Whether the file at this path is the one that is mapped, and was cut short
    /// since: then reading on would be the end of the process.
    pub fn was_cut(&self, path: &Path) -> bool {
        Identity::at(path).is_ok_and(|now| self.identity.was_cut_to(now))
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: `open` has mapped this, and nobody has a slice of it any more.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.identity.bytes) };
    }
}

#[cfg(all(test, feature = "writer"))]
mod tests {
    use super::*;
    use crate::table::layout::header;
    use crate::table::writer::{Room, Writer};
    use std::fs::{OpenOptions, Permissions};
    use std::os::unix::fs::{FileExt, PermissionsExt, chown, symlink};
    use std::path::PathBuf;
    use tempfile::TempDir;

    /// A folder with an empty table in it, which others may read.
    fn table() -> (TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("table");
        Writer::create(&path, Room::default()).unwrap().publish().unwrap();
        set_mode(&path, 0o644);
        (folder, path)
    }

    fn set_mode(path: &Path, mode: u32) {
        std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    fn error(path: &Path) -> MapError {
        Mapping::open(path).unwrap_err()
    }

    fn write(path: &Path, word: usize, value: u64) {
        let file = OpenOptions::new().write(true).open(path).unwrap();
        file.write_all_at(&value.to_ne_bytes(), word as u64 * 8).unwrap();
    }

    #[test]
    fn a_table_of_the_folders_owner_is_mapped() {
        let (_folder, path) = table();
        assert!(Mapping::open(&path).unwrap().table().is_some());
    }

    #[test]
    fn no_file_is_absent() {
        let (folder, path) = table();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(error(&path), MapError::Absent);
        assert_eq!(error(&folder.path().join("x/y")), MapError::Absent);
    }

    #[test]
    fn what_others_could_have_written_is_not_trusted() {
        let (folder, path) = table();
        for mode in [0o664, 0o646] {
            set_mode(&path, mode);
            assert!(matches!(error(&path), MapError::Untrusted(_)), "{mode:o}");
        }
        set_mode(&path, 0o644);
        for mode in [0o770, 0o707, 0o1777] {
            set_mode(folder.path(), mode);
            assert!(matches!(error(&path), MapError::Untrusted(_)), "{mode:o}");
        }
        set_mode(folder.path(), 0o755);
        assert!(Mapping::open(&path).is_ok());
    }

    #[test]
    fn a_table_of_somebody_else_is_not_trusted() {
        // SAFETY: geteuid(2) has no precondition.
        if unsafe { libc::geteuid() } != 0 {
            eprintln!("not checked: only root can give files away");
            return;
        }
        let (folder, path) = table();
        chown(&path, Some(1000), None).unwrap();
        assert!(matches!(error(&path), MapError::Untrusted(_)));
        chown(folder.path(), Some(1000), None).unwrap();
        assert!(Mapping::open(&path).is_ok(), "the folder is theirs as well");
        chown(&path, Some(0), None).unwrap();
        assert!(Mapping::open(&path).is_ok(), "root is trusted anywhere");
    }

    #[test]
    fn what_is_no_regular_file_is_not_trusted_and_waits_for_nobody() {
        let (folder, path) = table();
        let link = folder.path().join("link");
        symlink(&path, &link).unwrap();
        assert!(matches!(error(&link), MapError::Untrusted(_)));
        assert!(matches!(error(folder.path()), MapError::Untrusted(_)));
        let fifo = folder.path().join("fifo");
        let mode = Mode::from_raw_mode(0o644);
        fs::mknodat(fs::CWD, &fifo, FileType::Fifo, mode, 0).unwrap();
        assert!(matches!(error(&fifo), MapError::Untrusted(_)));
    }

    #[test]
    fn noise_another_version_and_too_short_a_file_are_no_table() {
        let (_folder, path) = table();
        let whole = std::fs::read(&path).unwrap();
        let noise = |seed: usize| ((seed * 7919) >> 3).to_le_bytes()[0];
        let noise: Vec<u8> = (0..whole.len()).map(noise).collect();
        for bytes in [&noise, &whole[..4096], &whole[..whole.len() - 4096], &whole[..100], &[]] {
            std::fs::write(&path, bytes).unwrap();
            assert_eq!(error(&path), MapError::NotATable, "{}", bytes.len());
        }
        std::fs::write(&path, &whole).unwrap();
        assert!(Mapping::open(&path).is_ok());
        write(&path, header::VERSION, super::super::layout::VERSION + 1);
        assert_eq!(error(&path), MapError::NotATable);
    }

    #[test]
    fn a_mapped_file_that_is_cut_short_is_known_to_be() {
        let (_folder, path) = table();
        let mapping = Mapping::open(&path).unwrap();
        assert!(!mapping.was_cut(&path));
        OpenOptions::new().write(true).open(&path).unwrap().set_len(4096).unwrap();
        assert!(mapping.was_cut(&path));
        std::fs::remove_file(&path).unwrap();
        assert!(!mapping.was_cut(&path), "a file without a name can't be cut by it");
    }
}

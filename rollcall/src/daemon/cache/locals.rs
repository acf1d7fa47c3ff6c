//! Who is in this host's own `/etc/passwd`.
//!
//! `initgroups(3)` asks every source about every user, so each login of a local user, each of
//! `cron`'s jobs and each service that changes its user asks for that user's groups here. They must not
//! wait for a directory that says nothing (`age.rs`).
//!
//! It is looked at by the thread of the requests, which has no time: at the file's state for each of these
//! questions, at what is in it only when that is another one, and never at much.

use std::collections::HashSet;
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// The file of `passwd(5)`.
const PASSWD: &str = "/etc/passwd";
/// A longer file isn't read: that would hold up everybody who asks at that moment. This is a fraction of a
/// millisecond's work, and some thousand users; whoever has more of them has a directory's in the file.
const MOST_BYTES: u64 = 256 << 10;

/// The names in the file, read again when it is another one.
#[derive(Debug)]
pub(super) struct Locals {
    path: PathBuf,
    known: Mutex<Option<(Stamp, HashSet<Box<str>>)>>,
}

/// Which file it is, and in which state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    inode: (u64, u64),
    size: u64,
    changed: (i64, i64),
}

impl Default for Locals {
    fn default() -> Self {
        Self::of(Path::new(PASSWD))
    }
}

impl Locals {
    fn of(path: &Path) -> Self {
        Self { path: path.into(), known: Mutex::default() }
    }

    /// Whether somebody of this name is there. Nobody is, as long as the file can't be read.
    pub(super) fn has(&self, name: &str) -> bool {
        self.look(name, read)
    }

    fn look(&self, name: &str, read: impl FnOnce(&Path) -> io::Result<HashSet<Box<str>>>) -> bool {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let Ok(stamp) = fs::metadata(&self.path).map(|metadata| Stamp::of(&metadata)) else {
            return false;
        };
        if known.as_ref().is_none_or(|(of, _)| *of != stamp) {
            // The next one who asks tries again.
            *known = read(&self.path).ok().map(|names| (stamp, names));
        }
        known.as_ref().is_some_and(|(_, names)| names.contains(name))
    }
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            inode: (metadata.dev(), metadata.ino()),
            size: metadata.size(),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// The names in the file; none, if it is too long.
fn read(path: &Path) -> io::Result<HashSet<Box<str>>> {
    let mut bytes = Vec::new();
    let read = File::open(path)?.take(MOST_BYTES + 1).read_to_end(&mut bytes)?;
    if read as u64 > MOST_BYTES {
        return Ok(HashSet::new());
    }
    let lines = bytes.split(|byte| *byte == b'\n');
    let names = lines.filter_map(|line| line.split(|byte| *byte == b':').next());
    Ok(names.filter_map(|name| str::from_utf8(name).ok()).map(Box::from).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_is_in_the_file_is_local_as_long_as_it_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("passwd");
        let locals = Locals::of(&path);
        assert!(!locals.has("lou"), "there is no file");
        fs::write(&path, "root:x:0:0::/:/bin/sh\nlou:x:1000:1000::/:/bin/sh\n").unwrap();
        assert!(locals.has("lou"));
        assert!(!locals.has("lo") && !locals.has("x"));
        let next = folder.path().join("next");
        fs::write(&next, "root:x:0:0::/:/bin/sh\nlea:x:1000:1000::/:/bin/sh\n").unwrap();
        fs::rename(&next, &path).unwrap();
        assert!(locals.has("lea"));
        assert!(!locals.has("lou"));
    }

    #[test]
    fn a_file_that_could_not_be_read_is_read_by_the_next_one_who_asks() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("passwd");
        fs::write(&path, "lou:x:1000:1000::/:/bin/sh\n").unwrap();
        let locals = Locals::of(&path);
        assert!(!locals.look("lou", |_| Err(io::ErrorKind::OutOfMemory.into())));
        assert!(locals.has("lou"));
    }

    #[test]
    fn of_a_very_long_file_nobody_is_local() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("passwd");
        let line = "lou:x:1000:1000::/:/bin/sh\n";
        let lines = usize::try_from(MOST_BYTES).unwrap() / line.len();
        let locals = Locals::of(&path);
        fs::write(&path, line.repeat(lines)).unwrap();
        assert!(locals.has("lou"));
        fs::write(&path, line.repeat(lines + 1)).unwrap();
        assert!(!locals.has("lou"));
    }
}

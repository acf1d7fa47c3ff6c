//! Who is in this host's own `/etc/passwd`.
//!
//! `initgroups(3)` asks every source about every user, so each login of a local user, each of
//! `cron`'s jobs and each service that changes its user asks for that user's groups here. They must not
//! wait for a directory that says nothing (`age.rs`).

use std::collections::HashSet;
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// The file of `passwd(5)`.
const PASSWD: &str = "/etc/passwd";
/// A longer file isn't read: whoever has one has many users of a directory in it.
const MOST_BYTES: u64 = 4 << 20;

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

    /// Whether somebody of this name is there. Nobody is, if the file can't be read.
    pub(super) fn has(&self, name: &str) -> bool {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let Ok(stamp) = fs::metadata(&self.path).map(|metadata| Stamp::of(&metadata)) else {
            return false;
        };
        if known.as_ref().is_none_or(|(of, _)| *of != stamp) {
            *known = Some((stamp, read(&self.path, stamp.size)));
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

fn read(path: &Path, size: u64) -> HashSet<Box<str>> {
    let bytes = if size > MOST_BYTES { Vec::new() } else { fs::read(path).unwrap_or_default() };
    let lines = bytes.split(|byte| *byte == b'\n');
    let names = lines.filter_map(|line| line.split(|byte| *byte == b':').next());
    names.filter_map(|name| str::from_utf8(name).ok()).map(Box::from).collect()
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
}

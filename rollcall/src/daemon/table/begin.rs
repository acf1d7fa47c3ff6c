//! How a table begins: with what an older one knew, or from nothing.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use common::config::{CacheConfig, CacheMode};
use common::table::layout::header;
use common::table::map::{MapError, Mapping};
use common::table::writer::{Fact, Room, Writer};
use common::table::{Found, Table};
use tracing::{info, warn};

use super::{Keeper, heart};
use crate::daemon::cache::{Asked, Known, LONG_AGO};

impl Keeper {
    /// Takes a configuration into use. `origin` says which directories are read, and how:
    /// with another one, everything that is known is of no use.
    pub(in crate::daemon) fn configure(&mut self, cache: CacheConfig, origin: String) {
        let before = self.cache.replace(cache);
        let same_origin = before.is_none() || self.origin == origin;
        self.origin = origin;
        if cache.mode == CacheMode::Off {
            self.give_up();
            self.remove_files();
        } else if !same_origin {
            // What is under way is answered by the old directories.
            self.give_up();
            self.heard = 0;
            remove(&self.files.sealed);
            remove(&origin_of(&self.files.sealed));
            info!("another directory: the table is filled anew");
        } else if before.is_none() {
            self.take_over();
        } else if before.is_some_and(|before| before.mode != cache.mode) {
            self.doubt_everything();
        }
        self.beat();
        if self.writer.is_some() {
            self.note_origin(&self.files.live);
        }
    }

    /// Notes beside a table what it is about, so that a later daemon with another
    /// configuration doesn't take it over. One that can't be noted isn't taken over.
    pub(super) fn note_origin(&self, table: &Path) {
        let _ = fs::write(origin_of(table), fingerprint(&self.origin));
    }

    /// Takes over what an older daemon knew, as answers that have expired: the
    /// directory is asked first, but an outage right after the start still finds everybody.
    fn take_over(&mut self) {
        for path in [self.files.live.clone(), self.files.sealed.clone()] {
            let old = match Mapping::open(&path) {
                Ok(old) => old,
                Err(MapError::Absent) => continue,
                Err(why) => {
                    info!("nothing is taken over from {}: {why}", path.display());
                    continue;
                }
            };
            let Some(table) = old.table() else { continue };
            if fs::read(origin_of(&path)).ok() != Some(fingerprint(&self.origin)) {
                info!("nothing is taken over from {}: it is of another directory", path.display());
                continue;
            }
            let heard = table.word(header::HEARD).unwrap_or(0);
            let max_stale = self.cache.map_or(0, |cache| cache.max_stale.as_secs());
            if heard == 0 || heart::wall().saturating_sub(heard) > max_stale {
                continue;
            }
            // A time of the future would keep answers for ever.
            self.heard = heard.min(heart::wall());
            if self.begin_with(table) {
                info!("what {} knows is there in case of an outage", path.display());
                return;
            }
        }
    }

    /// Makes all answers ones that count only when nobody can be asked.
    pub(in crate::daemon) fn doubt_everything(&mut self) {
        let Some(old) = self.writer.take() else { return };
        self.give_up();
        self.begin_with(old.table());
        let mut old = old;
        old.retire();
    }

    /// Makes a table of another one's answers, all of them expired. Whether it could.
    fn begin_with(&mut self, old: Table<'_>) -> bool {
        let made = Writer::create(&self.files.live, Room::default()).and_then(|mut new| {
            copy(old, &mut new)?;
            new.publish()?;
            Ok(new)
        });
        match made {
            Ok(new) => {
                self.writer = Some(new);
                self.kept.count(self.writer.as_ref());
                true
            }
            Err(error) => {
                self.has_no_room(&error);
                false
            }
        }
    }

    fn remove_files(&self) {
        for table in [&self.files.live, &self.files.sealed] {
            remove(table);
            remove(&origin_of(table));
        }
    }
}

/// Copies what a table has found, as expired.
fn copy(old: Table<'_>, new: &mut Writer) -> std::io::Result<()> {
    let mut change = new.change();
    let mut failed = None;
    old.entries(|key, found, _| {
        // A file of noise has no valid names; nor could anybody ask for one.
        let (Some(_), Some(known)) = (Asked::of_key(key), Known::of_found(&found)) else { return };
        let gids = match (&known, &found) {
            (Known::User(_), Found::User(user)) => user.gids(),
            _ => None,
        };
        let gids: Option<Vec<_>> = gids.map(|gids| {
            gids.iter().filter_map(|gid| common::account::Gid::new(gid).ok()).collect()
        });
        let fact = match &known {
            Known::Absent => return,
            Known::User(user) => Fact::User(user, gids.as_deref()),
            known => known.fact(),
        };
        match change.put(fact, &[key], LONG_AGO) {
            // A key that doesn't fit is noise as well.
            Err(error) if error.kind() != ErrorKind::InvalidInput => failed = Some(error),
            _ => {}
        }
    });
    match failed {
        Some(error) => Err(error),
        None => change.commit().map(drop),
    }
}

/// The file that says what a table is about.
fn origin_of(table: &Path) -> PathBuf {
    table.with_extension("origin")
}

/// An origin in few bytes. Another version of the daemon may have another one, and then
/// begins from nothing.
fn fingerprint(origin: &str) -> Vec<u8> {
    let mut hasher = DefaultHasher::new();
    origin.hash(&mut hasher);
    format!("{:016x}\n", hasher.finish()).into_bytes()
}

fn remove(path: &Path) {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            warn!("{} can't be removed: {error}", path.display());
        }
        _ => {}
    }
}

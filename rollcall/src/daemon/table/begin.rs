//! How a table begins: with what an older one knew, or from nothing.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use common::config::{CacheConfig, CacheMode};
use common::table::layout::header;
use common::table::map::{MapError, Mapping};
use common::table::writer::{Fact, Heartbeat, Room, Writer};
use common::table::{Found, Key, Now, Table};
use tracing::{info, warn};

use super::Keeper;
use super::heart::{self, leaves_room, max_stale};
use crate::daemon::cache::{Asked, Known, LONG_AGO, OUTDATED, is_a_mark, long_gone};
use crate::daemon::replica::file_beside;

impl Keeper {
    /// Takes a configuration into use. `origin` says which directories are read, and how:
    /// with another one, everything that is known is of no use.
    pub(in crate::daemon) fn configure(&mut self, cache: CacheConfig, origin: String) {
        // What is under way may be answered by other directories, or count for another time.
        self.outdate();
        let before = self.cache.replace(cache);
        let same_origin = before.is_none() || self.origin == origin;
        self.origin = origin;
        if cache.mode == CacheMode::Off {
            self.give_up();
            self.forget_the_seal();
            self.remove_files();
        } else if !same_origin {
            self.disown();
            info!("another directory: the table is filled anew");
        } else if before.is_none() {
            self.take_over();
        } else if before.is_some_and(|before| is_doubtful(&before, &cache))
            // Its replica doesn't run any more, and the next one may never get ready.
            || self.population.is_some()
        {
            self.doubt_everything();
        }
        if cache.mode == CacheMode::OnDemand {
            self.has_not_everything();
        }
        self.beat();
        if self.writer.is_none() {
            // It is of another directory, or of a daemon of before.
            remove(&self.files.live);
            remove(&origin_of(&self.files.live));
        }
    }

    /// Lets go of what is known of other directories, wherever it is.
    fn disown(&mut self) {
        self.heard = 0;
        if let (Some(writer), Some(cache)) = (&mut self.writer, self.cache) {
            // Who still has the old table must not believe it when this daemon is gone.
            writer.beat(Heartbeat {
                alive_until: Now(0),
                complete_until: Now(0),
                heard: 0,
                max_stale: max_stale(&cache),
            });
        }
        self.give_up();
        self.forget_the_seal();
        remove(&origin_of(&self.files.live));
        remove(&self.files.sealed);
        remove(&origin_of(&self.files.sealed));
        remove(&file_beside(&self.files));
    }

    /// Notes beside a table what it is about, so that a later daemon with another
    /// configuration doesn't take it over. One that can't be noted isn't taken over.
    pub(super) fn note_origin(&self, table: &Path) {
        note(table, &self.origin);
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
                if path == self.files.sealed {
                    remove(&path);
                    remove(&origin_of(&path));
                }
                continue;
            }
            let heard = table.word(header::HEARD).unwrap_or(0);
            let max_stale = self.cache.map_or(0, |cache| cache.max_stale.as_secs());
            if heard == 0 || heart::wall().saturating_sub(heard) > max_stale {
                continue;
            }
            self.heard = heart::no_later_than_now(heard);
            // The live file is of this run of the machine, the copy may be of an earlier one.
            let age = if path == self.files.live { Age::Counts } else { Age::Unknown };
            if self.begin_with(table, age, LONG_AGO) {
                info!("what {} knows is there in case of an outage", path.display());
                return;
            }
        }
    }

    /// Makes all answers ones that may be wrong: the directory has the word, if it says anything soon.
    pub(in crate::daemon) fn doubt_everything(&mut self) {
        self.begin_anew(LONG_AGO);
    }

    /// Makes all answers ones that count only when nobody can be asked.
    pub(in crate::daemon) fn outdate_everything(&mut self) {
        self.begin_anew(OUTDATED);
    }

    /// Keeps what is asked for from now on, and doubts what is there.
    pub(in crate::daemon) fn begin_on_demand(&mut self) {
        self.doubt_everything();
        self.has_not_everything();
    }

    /// Has the table not say any more that it had everything: those who are new in the directory
    /// don't come into it by themselves.
    fn has_not_everything(&mut self) {
        if let Some(writer) = &mut self.writer {
            writer.leaves_out();
        }
    }

    fn begin_anew(&mut self, mark: u32) {
        let Some(old) = self.writer.take() else { return };
        self.give_up();
        self.begin_with(old.table(), Age::Counts, mark);
        let mut old = old;
        old.retire();
    }

    /// Makes a table of another one's answers, all of them expired, with this mark. Whether it could.
    fn begin_with(&mut self, old: Table<'_>, age: Age, mark: u32) -> bool {
        let forgotten = match (age, &self.cache) {
            (Age::Counts, Some(cache)) => long_gone(cache, Now::read()),
            _ => 0,
        };
        let words = old.word(header::USED).unwrap_or(0);
        let made = leaves_room(&self.files.live, words.saturating_mul(8)).and_then(|()| {
            let mut new = Writer::create(&self.files.live, Room::default())?;
            let is_whole = copy(old, &mut new, forgotten, mark)?;
            if is_whole && old.word(header::HAD_EVERYTHING) == Some(1) {
                new.had_everything();
            }
            new.publish()?;
            Ok(new)
        });
        match made {
            Ok(new) => {
                self.note_origin(&self.files.live);
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
        remove(&file_beside(&self.files));
    }
}

/// Whether the times in a table mean anything now.
#[derive(Clone, Copy)]
enum Age {
    Counts,
    Unknown,
}

/// Whether what is known counts for less, or is known in another way, from now on.
fn is_doubtful(before: &CacheConfig, now: &CacheConfig) -> bool {
    before.mode != now.mode
        || now.lifetime < before.lifetime
        || now.negative_lifetime < before.negative_lifetime
}

/// Copies what a table has found, with this mark, but for what expired before `forgotten`; whether that
/// was all. What is outdated stays so. What a replica knew is copied as if it had been asked for:
/// a user's groups beside the user, where a later answer replaces them.
fn copy(old: Table<'_>, new: &mut Writer, forgotten: u32, mark: u32) -> std::io::Result<bool> {
    let mut change = new.change();
    let (mut failed, mut is_whole) = (None, true);
    old.entries(|key, found, expires| {
        if !is_a_mark(expires) && expires < forgotten {
            is_whole = false;
            return;
        }
        // A file of noise has no valid names; nor could anybody ask for one.
        let (Some(_), Some(known)) = (Asked::of_key(key), Known::of_found(&found)) else { return };
        if known.is_absent() {
            return;
        }
        let mark = if expires == OUTDATED { OUTDATED } else { mark };
        let mut put = |fact: Fact<'_>, key| match change.put(fact, &[key], mark) {
            // A key that doesn't fit is noise as well.
            Err(error) if error.kind() != ErrorKind::InvalidInput => failed = Some(error),
            _ => {}
        };
        put(known.fact(), key);
        if let (Key::UserName(name), Found::User(user)) = (key, &found)
            && user.is_named(name)
            && let Some(gids) = user.gids()
            && let Known::Gids(gids) = Known::of_gids(&gids)
        {
            put(Fact::Gids(&gids), Key::GidsOf(name));
        }
    });
    match failed {
        Some(error) => Err(error),
        None => change.commit().map(|_| is_whole),
    }
}

/// Notes beside a table what it is about.
pub(super) fn note(table: &Path, origin: &str) {
    let _ = fs::write(origin_of(table), fingerprint(origin));
}

/// The file that says what a table is about.
pub(super) fn origin_of(table: &Path) -> PathBuf {
    table.with_extension("origin")
}

/// An origin in few bytes. Another version of the daemon may have another one, and then
/// begins from nothing.
fn fingerprint(origin: &str) -> Vec<u8> {
    let mut hasher = DefaultHasher::new();
    origin.hash(&mut hasher);
    format!("{:016x}\n", hasher.finish()).into_bytes()
}

pub(super) fn remove(path: &Path) {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            warn!("{} can't be removed: {error}", path.display());
        }
        _ => {}
    }
}

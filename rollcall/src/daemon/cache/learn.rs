//! Puts answers of the directory into the table.

use std::collections::BTreeSet;
use std::io::ErrorKind;

use common::config::CacheConfig;
use common::table::writer::Writer;
use common::table::{Found, Now, View};

use super::age::{expires, heard_at, is_a_mark, long_gone};
use super::contradictions::{Names, contradicted};
use super::room::Leaving;
use super::vain::is_kept_here;
use super::{Asked, Known};
use crate::daemon::table::{Keeper, wall};

/// An answer of the directory.
#[derive(Debug)]
pub(super) struct Lesson {
    pub(super) asked: Asked,
    pub(super) known: Known,
    /// When the question was put,
    pub(super) started: Now,
    /// and in which epoch of the table.
    pub(super) epoch: u64,
}

/// What is known about the entries that were put on demand.
#[derive(Debug, Default)]
pub(in crate::daemon) struct Kept {
    names: Names,
    /// How many answers there are at most,
    found: usize,
    /// and how many absences.
    absent: usize,
}

impl Kept {
    /// Looks through a table.
    pub(in crate::daemon) fn count(&mut self, writer: Option<&Writer>) {
        *self = Self::default();
        let Some(writer) = writer else { return };
        writer.table().entries(|key, found, _| {
            if let Found::Absent = found {
                self.absent += 1;
                return;
            }
            self.found += 1;
            if let (Some(asked), Some(known)) = (Asked::of_key(key), known_by_name(&found)) {
                self.names.note(&asked, &known);
            }
        });
    }
}

/// What is noted by name: members don't matter for that.
fn known_by_name(found: &Found<'_>) -> Option<Known> {
    match found {
        Found::User(_) | Found::Group(_) => Known::of_found(found),
        _ => None,
    }
}

impl Keeper {
    /// Puts an answer into the table, and takes out what it contradicts, in one change.
    ///
    /// Of two searches that were under way at the same time and disagree nobody knows
    /// which one saw the directory later: neither answer is kept.
    pub(super) fn learn(&mut self, lesson: &Lesson) {
        let Some(cache) = self.cache else { return };
        if self.population.is_some() || lesson.epoch != self.epoch() {
            return;
        }
        self.see_to_the_memory();
        if self.heard == 0 {
            // Without that word nobody believes the table when the daemon is gone, and
            // the next beat may never come.
            self.heard = wall();
            self.beat();
        }
        let Some(writer) = &mut self.writer else { return };
        match write(writer, &mut self.kept, lesson, &cache) {
            Ok(()) => self.make_room(&cache, lesson.started),
            // A name that is too long for the table's field is nobody's any more.
            Err(error) if error.kind() == ErrorKind::InvalidInput => {}
            Err(error) => self.has_no_room(&error),
        }
    }

    fn make_room(&mut self, cache: &CacheConfig, now: Now) {
        let most = cache.max_entries;
        let (found, absent) = (self.kept.found, self.kept.absent);
        if found + absent <= most && absent <= most / 4 {
            return;
        }
        let Some(writer) = &mut self.writer else { return };
        // The counts are what there is at most; now it is looked at.
        let (mut found, mut absent) = (Vec::new(), Vec::new());
        let forgotten = long_gone(cache, now);
        let mut is_any_gone = false;
        writer.table().entries(|_, what, expires| match what {
            _ if expires < forgotten && !is_a_mark(expires) => is_any_gone = true,
            Found::Absent => absent.push(expires),
            _ => found.push(expires),
        });
        let absent_leave = Leaving::of(absent.clone(), most / 4);
        let found_leave =
            Leaving::of(found.clone(), most.saturating_sub(absent.len().min(most / 4)));
        if is_any_gone || !absent_leave.is_none() || !found_leave.is_none() {
            let (mut absent_leave, mut found_leave) = (absent_leave, found_leave);
            let rebuilt = writer.rebuild(|_, what, expires| match what {
                _ if expires < forgotten && !is_a_mark(expires) => false,
                Found::Absent => !absent_leave.leaves(expires),
                _ => !found_leave.leaves(expires),
            });
            if let Err(error) = rebuilt {
                return self.has_no_room(&error);
            }
        }
        self.kept.count(self.writer.as_ref());
    }
}

/// The change that a lesson makes.
fn write(
    writer: &mut Writer,
    kept: &mut Kept,
    lesson: &Lesson,
    cache: &CacheConfig,
) -> std::io::Result<()> {
    let Lesson { asked, known, started, .. } = lesson;
    let table = writer.table();
    let Some(view) = table.timeless() else { return Err(ErrorKind::InvalidData.into()) };
    let look = |asked: &Asked| look(&view, asked);
    let old = look(asked);
    // What says the same as before contradicts no more than before.
    let is_unchanged = old.as_ref().is_some_and(|(old, _)| old == known);
    let gone = if is_unchanged {
        BTreeSet::new()
    } else {
        contradicted(asked, known, &kept.names, |key| Some(look(key)?.0))
    };
    let disagreed = gone.iter().filter_map(&look).chain(old.clone().filter(|old| old.0 != *known));
    let overlaps = |(known, expires): (Known, u32)| {
        heard_at(&known, expires, cache).is_some_and(|heard| heard >= *started)
    };
    let is_disputed = disagreed.into_iter().any(overlaps);
    let is_for_now = known.is_absent() && cache.negative_lifetime.is_zero();
    let keep = !is_disputed && !is_for_now && !is_kept_here(asked, known);

    let is_old_lost = !keep && old.as_ref().is_some_and(|(old, _)| !old.is_absent());
    if is_old_lost || gone.iter().filter_map(&look).any(|(known, _)| !known.is_absent()) {
        writer.leaves_out();
    }
    let mut change = writer.change();
    for key in &gone {
        change.remove(key.key())?;
    }
    if keep {
        change.put(known.fact(), &[asked.key()], expires(known, *started, cache))?;
    } else {
        change.remove(asked.key())?;
    }
    change.commit()?;
    if keep {
        kept.names.note(asked, known);
        match (known.is_absent(), old.map(|(old, _)| old.is_absent())) {
            (true, Some(true)) | (false, Some(false)) => {}
            (true, _) => kept.absent += 1,
            (false, _) => kept.found += 1,
        }
    }
    Ok(())
}

/// What the table has under exactly this key.
fn look(view: &View<'_>, asked: &Asked) -> Option<(Known, u32)> {
    let (found, expires) = view.look(asked.key())?;
    Some((Known::of_found(&found)?, expires))
}

#[cfg(test)]
mod tests;

//! The header's times, and what else in it changes.

use std::sync::atomic::Ordering::Release;

use super::Sheet;
use crate::table::Now;
use crate::table::layout::{header, pair};
use crate::table::writer::Heartbeat;

impl Sheet {
    /// Writes the times into the header.
    pub(in crate::table::writer) fn beat(&self, times: Heartbeat) {
        self.set(header::HEARD, times.heard);
        self.set(header::MAX_STALE, times.max_stale.into());
        if times.complete_until > Now(0) {
            self.had_everything();
        }
        // Whoever sees that it is complete sees everything.
        self.store(header::COMPLETE_UNTIL, times.complete_until.0.into(), Release);
        self.store(header::ALIVE_UNTIL, times.alive_until.0.into(), Release);
    }

    /// Takes over the times and the number of the last change.
    pub(in crate::table::writer) fn succeed(&self, old: &Self) {
        let words = [header::HEARD, header::MAX_STALE, header::COMPLETE_UNTIL, header::CHANGE];
        for at in words.into_iter().chain([header::HAD_EVERYTHING, header::ALIVE_UNTIL]) {
            self.set(at, old.get(at));
        }
    }

    /// Says that something is left out.
    pub(in crate::table::writer) fn is_incomplete(&self) {
        self.set(header::COMPLETE_UNTIL, 0);
        self.set(header::HAD_EVERYTHING, 0);
    }

    /// Says that everything was in here once.
    pub(in crate::table::writer) fn had_everything(&self) {
        self.set(header::HAD_EVERYTHING, 1);
    }

    /// Tells readers to look for another table.
    pub(in crate::table::writer) fn retire(&self) {
        self.store(header::ALIVE_UNTIL, 0, Release);
    }

    pub(super) fn write_counts(&self) {
        let counts = self.counts;
        self.set(header::USED, counts.used as u64);
        self.set(header::DEAD, counts.dead as u64);
        self.set(header::SLOTS_USED, counts.slots as u64);
        self.set(header::ENTRIES, pair(counts.users, counts.groups));
    }
}

//! Whether a directory has changed at all since the last poll.
//!
//! OpenLDAP's `syncprov` keeps the numbers of the last changes; see [`Change`]. As long as
//! they are what they were when all of a map was looked at there is nothing to read, and a poll
//! costs the server one entry instead of a search through all of them. That is what lets
//! thousands of hosts poll one server.
//!
//! They are believed only if there is proof that somebody keeps them: they were seen to
//! move since the daemon began. A number that stays as it is for ever, because the overlay was
//! taken out, is never believed. And never for long: after [`TRUSTED`] polls, or after
//! [`TRUSTED_FOR`], everything is looked at as if there were no numbers. If that
//! finds a change although they were the same they aren't looked at again.
//!
//! It also tells when to compare the ids: a number that has moved while no entry was
//! found changed may be that of an entry that is gone.

use std::time::{Duration, Instant};

use common::directory::sync::Change;

/// So many polls in a row may be left out.
const TRUSTED: u32 = 20;
/// And for so long.
const TRUSTED_FOR: Duration = Duration::from_secs(600);

/// What is remembered of a directory's change numbers.
#[derive(Debug, Default)]
pub(super) struct Unchanged {
    /// They were this when the last reading began; `None`: the server had none.
    last: Option<Change>,
    /// They were this when all was looked at, in both maps.
    looked_at: Option<Change>,
    /// When something was read the last time.
    read: Option<Instant>,
    left_out: u32,
    moved: bool,
    not_kept: bool,
}

impl Unchanged {
    /// Whether a poll may be left out at this time, if this is what the numbers are now.
    pub(super) fn may_leave_out(&mut self, change: Option<Change>, now: Instant) -> bool {
        let same = change.is_some() && change == self.looked_at;
        let lately = self.read.is_some_and(|read| now.duration_since(read) < TRUSTED_FOR);
        let trusted = self.moved && !self.not_kept && lately && self.left_out < TRUSTED;
        self.left_out = if same && trusted { self.left_out + 1 } else { 0 };
        same && trusted
    }

    /// Whether the numbers have moved since the last reading, for sure.
    pub(super) fn has_moved(&self, began: Option<Change>) -> bool {
        began.zip(self.last).is_some_and(|(began, last)| began.is_after(&last))
    }

    /// Whether they are as they were when everything was looked at, so that there can be no
    /// change.
    pub(super) fn is_same(&self, began: Option<Change>) -> bool {
        began.is_some() && began == self.looked_at
    }

    /// Takes note of a reading that worked and that began when the numbers were these; and
    /// of what they were when everything was looked at, if that was the same in both maps.
    pub(super) fn note(&mut self, began: Option<Change>, looked_at: Option<Change>, now: Instant) {
        self.moved |= self.has_moved(began);
        self.last = began;
        self.looked_at = looked_at;
        self.read = Some(now);
    }

    /// Takes note of a reading that failed: the next one isn't left out.
    pub(super) fn forget(&mut self) {
        self.looked_at = None;
    }

    /// Takes note that nobody keeps the numbers: there was a change without one.
    pub(super) fn are_not_kept(&mut self) {
        self.not_kept = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Option<Change> = Some(Change { server: 0, numbers: 1 });
    const SECOND: Option<Change> = Some(Change { server: 0, numbers: 2 });
    const THIRD: Option<Change> = Some(Change { server: 0, numbers: 3 });
    const OTHERS: Option<Change> = Some(Change { server: 1, numbers: 2 });

    /// The numbers have moved, and then everything was looked at.
    fn trusted(now: Instant) -> Unchanged {
        let mut unchanged = Unchanged::default();
        unchanged.note(FIRST, FIRST, now);
        unchanged.note(SECOND, SECOND, now);
        unchanged
    }

    #[test]
    fn polls_are_left_out_as_long_as_the_numbers_are_the_same() {
        let now = Instant::now();
        assert!(trusted(now).may_leave_out(SECOND, now));
        assert!(!trusted(now).may_leave_out(THIRD, now));
    }

    #[test]
    fn numbers_that_never_moved_are_not_believed() {
        let (mut unchanged, now) = (Unchanged::default(), Instant::now());
        unchanged.note(FIRST, FIRST, now);
        unchanged.note(FIRST, FIRST, now);
        assert!(!unchanged.may_leave_out(FIRST, now));
    }

    #[test]
    fn another_servers_number_is_neither_a_proof_nor_the_same() {
        let (mut unchanged, now) = (Unchanged::default(), Instant::now());
        unchanged.note(FIRST, FIRST, now);
        unchanged.note(OTHERS, OTHERS, now);
        assert!(!unchanged.may_leave_out(OTHERS, now), "it may be an old one");
        assert!(!trusted(now).may_leave_out(OTHERS, now));
    }

    #[test]
    fn a_server_without_numbers_is_always_read() {
        let now = Instant::now();
        let mut unchanged = trusted(now);
        unchanged.note(None, None, now);
        assert!(!unchanged.may_leave_out(None, now));
    }

    #[test]
    fn nothing_is_left_out_before_everything_was_looked_at() {
        let now = Instant::now();
        let mut unchanged = trusted(now);
        unchanged.note(THIRD, SECOND, now);
        assert!(!unchanged.may_leave_out(THIRD, now));
    }

    #[test]
    fn nothing_is_left_out_after_a_reading_that_failed() {
        let now = Instant::now();
        let mut unchanged = trusted(now);
        unchanged.forget();
        assert!(!unchanged.may_leave_out(SECOND, now));
    }

    #[test]
    fn now_and_then_the_numbers_are_not_believed() {
        let now = Instant::now();
        let mut unchanged = trusted(now);
        assert_eq!((0..=TRUSTED).filter(|_| unchanged.may_leave_out(SECOND, now)).count(), 20);
        assert!(!trusted(now).may_leave_out(SECOND, now + TRUSTED_FOR));
    }

    #[test]
    fn numbers_that_nobody_keeps_are_not_looked_at_again() {
        let now = Instant::now();
        let mut unchanged = trusted(now);
        assert!(unchanged.is_same(SECOND));
        unchanged.are_not_kept();
        assert!(!unchanged.may_leave_out(SECOND, now));
    }
}

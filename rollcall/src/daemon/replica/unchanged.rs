//! Whether a directory has changed at all since the last poll.
//!
//! OpenLDAP's `syncprov` keeps the numbers of the last changes (`contextCSN`) on the entry of
//! its search base. As long as they are the same there is nothing to read, and a poll
//! costs the server one entry instead of a search through all of them. That is what lets
//! thousands of hosts poll one server.
//!
//! It is not believed for ever: every [`TRUSTED`] polls everything is looked at as if
//! there were no numbers. If that finds a change although they were the same, somebody
//! doesn't keep them, and they aren't looked at again.

use common::directory::sync::Stamp;

/// So many polls in a row may be left out.
const TRUSTED: u32 = 20;

/// What is remembered of a directory's change numbers.
#[derive(Debug, Default)]
pub(super) struct Unchanged {
    /// They were this when the last reading began; `None`: the server has none.
    last: Option<Stamp>,
    left_out: u32,
    not_kept: bool,
}

impl Unchanged {
    /// Whether a poll may be left out, if this is what the numbers are now.
    pub(super) fn may_leave_out(&mut self, now: Option<Stamp>) -> bool {
        let same = now.is_some() && now == self.last && !self.not_kept;
        let trusted = same && self.left_out < TRUSTED;
        self.left_out = if trusted { self.left_out + 1 } else { 0 };
        trusted
    }

    /// Takes note of a reading that was complete and that began when the numbers were these.
    pub(super) fn note(&mut self, began: Option<Stamp>) {
        self.last = began;
    }

    /// Takes note of a change that was found although the numbers were these when the last
    /// reading began, when this one did, and afterwards.
    pub(super) fn found_a_change(&mut self, began: Option<Stamp>, afterwards: Option<Stamp>) {
        self.not_kept |= began.is_some() && began == self.last && began == afterwards;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Option<Stamp> = Some(Stamp(1));
    const SECOND: Option<Stamp> = Some(Stamp(2));

    #[test]
    fn polls_are_left_out_as_long_as_the_numbers_are_the_same() {
        let mut unchanged = Unchanged::default();
        assert!(!unchanged.may_leave_out(FIRST));
        unchanged.note(FIRST);
        assert!(unchanged.may_leave_out(FIRST));
        assert!(!unchanged.may_leave_out(SECOND));
    }

    #[test]
    fn a_server_without_numbers_is_always_read() {
        let mut unchanged = Unchanged::default();
        unchanged.note(None);
        assert!(!unchanged.may_leave_out(None));
    }

    #[test]
    fn now_and_then_the_numbers_are_not_believed() {
        let mut unchanged = Unchanged::default();
        unchanged.note(FIRST);
        assert_eq!((0..=TRUSTED).filter(|_| unchanged.may_leave_out(FIRST)).count(), 20);
    }

    #[test]
    fn numbers_that_nobody_keeps_are_not_looked_at_again() {
        let mut unchanged = Unchanged::default();
        unchanged.note(FIRST);
        unchanged.found_a_change(FIRST, SECOND);
        assert!(unchanged.may_leave_out(FIRST), "it was made in the middle of the reading");
        unchanged.found_a_change(FIRST, FIRST);
        assert!(!unchanged.may_leave_out(FIRST));
    }
}

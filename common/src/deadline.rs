//! The one time limit that all steps of a request share.
//!
//! Time-outs never add up: a request gets one [`Deadline`] at its entry, and
//! every step below (connecting to the daemon, DNS, TCP, TLS, each search, the
//! answer's last byte) may use what is left of it and no more. A step never
//! brings a time limit of its own that could outlast it; where a step has a
//! shorter limit it takes [`Deadline::at_most`].
//!
//! Over the socket a deadline travels as the milliseconds left, because the two
//! ends need not share a clock. Time is `CLOCK_MONOTONIC`, so setting the
//! system's time back changes nothing.

use std::time::{Duration, Instant};

/// What a lookup may take at most, from its entry.
pub const LOOKUP: Duration = Duration::from_secs(5);
/// What a login, or a password change, may take at most, from its entry.
pub const LOGIN: Duration = Duration::from_secs(15);

/// A point in time after which the answer is no longer wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(Instant);

impl Deadline {
    /// The deadline that lies this far in the future.
    pub fn after(budget: Duration) -> Self {
        Self(Instant::now() + budget.min(Duration::from_secs(3600)))
    }

    /// The time left, or `None` when it is over.
    pub fn remaining(self) -> Option<Duration> {
        self.0.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())
    }

    /// The time left in whole milliseconds, rounded up; 0 when it is over.
    pub fn remaining_ms(self) -> u32 {
        let left = self.remaining().unwrap_or_default();
        u32::try_from(left.as_micros().div_ceil(1000)).unwrap_or(u32::MAX)
    }

    /// Whether the time is over.
    pub fn is_over(self) -> bool {
        self.remaining().is_none()
    }

    /// This deadline, or the one after `limit` if that is earlier.
    #[must_use]
    pub fn at_most(self, limit: Duration) -> Self {
        self.min(Self::after(limit))
    }

    /// The instant itself, for an executor's timer.
    pub fn instant(self) -> Instant {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_cannot_extend_the_deadline() {
        let deadline = Deadline::after(Duration::from_secs(1));
        assert_eq!(deadline.at_most(Duration::from_secs(60)), deadline);
        assert!(deadline.at_most(Duration::from_millis(10)) < deadline);
    }

    #[test]
    fn a_passed_deadline_has_nothing_left() {
        let deadline = Deadline::after(Duration::ZERO);
        assert_eq!(deadline.remaining(), None);
        assert_eq!(deadline.remaining_ms(), 0);
        assert!(deadline.is_over());
    }
}

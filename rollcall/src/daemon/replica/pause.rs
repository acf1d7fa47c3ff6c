//! How long to leave a directory alone before the next try.
//!
//! A server that failed a thousand hosts at once has all of them back at once. So waits
//! grow, they are drawn by lot, and they are forgotten only when what was tried has
//! held: a subscription that is ended again a moment after it began is no success.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use super::follow::{DEAR_WAIT, FIRST_WAIT, LONGEST_WAIT};

/// How long a subscription has to live until it counts that it does.
const SETTLED: Duration = Duration::from_secs(180);
/// The same, after an outage: who lives so long was reached for good.
const REACHED: Duration = Duration::from_secs(10);
/// Over how long the hosts spread that read everything, the first time.
const SPREAD: Duration = Duration::from_secs(5);

/// A wait that doubles each time.
#[derive(Debug)]
pub(super) struct Pause {
    first: Duration,
    next: Duration,
    most: Duration,
}

impl Pause {
    fn new(first: Duration, most: Duration) -> Self {
        Self { first, next: first, most }
    }

    /// How long at most to wait now.
    pub(super) fn next(&mut self) -> Duration {
        let now = self.next;
        self.next = (now * 2).min(self.most);
        now
    }

    fn reset(&mut self) {
        self.next = self.first;
    }
}

/// The waits of one who is told of changes, by what went wrong.
#[derive(Debug)]
pub(super) struct Pauses {
    /// The server couldn't be reached.
    pub(super) outage: Pause,
    /// It ended the subscription, for reasons of its own.
    pub(super) ended: Pause,
    /// Everything has to be read.
    pub(super) reload: Pause,
    /// Most entries were gone.
    pub(super) vanished: Pause,
}

impl Default for Pauses {
    fn default() -> Self {
        Self {
            outage: Pause::new(FIRST_WAIT, LONGEST_WAIT),
            ended: Pause::new(FIRST_WAIT, LONGEST_WAIT),
            reload: Pause::new(SPREAD, DEAR_WAIT),
            vanished: Pause::new(FIRST_WAIT, DEAR_WAIT),
        }
    }
}

impl Pauses {
    /// A subscription was in step for so long.
    pub(super) fn lived(&mut self, time: Duration) {
        if time >= REACHED {
            self.outage.reset();
        }
        if time >= SETTLED {
            *self = Self::default();
        }
    }
}

/// Anything from nothing to this long.
pub(super) fn drawn(most: Duration) -> Duration {
    let random = RandomState::new().hash_one(0_u8) % 1000;
    most * u32::try_from(random).unwrap_or(0) / 1000
}

/// Half of it at least.
pub(super) fn half_drawn(most: Duration) -> Duration {
    most / 2 + drawn(most / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subscription_that_ends_soon_does_not_shorten_the_next_wait() {
        let mut pauses = Pauses::default();
        let mut waits = Vec::new();
        for _ in 0..8 {
            waits.push(pauses.ended.next().as_secs());
            pauses.lived(SETTLED / 2);
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
        pauses.lived(SETTLED);
        assert_eq!(pauses.ended.next(), FIRST_WAIT);
    }

    #[test]
    fn who_was_reached_after_an_outage_is_tried_soon_again_after_the_next_one() {
        let mut pauses = Pauses::default();
        let _ = (pauses.outage.next(), pauses.outage.next());
        pauses.lived(Duration::from_millis(10));
        assert_eq!(pauses.outage.next(), FIRST_WAIT * 4);
        pauses.lived(REACHED);
        assert_eq!(pauses.outage.next(), FIRST_WAIT);
    }

    #[test]
    fn what_is_drawn_is_within_its_bounds() {
        for _ in 0..1000 {
            assert!(drawn(SPREAD) <= SPREAD);
            assert!((SPREAD / 2..=SPREAD).contains(&half_drawn(SPREAD)));
        }
    }
}

//! How long to leave a directory alone before the next try.
//!
//! A server that failed a thousand hosts at once has all of them back at once. So waits
//! grow, they are drawn by lot, and they are forgotten only when what was tried has
//! held: a subscription that is ended again a moment after it began is no success. Nor is one
//! that something on the way cuts every minute, while everything else is served: that is no outage.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use common::directory::Directory;

/// After a failure the next try is due after this long, and then after twice as long each time,
/// up to [`LONGEST_WAIT`].
pub(super) const FIRST_WAIT: Duration = Duration::from_secs(1);
/// A directory is tried again at least this often.
pub(super) const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// But not so often if everything has to be read that can't be, or if it is the table that
/// can't be made: the server does its part each time.
pub(super) const DEAR_WAIT: Duration = Duration::from_secs(600);
/// How often to look whether an outage is over.
const GLANCE: Duration = Duration::from_millis(100);
/// Over how long the hosts spread when it is.
const COMING_BACK: Duration = Duration::from_secs(1);
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
    /// It couldn't be looked who is there.
    pub(super) look: Pause,
}

impl Default for Pauses {
    fn default() -> Self {
        Self {
            outage: Pause::new(FIRST_WAIT, LONGEST_WAIT),
            ended: Pause::new(FIRST_WAIT, LONGEST_WAIT),
            reload: Pause::new(SPREAD, DEAR_WAIT),
            vanished: Pause::new(FIRST_WAIT, DEAR_WAIT),
            look: Pause::new(SPREAD, DEAR_WAIT),
        }
    }
}

impl Pauses {
    /// How long to wait after a subscription failed: in an outage, or while its directory serves
    /// others.
    pub(super) fn failed(&mut self, is_outage: bool) -> Duration {
        let pause = if is_outage { &mut self.outage } else { &mut self.ended };
        half_drawn(pause.next())
    }

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

/// A tenth more or less, so that hosts that were started together spread out.
pub(super) fn jittered(time: Duration) -> Duration {
    time * 9 / 10 + drawn(time / 5)
}

/// Waits until an outage of the directory has ended.
pub(super) async fn outage_ends(directory: &Directory) {
    let mut was_out = false;
    loop {
        let is_out = directory.outage().is_some();
        if was_out && !is_out {
            return tokio::time::sleep(drawn(COMING_BACK)).await;
        }
        was_out |= is_out;
        tokio::time::sleep(GLANCE).await;
    }
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
    fn a_subscription_that_is_cut_every_minute_is_tried_ever_later() {
        let mut pauses = Pauses::default();
        for most in [1, 2, 4, 8, 16, 32, 60, 60].map(Duration::from_secs) {
            assert!((most / 2..=most).contains(&pauses.failed(false)), "{most:?}");
            pauses.lived(Duration::from_secs(60));
        }
        assert!(pauses.failed(true) <= FIRST_WAIT, "an outage is another matter");
        pauses.lived(SETTLED);
        assert!(pauses.failed(false) <= FIRST_WAIT, "it lived long");
    }

    #[test]
    fn what_is_drawn_is_within_its_bounds() {
        for _ in 0..1000 {
            assert!(drawn(SPREAD) <= SPREAD);
            assert!((SPREAD / 2..=SPREAD).contains(&half_drawn(SPREAD)));
            assert!((SPREAD * 9 / 10..=SPREAD * 11 / 10).contains(&jittered(SPREAD)));
        }
    }
}

//! Whether to believe that most of a map is gone.
//!
//! A reading or a refresh that comes to its end without most of what was there is more likely a
//! mistake, in the server's access rules or in its database, than the truth, and to believe
//! it would take everybody's account away. So nothing is removed until
//! somebody insists (`rollcall flush`) or it has been so for [`VANISHED_FOR`].
//!
//! What counts is how many there would be afterwards: a server that was built anew gives
//! all its entries other ids, and then as many come as go.

use std::time::{Duration, Instant};

use super::population::Balance;

/// A map with more entries than this may not lose more than half of them at once.
const MANY: usize = 100;
/// Unless it is still so after this long.
const VANISHED_FOR: Duration = Duration::from_secs(3600);

/// Most of a map isn't there any more, and nobody has believed it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Vanished {
    /// Since when.
    pub(super) since: Instant,
    /// How often somebody had wanted everything read by the time when that was shown.
    pub(super) asked: u64,
}

impl Vanished {
    /// Whether somebody has wanted everything read since it was shown, if that was
    /// wanted so often by now. Nothing else insists: no retry, and no reading that the server
    /// wants.
    pub(super) fn is_insisted_on(self, asked: u64) -> bool {
        asked > self.asked
    }
}

/// Whether fewer entries would be left than may be believed at once.
pub(super) fn is_mass(balance: Balance) -> bool {
    let Balance { before, after } = balance;
    before > MANY && before.saturating_sub(after) > before / 2
}

/// Whether most of a map is gone for good, if it has been gone since then: somebody who was
/// told insists, or long enough has passed.
pub(super) fn is_believed(vanished: Option<Instant>, insists: bool, now: Instant) -> bool {
    vanished.is_some_and(|since| insists || now.duration_since(since) >= VANISHED_FOR)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn most_of_a_large_map_does_not_go_at_once() {
        assert!(is_mass(Balance { before: 101, after: 50 }));
        assert!(!is_mass(Balance { before: 101, after: 51 }));
        assert!(!is_mass(Balance { before: 100, after: 0 }), "a small map may");
    }

    #[test]
    fn a_map_in_which_as_many_come_as_go_has_not_vanished() {
        assert!(!is_mass(Balance { before: 1000, after: 990 }));
        assert!(!is_mass(Balance { before: 1000, after: 2000 }));
    }

    #[test]
    fn only_a_request_made_after_it_was_shown_insists() {
        let vanished = Vanished { since: Instant::now(), asked: 1 };
        assert!(!vanished.is_insisted_on(0), "made long before");
        assert!(!vanished.is_insisted_on(1), "the one that found it, and its retries");
        assert!(vanished.is_insisted_on(2));
    }

    #[test]
    fn what_vanished_is_believed_when_somebody_insists_or_after_an_hour() {
        let since = Instant::now();
        let later = since + VANISHED_FOR;
        assert!(!is_believed(None, true, later), "nobody was told");
        assert!(!is_believed(Some(since), false, since));
        assert!(is_believed(Some(since), true, since));
        assert!(is_believed(Some(since), false, later));
    }
}

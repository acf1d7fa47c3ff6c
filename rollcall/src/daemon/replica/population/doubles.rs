//! Users whose id others have as well.
//!
//! The log names a few of them. In a directory that was set up anew, with the old entries still known,
//! that may be everybody; and where changes are told as they happen, each change of such a user
//! is a publication. So of one publication a few are named and the rest are counted, and nobody is
//! named twice.

use std::collections::BTreeSet;

/// How many are named of one publication.
const NAMED: usize = 10;
/// When so many were found, no more are.
const ENOUGH: usize = 1000;

/// Whom the log has heard of.
#[derive(Debug, Default)]
pub(super) struct Doubles {
    /// Their ids, no more than [`ENOUGH`].
    known: BTreeSet<u32>,
    /// How many there are in this publication of whom it hasn't.
    new: usize,
    is_enough: bool,
}

impl Doubles {
    /// The user of this name has the id that others have as well.
    pub(super) fn tell(&mut self, uid: u32, first: &str) {
        if self.is_to_be_named(uid) {
            tracing::warn!(
                key = uid,
                ?first,
                "the directory has several entries of one name or id; the first is taken"
            );
        }
    }

    fn is_to_be_named(&mut self, uid: u32) -> bool {
        if self.is_enough || self.known.contains(&uid) {
            return false;
        }
        if self.known.len() < ENOUGH {
            self.known.insert(uid);
        }
        self.new += 1;
        self.new <= NAMED
    }

    /// Somebody has this id alone.
    pub(super) fn is_alone(&mut self, uid: u32) {
        self.known.remove(&uid);
    }

    /// Ends a publication.
    pub(super) fn are_told(&mut self) {
        let new = std::mem::take(&mut self.new);
        if let Some(more) = new.checked_sub(NAMED).filter(|more| *more > 0) {
            tracing::warn!(more, "there are more ids that several entries have");
        }
        self.is_enough = self.known.len() >= ENOUGH;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(doubles: &mut Doubles, uids: std::ops::Range<u32>) -> usize {
        let named = uids.filter(|uid| doubles.is_to_be_named(*uid)).count();
        doubles.are_told();
        named
    }

    #[test]
    fn nobody_is_named_twice_and_of_many_only_a_few() {
        let mut doubles = Doubles::default();
        assert_eq!(named(&mut doubles, 0..3), 3);
        assert_eq!(named(&mut doubles, 0..4), 1);
        assert_eq!(named(&mut doubles, 0..100), NAMED);
        assert_eq!(named(&mut doubles, 0..100), 0, "they were counted");
    }

    #[test]
    fn who_has_the_id_alone_is_named_when_that_is_over() {
        let mut doubles = Doubles::default();
        assert_eq!(named(&mut doubles, 0..1), 1);
        doubles.is_alone(0);
        assert_eq!(named(&mut doubles, 0..1), 1);
    }

    #[test]
    fn what_is_kept_in_mind_is_bounded_and_then_nothing_more_is_said() {
        let mut doubles = Doubles::default();
        assert_eq!(named(&mut doubles, 0..100_000), NAMED);
        assert_eq!(doubles.known.len(), ENOUGH);
        assert_eq!(named(&mut doubles, 50_000..50_100), 0);
    }
}

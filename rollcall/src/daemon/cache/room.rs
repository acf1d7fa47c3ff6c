//! Who leaves when there are too many.

/// Finds those that leave of a number of answers: those that expired the longest ago.
/// Who asks for an answer makes it expire later, so those leave that nobody has asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::daemon) struct Leaving {
    /// What expires before this leaves,
    before: u32,
    /// and so many of those that expire right then.
    then: usize,
}

impl Leaving {
    /// Nobody leaves of up to `most`; of more, so many that there is room for a tenth of
    /// that again: making room is work.
    pub(in crate::daemon) fn of(mut expiries: Vec<u32>, most: usize) -> Self {
        if expiries.len() <= most {
            return Self { before: 0, then: 0 };
        }
        let leave = expiries.len() - (most - most / 10);
        let (earlier, &mut last, _) = expiries.select_nth_unstable(leave - 1);
        let before = earlier.iter().filter(|expires| **expires < last).count();
        Self { before: last, then: leave - before }
    }

    /// Whether anybody leaves at all.
    pub(in crate::daemon) fn is_none(self) -> bool {
        self.before == 0 && self.then == 0
    }

    /// Whether the next one leaves, which expires then.
    pub(in crate::daemon) fn leaves(&mut self, expires: u32) -> bool {
        if expires == self.before && self.then > 0 {
            self.then -= 1;
            return true;
        }
        expires < self.before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stay(expiries: &[u32], most: usize) -> Vec<u32> {
        let mut leaving = Leaving::of(expiries.to_vec(), most);
        expiries.iter().copied().filter(|expires| !leaving.leaves(*expires)).collect()
    }

    #[test]
    fn those_leave_first_that_expired_the_longest_ago() {
        let expiries: Vec<u32> = (0..11).rev().collect();
        assert_eq!(stay(&expiries, 10), [10, 9, 8, 7, 6, 5, 4, 3, 2]);
    }

    #[test]
    fn nobody_leaves_while_there_is_room() {
        assert_eq!(stay(&[1, 2, 3], 3), [1, 2, 3]);
        assert!(Leaving::of(vec![0; 10], 10).is_none());
    }

    #[test]
    fn as_many_stay_as_fit_when_all_expire_at_once() {
        assert_eq!(stay(&[7; 30], 20).len(), 18);
        assert_eq!(stay(&[0; 30], 20).len(), 18);
    }
}

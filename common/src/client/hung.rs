//! What a process remembers of a daemon that didn't read its request.
//!
//! It is one word, exchanged as a whole: a fork copies it, and no thread waits for another one.
//! Where two threads write at the same time, one of them is forgotten, and
//! somebody waits a little longer than needed.

use std::sync::atomic::{AtomicU64, Ordering};

/// The seconds until the daemon is tried again, at first. The clock's seconds are cut off,
/// so it may be one less.
const FIRST: u32 = 3;
/// The most that they grow to, by one with each vain try.
const LONGEST: u32 = 10;
/// Who has looked nobody up for so many seconds doesn't know anything any more.
const FORGOTTEN: u32 = 60;

/// The memory of a process. All bits 0: nothing.
/// Otherwise bits 0..32: the second of `clock::Now` from which on the daemon is tried again;
/// bits 32..40: how many tries were in vain; bit 40: whether one of them took a whole deadline.
#[derive(Debug)]
pub(super) struct Hung(AtomicU64);

/// What is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Known {
    /// Whether it is time to try again: for the one who is told so, nobody else is.
    pub(super) is_due: bool,
    /// Whether this process has waited for a whole deadline.
    pub(super) has_waited: bool,
}

impl Hung {
    /// Nothing.
    pub(super) const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// What is known in this second.
    pub(super) fn known(&self, now: u32) -> Option<Known> {
        let word = self.0.load(Ordering::Relaxed);
        let (until, tries, has_waited) = parts(word, now)?;
        let is_over = until <= now;
        let next = join(now.saturating_add(pause(tries)), tries, has_waited);
        let is_due = is_over
            && self.0.compare_exchange(word, next, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        Some(Known { is_due, has_waited })
    }

    /// The daemon was waited for in vain until this second, for a whole deadline or less.
    pub(super) fn note(&self, now: u32, has_waited: bool) {
        let before = parts(self.0.load(Ordering::Relaxed), now);
        let (tries, waited) = before.map_or((0, false), |(_, tries, waited)| (tries, waited));
        let tries = (tries + 1).min(LONGEST);
        let word = join(now.saturating_add(pause(tries)), tries, waited || has_waited);
        self.0.store(word, Ordering::Relaxed);
    }

    /// The daemon answers.
    pub(super) fn forget(&self) {
        if self.0.load(Ordering::Relaxed) != 0 {
            self.0.store(0, Ordering::Relaxed);
        }
    }
}

/// The pause after so many vain tries, in seconds.
const fn pause(tries: u32) -> u32 {
    let pause = FIRST - 1 + tries;
    if pause > LONGEST { LONGEST } else { pause }
}

const fn join(until: u32, tries: u32, has_waited: bool) -> u64 {
    until as u64 | (tries as u64) << 32 | (has_waited as u64) << 40
}

/// What a word means in this second; `None`: nothing, or nothing any more. A time far ahead is of
/// another clock (`time_namespaces(7)`).
fn parts(word: u64, now: u32) -> Option<(u32, u32, bool)> {
    if word == 0 {
        return None;
    }
    let [a, b, c, d, tries, flags, ..] = word.to_le_bytes();
    let until = u32::from_le_bytes([a, b, c, d]);
    let means = until <= now.saturating_add(LONGEST) && now.saturating_sub(until) <= FORGOTTEN;
    means.then_some((until, tries.into(), flags != 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn not_due(has_waited: bool) -> Known {
        Known { is_due: false, has_waited }
    }

    #[test]
    fn nothing_is_known_until_the_daemon_was_waited_for_in_vain_and_after_it_answered() {
        let hung = Hung::new();
        assert_eq!(hung.known(100), None);
        hung.note(100, true);
        assert_eq!(hung.known(101), Some(not_due(true)));
        hung.forget();
        assert_eq!(hung.known(101), None);
    }

    #[test]
    fn one_lookup_a_pause_tries_again_and_the_pauses_grow_to_a_bound() {
        let hung = Hung::new();
        let mut now = 100;
        hung.note(now, false);
        let mut pauses = Vec::new();
        for _ in 0..12 {
            let began = now;
            while !hung.known(now).unwrap().is_due {
                now += 1;
            }
            assert_eq!(hung.known(now), Some(not_due(false)), "a second one in the same second");
            pauses.push(now - began);
            hung.note(now, false);
        }
        assert_eq!(pauses, [3, 4, 5, 6, 7, 8, 9, 10, 10, 10, 10, 10]);
    }

    #[test]
    fn who_tries_again_and_never_comes_back_keeps_nobody_from_trying_later() {
        let hung = Hung::new();
        hung.note(100, true);
        assert!(hung.known(103).unwrap().is_due);
        assert!(!hung.known(105).unwrap().is_due);
        assert!(hung.known(106).unwrap().is_due);
    }

    #[test]
    fn a_whole_deadline_is_remembered_through_shorter_tries() {
        let hung = Hung::new();
        hung.note(100, true);
        hung.note(103, false);
        assert_eq!(hung.known(104), Some(not_due(true)));
    }

    #[test]
    fn what_is_long_ago_or_of_another_clock_is_not_known() {
        let hung = Hung::new();
        hung.note(100, true);
        assert_eq!(hung.known(103 + FORGOTTEN + 1), None);
        assert_eq!(hung.known(10), None);
        hung.note(u32::MAX, true);
        assert!(hung.known(u32::MAX).is_some(), "the end of all seconds");
    }
}

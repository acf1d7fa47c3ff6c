//! Whether the daemon of a table lives, as far as the table can tell.

use super::clock::Now;
use super::layout::{FURTHEST_PROMISE, header};
use super::reader::Table;

/// What a table says about its daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heart {
    /// It has looked after the table within the last seconds, all of it: requests and table.
    Beats,
    /// It has broken its promise to look after the table, so many seconds ago. It was killed, was stopped
    /// and has no successor yet, or it hangs.
    Stopped(u32),
    /// Nothing: there is no table, or it is a sealed copy, one that was replaced, one that
    /// has only just been made, or one of another clock. A daemon that has no room for a table
    /// lives all the same.
    Unknown,
}

impl Heart {
    /// What this table says.
    pub(super) fn of(table: Table<'_>, now: Now) -> Self {
        let until = table.word(header::ALIVE_UNTIL).and_then(|until| u32::try_from(until).ok());
        match until {
            None | Some(0) => Self::Unknown,
            Some(until) if until <= now.0 => Self::Stopped(now.0 - until),
            Some(until) if until - now.0 <= FURTHEST_PROMISE => Self::Beats,
            Some(_) => Self::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::layout::{HEADER_WORDS, MAGIC, VERSION};
    use super::*;
    use std::sync::atomic::AtomicU64;

    fn heart(alive_until: u64, now: u32) -> Heart {
        let mut words: Vec<AtomicU64> = (0..=HEADER_WORDS).map(|_| AtomicU64::new(0)).collect();
        for (at, value) in [
            (header::MAGIC, MAGIC),
            (header::VERSION, VERSION),
            (header::WORDS, words.len() as u64),
            (header::INDEX, HEADER_WORDS as u64),
            (header::SLOTS, 1),
            (header::ALIVE_UNTIL, alive_until),
        ] {
            words[at] = AtomicU64::new(value);
        }
        Heart::of(Table::new(&words).unwrap(), Now(now))
    }

    #[test]
    fn a_heart_beats_until_its_promise_is_over_and_has_stopped_from_then_on() {
        assert_eq!(heart(105, 100), Heart::Beats);
        assert_eq!(heart(101, 100), Heart::Beats);
        assert_eq!(heart(100, 100), Heart::Stopped(0));
        assert_eq!(heart(100, 130), Heart::Stopped(30));
    }

    #[test]
    fn a_replaced_or_sealed_table_and_one_of_another_clock_say_nothing() {
        assert_eq!(heart(0, 100), Heart::Unknown);
        assert_eq!(heart(100 + u64::from(FURTHEST_PROMISE) + 1, 100), Heart::Unknown);
        assert_eq!(heart(u64::MAX, 100), Heart::Unknown);
    }
}

//! Times by the server's clock.
//!
//! What has changed is asked for by `modifyTimestamp`, which the server writes by
//! its own clock, in whole seconds. Nobody tells what that clock shows now, but each
//! timestamp in the directory says what it has shown, and since then it has gone on as ours has.
//! [`ServerClock`] reckons from that the latest moment that had surely come when
//! a reading was started: everything modified before is in that reading, and the next one
//! asks for what was modified from then on.
//!
//! What has surely come must not be too late: a change would be missed until the ids are
//! compared. So timestamps that are minutes ahead of this host's clock don't count, a slow
//! server's clock is allowed for, and each full reading begins anew, as a
//! clock may be set back.
//!
//! The newest timestamp of a reading itself would be wrong in both directions: an
//! entry that was given out first and changed while the others were read would be
//! missed; and where all entries were loaded in one second, each poll
//! would read all of them.

use std::fmt;
use std::time::{Duration, Instant, SystemTime};

/// A time by the server's clock, in seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(u64);

const DAY: u64 = 86_400;
/// By how much a server's clock may be ahead of this host's.
const AHEAD: Duration = Duration::from_secs(300);
/// A server's clock may be slower than this host's by one in so many.
const DRIFT: u32 = 1000;

impl Moment {
    /// Parses a `GeneralizedTime` (RFC 4517 section 3.3.13) in UTC; fractions don't count.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.strip_suffix('Z')?;
        let digits = text.split(['.', ',']).next()?;
        if digits.len() != 14 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let part = |from, to| digits.get(from..to)?.parse::<u64>().ok();
        let (year, month, day) = (part(0, 4)?, part(4, 6)?, part(6, 8)?);
        let (hour, minute, second) = (part(8, 10)?, part(10, 12)?, part(12, 14)?);
        let valid = year >= 1970 && (1..=12).contains(&month) && (1..=31).contains(&day);
        let valid = valid && hour < 24 && minute < 60 && second <= 60;
        let time = hour * 3600 + minute * 60 + second;
        valid.then(|| Self(days_before(year, month, day) * DAY + time))
    }

    /// The latest that a server's clock may show if it is about right by the clock of
    /// this host. An entry with a later date is there, but its date says nothing.
    pub fn latest() -> Self {
        Self::now().plus(AHEAD)
    }

    /// This moment, by the clock of this host.
    pub fn now() -> Self {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        Self(now.map_or(0, |since| since.as_secs()))
    }

    /// The moment that lies this much earlier.
    #[must_use]
    pub fn minus(self, time: Duration) -> Self {
        // A part of a second counts as one: earlier is the safe side.
        Self(self.0.saturating_sub(time.as_secs() + u64::from(time.subsec_nanos() > 0)))
    }

    /// The moment that lies this much later.
    #[must_use]
    pub fn plus(self, time: Duration) -> Self {
        Self(self.0.saturating_add(time.as_secs()))
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, time) = (self.0 / DAY, self.0 % DAY);
        let (year, month, day) = date_of(days);
        let (hour, minute, second) = (time / 3600, time / 60 % 60, time % 60);
        write!(f, "{year:04}{month:02}{day:02}{hour:02}{minute:02}{second:02}Z")
    }
}

/// A calendar that begins on 1 March of the year 0 has its leap days at the ends
/// of its years. So many days of it lie before 1970.
const BEFORE_1970: u64 = 719_468;
/// After so many days the Gregorian calendar repeats itself: 400 years.
const ERA: u64 = 146_097;

/// The days between 1970-01-01 and this day.
fn days_before(year: u64, month: u64, day: u64) -> u64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let in_era = year % 400;
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    year / 400 * ERA + in_era * 365 + in_era / 4 - in_era / 100 + day_of_year - BEFORE_1970
}

/// The other way round.
fn date_of(days: u64) -> (u64, u64, u64) {
    let days = days + BEFORE_1970;
    let (era, day) = (days / ERA, days % ERA);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let (month, carry) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (era * 400 + year + carry, month, day)
}

/// What a server's clock shows at least.
#[derive(Clone, Copy, Debug, Default)]
pub struct ServerClock(Option<(Moment, Instant)>);

impl ServerClock {
    /// Takes note of the newest timestamp of a reading that has just ended.
    pub fn observe(&mut self, newest: Option<Moment>, now: Instant) {
        if let Some(newest) = newest
            && self.at(now).is_none_or(|known| known < newest)
        {
            self.0 = Some((newest, now));
        }
    }

    /// The moment that had surely come at this instant.
    pub fn at(&self, instant: Instant) -> Option<Moment> {
        let (moment, seen) = self.0?;
        Some(match instant.checked_duration_since(seen) {
            Some(later) => moment.plus(later.saturating_sub(later / DRIFT)),
            None => moment.minus(seen - instant),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(text: &str) -> Moment {
        Moment::parse(text).unwrap()
    }

    #[test]
    fn a_moment_is_what_date_says() {
        // date -u -d '2026-11-22 14:54:23' +%s
        assert_eq!(moment("20261122145423Z"), Moment(1_795_359_263));
        assert_eq!(moment("19700101000000Z"), Moment(0));
        assert_eq!(moment("20000229235959.123Z"), Moment(951_868_799));
    }

    #[test]
    fn what_is_no_time_in_utc_is_no_moment() {
        for text in ["", "Z", "20260102030405", "20260102030405+0100", "20261302030405Z", "2026Z"] {
            assert_eq!(Moment::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_moment_is_written_as_it_was_read() {
        for day in 0..60_000 {
            let moment = Moment(day * DAY + day);
            assert_eq!(Moment::parse(&moment.to_string()), Some(moment));
        }
    }

    #[test]
    fn what_changed_while_a_reading_went_on_belongs_to_the_next_one() {
        let started = Instant::now();
        let ended = started + Duration::from_secs(7);
        let mut clock = ServerClock::default();
        clock.observe(Some(moment("20260101000010Z")), ended);
        assert_eq!(clock.at(started), Some(moment("20260101000003Z")));
    }

    #[test]
    fn a_clock_that_goes_slowly_is_allowed_for() {
        let mut clock = ServerClock::default();
        let seen = Instant::now();
        clock.observe(Some(moment("20260101000000Z")), seen);
        let later = seen + Duration::from_secs(7200);
        assert!(clock.at(later) <= Some(moment("20260101015953Z")));
    }

    #[test]
    fn a_date_that_is_minutes_ahead_says_nothing_about_the_clock() {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        assert!(Moment::latest() < Moment(now.as_secs() + 3600));
        assert!(Moment::latest() > Moment(now.as_secs()));
    }

    #[test]
    fn a_second_that_is_over_is_not_read_again() {
        let mut clock = ServerClock::default();
        let loaded = Instant::now();
        let newest = Some(moment("20260101000010Z"));
        clock.observe(newest, loaded);
        let polled = loaded + Duration::from_secs(30);
        clock.observe(newest, polled);
        assert_eq!(clock.at(polled), Some(moment("20260101000039Z")));
    }
}

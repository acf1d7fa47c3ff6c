//! How old an answer may be.
//!
//! | what the table has | what is done |
//! |---|---|
//! | an answer that hasn't expired | it is given |
//! | one that expired less than another lifetime ago | it is given, and the directory is asked behind |
//! | an older one | the directory is asked; if it doesn't answer within a moment, the old one is given, and the asking goes on behind |
//! | one that is doubted: of before the daemon was started, or of before changes that may have been missed | the same with a longer moment |
//! | one that was outdated: by a flush, or by the news that it has changed | the directory is asked, and waited for to the end of the deadline; if it can't be asked, the old one is given |
//! | "no such entry" or "in no group" that has expired | as if there were nothing |
//! | nothing | the directory is asked, and waited for to the end of the deadline |
//! | nothing about the groups of a user of this host | the directory is asked; if it doesn't answer within a moment, it is "unavailable", and the asking goes on behind |
//! | one that was last known to be true more than `max_stale` ago | as if there were nothing |
//!
//! **The users of this host** are in no group of the directory, most of them, and each login of theirs asks
//! for that. They must not wait for a directory that says nothing, and neither is an absence told that
//! has expired: somebody may have been put into a group. "Unavailable" delays nobody, and those who
//! log in get the groups of this host's own files with it. That is why a user of the directory gets
//! no "unavailable" before the deadline is over: glibc swallows it, and the session would lack a group
//! that the user was just put into. `locals.rs` knows who is who.

use common::config::CacheConfig;
use common::table::{NEVER, Now};

use super::Known;

/// Expired, and nobody knows when: it was kept of an older table.
pub(in crate::daemon) const LONG_AGO: u32 = 0;
/// Expired, since it has changed as far as is known, or since somebody wants to see the directory as it is.
pub(in crate::daemon) const OUTDATED: u32 = 1;

/// What to do with what the table has.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is the answer.
    Fresh(Known),
    /// It is the answer, but the directory should be asked behind.
    Stale(Known),
    /// The directory has to be asked, but nobody has to wait for it long: this is the answer then.
    Overdue(Known),
    /// The same, but there may be something else to say by now: it is worth some waiting.
    Doubted(Known),
    /// The directory has to be asked. Only if it can't be, this is the answer, if there is one.
    Ask(Option<Known>),
}

/// Until when an answer counts that is known to be true now.
pub(in crate::daemon) fn expires(known: &Known, now: Now, cache: &CacheConfig) -> u32 {
    now.0.saturating_add(lifetime(known, cache)).clamp(OUTDATED + 1, NEVER - 1)
}

/// Whether this stands in the place of an expiry, which nobody knows any more.
pub(in crate::daemon) fn is_a_mark(expires: u32) -> bool {
    matches!(expires, LONG_AGO | OUTDATED)
}

/// When an answer with this expiry was last known to be true; `None`: nobody knows.
pub(in crate::daemon) fn heard_at(known: &Known, expires: u32, cache: &CacheConfig) -> Option<Now> {
    let known_when = !is_a_mark(expires) && expires != NEVER;
    known_when.then(|| Now(expires.saturating_sub(lifetime(known, cache))))
}

/// Answers that expired before this count for nothing any more: they are older than `max_stale`.
pub(in crate::daemon) fn long_gone(cache: &CacheConfig, now: Now) -> u32 {
    u32::try_from(cache.max_stale.as_secs()).map_or(0, |stale| now.0.saturating_sub(stale))
}

/// Judges what the table has. `unheard` is for how many seconds the directory
/// hasn't been heard of.
pub(super) fn judge(
    known: Option<(Known, u32)>,
    now: Now,
    unheard: u64,
    cache: &CacheConfig,
) -> Verdict {
    let Some((known, expires)) = known else { return Verdict::Ask(None) };
    let max_stale = cache.max_stale.as_secs();
    // A replica's record is as old as the last word from the directory.
    let too_old = match heard_at(&known, expires, cache) {
        Some(Now(heard)) => u64::from(now.0.saturating_sub(heard)) > max_stale,
        None => unheard > max_stale,
    };
    // What has its lifetime before it counts even with a shorter `max_stale`: that one is about
    // outages.
    if expires > now.0 && (expires != NEVER || !too_old) {
        return Verdict::Fresh(known);
    }
    if known.is_absent() || too_old {
        return Verdict::Ask(None);
    }
    let another = expires.saturating_add(lifetime(&known, cache));
    match expires {
        LONG_AGO => Verdict::Doubted(known),
        OUTDATED => Verdict::Ask(Some(known)),
        _ if another > now.0 => Verdict::Stale(known),
        _ => Verdict::Overdue(known),
    }
}

fn lifetime(known: &Known, cache: &CacheConfig) -> u32 {
    let lifetime = if known.is_absent() { cache.negative_lifetime } else { cache.lifetime };
    u32::try_from(lifetime.as_secs()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use common::account::Gid;
    use common::config::CacheMode;

    const CACHE: CacheConfig = CacheConfig {
        mode: CacheMode::OnDemand,
        max_replica: 0,
        push: true,
        refresh: Duration::from_secs(30),
        lifetime: Duration::from_secs(60),
        negative_lifetime: Duration::from_secs(10),
        max_entries: 100,
        max_stale: Duration::from_secs(1000),
    };

    fn known() -> Known {
        Known::Gids(vec![Gid::new(2000).unwrap()])
    }

    fn at(known: Known, expires: u32, now: u32) -> Verdict {
        silent(known, expires, now, 0)
    }

    /// The directory wasn't heard of for so many seconds.
    fn silent(known: Known, expires: u32, now: u32, unheard: u64) -> Verdict {
        judge(Some((known, expires)), Now(now), unheard, &CACHE)
    }

    #[test]
    fn an_answer_counts_for_its_lifetime_and_is_given_for_another() {
        assert_eq!(expires(&known(), Now(5000), &CACHE), 5060);
        assert_eq!(at(known(), 5060, 5059), Verdict::Fresh(known()));
        assert_eq!(at(known(), 5060, 5060), Verdict::Stale(known()));
        assert_eq!(at(known(), 5060, 5119), Verdict::Stale(known()));
        assert_eq!(at(known(), 5060, 5120), Verdict::Overdue(known()));
    }

    #[test]
    fn an_absence_never_outlives_its_time() {
        assert_eq!(expires(&Known::Absent, Now(5000), &CACHE), 5010);
        assert_eq!(at(Known::Absent, 5010, 5009), Verdict::Fresh(Known::Absent));
        assert_eq!(at(Known::Absent, 5010, 5010), Verdict::Ask(None));
    }

    /// Also right after the machine was started, when all times are small.
    #[test]
    fn an_answer_of_an_older_table_is_only_for_an_outage() {
        assert_eq!(at(known(), LONG_AGO, 5), Verdict::Doubted(known()));
        assert_eq!(silent(known(), LONG_AGO, 5, 1001), Verdict::Ask(None));
    }

    #[test]
    fn an_outdated_answer_counts_only_when_nobody_can_be_asked() {
        assert_eq!(at(known(), OUTDATED, 5), Verdict::Ask(Some(known())));
        assert_eq!(at(Known::Absent, OUTDATED, 5), Verdict::Ask(None));
        assert_eq!(silent(known(), OUTDATED, 5, 1001), Verdict::Ask(None));
    }

    #[test]
    fn no_time_is_a_mark() {
        let cache = CacheConfig { lifetime: Duration::from_secs(1), ..CACHE };
        let expiry = expires(&known(), Now(0), &cache);
        assert!(!is_a_mark(expiry) && heard_at(&known(), expiry, &cache).is_some());
    }

    #[test]
    fn an_answer_that_is_too_old_is_none() {
        assert_eq!(at(known(), 5060, 6001), Verdict::Ask(None));
    }

    #[test]
    fn a_replica_counts_until_the_directory_was_silent_for_too_long() {
        assert_eq!(at(known(), NEVER, 5), Verdict::Fresh(known()));
        assert_eq!(silent(known(), NEVER, 5, 1001), Verdict::Ask(None));
    }
}

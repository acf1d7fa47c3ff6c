//! How old an answer may be.
//!
//! | what the table has | what is done |
//! |---|---|
//! | an answer that hasn't expired | it is given |
//! | one that expired less than another lifetime ago | it is given, and the directory is asked behind |
//! | an older one | the directory is asked; if it doesn't answer within a moment, the old one is given, and the asking goes on behind |
//! | one that is doubted: of before the daemon was started, of before a flush, or of before changes that may have been missed | the same with a longer moment |
//! | "no such entry" that has expired | as if there were nothing |
//! | "in no group" that has expired, or nothing about the groups of a user of this host | the directory is asked; if it doesn't answer within a moment, it is "unavailable", and the asking goes on behind |
//! | one that was last known to be true more than `max_stale` ago | as if there were nothing |
//!
//! **"In no group"** is what is known of the users of this host, and each login of theirs asks for it. They
//! must not wait for a directory that says nothing, and neither is an absence told that
//! has expired: somebody may have been put into a group. "Unavailable" delays nobody, and those who
//! log in get the groups of this host's own files with it.

use common::config::CacheConfig;
use common::table::{NEVER, Now};

use super::{Asked, Known};

/// Expired, and nobody knows when: it was kept of an older table.
pub(in crate::daemon) const LONG_AGO: u32 = 0;

/// What to do with what the table has.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is the answer.
    Fresh(Known),
    /// It is the answer, but the directory should be asked behind.
    Stale(Known),
    /// The directory has to be asked, but nobody has to wait for it long: this is the answer then; if
    /// there is none, it is "unavailable".
    Overdue(Option<Known>),
    /// The same, but there may be something else to say by now: it is worth some waiting.
    Doubted(Known),
    /// The directory has to be asked.
    Ask,
}

/// Until when an answer counts that is known to be true now.
pub(in crate::daemon) fn expires(known: &Known, now: Now, cache: &CacheConfig) -> u32 {
    now.0.saturating_add(lifetime(known, cache)).min(NEVER - 1)
}

/// When an answer with this expiry was last known to be true; `None`: nobody knows.
pub(in crate::daemon) fn heard_at(known: &Known, expires: u32, cache: &CacheConfig) -> Option<Now> {
    let known_when = expires != LONG_AGO && expires != NEVER;
    known_when.then(|| Now(expires.saturating_sub(lifetime(known, cache))))
}

/// Answers that expired before this count for nothing any more: they are older than `max_stale`.
pub(in crate::daemon) fn long_gone(cache: &CacheConfig, now: Now) -> u32 {
    u32::try_from(cache.max_stale.as_secs()).map_or(0, |stale| now.0.saturating_sub(stale))
}

/// Judges what the table has. `unheard` is for how many seconds the directory
/// hasn't been heard of.
pub(super) fn judge(
    asked: &Asked,
    known: Option<(Known, u32)>,
    now: Now,
    unheard: u64,
    cache: &CacheConfig,
) -> Verdict {
    let Some((known, expires)) = known else { return Verdict::Ask };
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
    match (asked, known.is_absent()) {
        _ if too_old => return Verdict::Ask,
        (Asked::GroupsOf(_), true) => return Verdict::Overdue(None),
        (_, true) => return Verdict::Ask,
        (_, false) => {}
    }
    let another = expires.saturating_add(lifetime(&known, cache));
    match expires {
        LONG_AGO => Verdict::Doubted(known),
        _ if another > now.0 => Verdict::Stale(known),
        _ => Verdict::Overdue(Some(known)),
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
    use common::account::{Gid, Name};
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

    fn alice() -> Name {
        Name::parse("alice").unwrap()
    }

    fn at(known: Known, expires: u32, now: u32) -> Verdict {
        silent(known, expires, now, 0)
    }

    /// The directory wasn't heard of for so many seconds.
    fn silent(known: Known, expires: u32, now: u32, unheard: u64) -> Verdict {
        judge(&Asked::UserByName(alice()), Some((known, expires)), Now(now), unheard, &CACHE)
    }

    #[test]
    fn an_answer_counts_for_its_lifetime_and_is_given_for_another() {
        assert_eq!(expires(&known(), Now(5000), &CACHE), 5060);
        assert_eq!(at(known(), 5060, 5059), Verdict::Fresh(known()));
        assert_eq!(at(known(), 5060, 5060), Verdict::Stale(known()));
        assert_eq!(at(known(), 5060, 5119), Verdict::Stale(known()));
        assert_eq!(at(known(), 5060, 5120), Verdict::Overdue(Some(known())));
    }

    #[test]
    fn an_absence_never_outlives_its_time() {
        assert_eq!(expires(&Known::Absent, Now(5000), &CACHE), 5010);
        assert_eq!(at(Known::Absent, 5010, 5009), Verdict::Fresh(Known::Absent));
        assert_eq!(at(Known::Absent, 5010, 5010), Verdict::Ask);
    }

    #[test]
    fn that_somebody_was_in_no_group_only_shortens_the_wait() {
        let at = |now| {
            let known = Some((Known::Absent, 5010));
            judge(&Asked::GroupsOf(alice()), known, Now(now), 0, &CACHE)
        };
        assert_eq!(at(5009), Verdict::Fresh(Known::Absent));
        assert_eq!(at(5010), Verdict::Overdue(None));
        assert_eq!(at(6000), Verdict::Overdue(None));
        assert_eq!(at(6001), Verdict::Ask);
    }

    /// Also right after the machine was started, when all times are small.
    #[test]
    fn an_answer_of_an_older_table_is_only_for_an_outage() {
        assert_eq!(at(known(), LONG_AGO, 5), Verdict::Doubted(known()));
        assert_eq!(silent(known(), LONG_AGO, 5, 1001), Verdict::Ask);
    }

    #[test]
    fn an_answer_that_is_too_old_is_none() {
        assert_eq!(at(known(), 5060, 6001), Verdict::Ask);
    }

    #[test]
    fn a_replica_counts_until_the_directory_was_silent_for_too_long() {
        assert_eq!(at(known(), NEVER, 5), Verdict::Fresh(known()));
        assert_eq!(silent(known(), NEVER, 5, 1001), Verdict::Ask);
    }
}

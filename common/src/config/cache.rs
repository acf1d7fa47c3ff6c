//! `[cache]`: what is kept in the table, and for how long.

use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

use super::error::Problem;
use super::text::{Seconds, Text, choice, whole};
use super::{CacheConfig, CacheMode};

const REFRESH: Duration = Duration::from_secs(30);
const LIFETIME: Duration = Duration::from_secs(60);
const NEGATIVE_LIFETIME: Duration = Duration::from_secs(10);
const MAX_STALE: Duration = Duration::from_secs(7 * DAY);
const DAY: u64 = 86_400;

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawCache {
    mode: Option<Text>,
    max_replica: Option<Spanned<i64>>,
    push: Option<bool>,
    refresh: Option<Spanned<Seconds>>,
    lifetime: Option<Spanned<Seconds>>,
    negative_lifetime: Option<Spanned<Seconds>>,
    max_entries: Option<Spanned<i64>>,
    max_stale: Option<Spanned<Seconds>>,
}

impl RawCache {
    pub(super) fn check(&self) -> Result<CacheConfig, Problem> {
        let modes = [
            ("auto", CacheMode::Auto),
            ("replica", CacheMode::Replica),
            ("on-demand", CacheMode::OnDemand),
            ("off", CacheMode::Off),
        ];
        let mode = self.mode.as_ref().map(|mode| choice(mode, &modes)).transpose()?;
        let count = |number: &Option<Spanned<i64>>, least, default| {
            number.as_ref().map_or(Ok(default), |number| whole(number, least..=100_000_000))
        };
        Ok(CacheConfig {
            mode: mode.unwrap_or(CacheMode::Auto),
            max_replica: count(&self.max_replica, 0, 200_000)?,
            push: self.push.unwrap_or(true),
            refresh: span(self.refresh.as_ref(), REFRESH, 1..=DAY)?,
            lifetime: span(self.lifetime.as_ref(), LIFETIME, 1..=DAY)?,
            negative_lifetime: span(self.negative_lifetime.as_ref(), NEGATIVE_LIFETIME, 0..=DAY)?,
            max_entries: count(&self.max_entries, 100, 100_000)?,
            max_stale: span(self.max_stale.as_ref(), MAX_STALE, 0..=365 * DAY)?,
        })
    }
}

/// Times of the table are whole seconds; a fraction counts as a second begun.
pub(super) fn span(
    written: Option<&Spanned<Seconds>>,
    default: Duration,
    bounds: std::ops::RangeInclusive<u64>,
) -> Result<Duration, Problem> {
    let Some(written) = written else { return Ok(default) };
    let Seconds(seconds) = *written.get_ref();
    #[expect(clippy::cast_precision_loss, reason = "at most a year of seconds")]
    let (least, most) = (*bounds.start() as f64, *bounds.end() as f64);
    // Written so that "nan" fails, too.
    if seconds >= least && seconds <= most {
        return Ok(Duration::from_secs_f64(seconds.ceil()));
    }
    Err(Problem::at(written, format!("expected {least} to {most} seconds, found {seconds}")))
}

//! `[offline]`: logins while no server answers.

use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

use super::OfflineConfig;
use super::cache::span;
use super::error::Problem;
use super::text::{Seconds, whole};

const DAY: u64 = 86_400;
const MAX_AGE: Duration = Duration::from_secs(14 * DAY);

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawOffline {
    max_age: Option<Spanned<Seconds>>,
    max_failures: Option<Spanned<i64>>,
}

impl RawOffline {
    pub(super) fn check(&self) -> Result<OfflineConfig, Problem> {
        let max_failures = self.max_failures.as_ref();
        Ok(OfflineConfig {
            max_age: span(self.max_age.as_ref(), MAX_AGE, 0..=365 * DAY)?,
            max_failures: max_failures.map_or(Ok(5), |number| whole(number, 1..=100))?,
        })
    }
}

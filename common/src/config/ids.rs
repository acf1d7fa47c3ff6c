//! `[ids]`: which ids a directory may hand out.

use serde::Deserialize;
use toml::Spanned;

use super::IdRange;
use super::error::Problem;
use super::text::whole;
use crate::account::Uid;

/// The first id of people on today's distributions (`login.defs(5)`, `UID_MIN`).
const MIN: u32 = 1000;
/// The last id that is one: 4294967295 means "no id" (`chown(2)`).
const MAX: u32 = u32::MAX - 1;

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawIds {
    min_uid: Option<Spanned<i64>>,
    max_uid: Option<Spanned<i64>>,
    min_gid: Option<Spanned<i64>>,
    max_gid: Option<Spanned<i64>>,
}

impl RawIds {
    pub(super) fn check(&self) -> Result<IdRange, Problem> {
        let users = range(self.min_uid.as_ref(), self.max_uid.as_ref(), "uid")?;
        let groups = range(self.min_gid.as_ref(), self.max_gid.as_ref(), "gid")?;
        Ok(IdRange { min_uid: users.0, max_uid: users.1, min_gid: groups.0, max_gid: groups.1 })
    }
}

fn range(
    min: Option<&Spanned<i64>>,
    max: Option<&Spanned<i64>>,
    what: &str,
) -> Result<(u32, u32), Problem> {
    // 0 is root, wherever it comes from.
    let id = |number: &Spanned<i64>| whole(number, 1..=i64::from(MAX));
    let (low, high) =
        (min.map(id).transpose()?.unwrap_or(MIN), max.map(id).transpose()?.unwrap_or(MAX));
    // The reserved ids lie in runs of less than 10 000.
    if (low..=high).take(10_000).any(|id| Uid::new(id).is_ok()) {
        return Ok((low, high));
    }
    let problem = if low > high {
        format!("no {what} fits: min_{what} ({low}) is above max_{what} ({high})")
    } else {
        format!("no {what} fits: the system itself uses all of {low} to {high}")
    };
    Err(max.or(min).map_or_else(|| Problem::anywhere(&problem), |at| Problem::at(at, &problem)))
}

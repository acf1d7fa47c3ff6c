//! `[connections]`: how many may be open.

use serde::Deserialize;
use toml::Spanned;

use super::Connections;
use super::error::Problem;
use super::text::whole;

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawConnections {
    max: Option<Spanned<i64>>,
}

impl RawConnections {
    pub(super) fn check(&self) -> Result<Connections, Problem> {
        let max = self.max.as_ref().map(|number| whole(number, 1..=64)).transpose()?;
        Ok(Connections { max: max.unwrap_or(4) })
    }
}

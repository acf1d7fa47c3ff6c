//! `[timeouts]`: time limits, in seconds.

use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

use super::Timeouts;
use super::error::Problem;
use super::text::Seconds;
use crate::deadline;

const CONNECT: Duration = Duration::from_secs(3);
const IDLE: Duration = Duration::from_secs(900);
const MAX_IDLE: Duration = Duration::from_secs(86_400);

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawTimeouts {
    connect: Option<Spanned<Seconds>>,
    lookup: Option<Spanned<Seconds>>,
    login: Option<Spanned<Seconds>>,
    idle: Option<Spanned<Seconds>>,
}

impl RawTimeouts {
    pub(super) fn check(&self) -> Result<Timeouts, Problem> {
        const MODULES: &str = "the modules give up by then";
        let lookup = limit(self.lookup.as_ref(), deadline::LOOKUP, deadline::LOOKUP, MODULES)?;
        let login = limit(self.login.as_ref(), deadline::LOGIN, deadline::LOGIN, MODULES)?;
        let connect = limit(
            self.connect.as_ref(),
            CONNECT.min(lookup),
            lookup,
            "that is what a lookup may take, and a second server must have its turn",
        )?;
        let idle = limit(self.idle.as_ref(), IDLE, MAX_IDLE, "that is a day")?;
        Ok(Timeouts { connect, lookup, login, idle })
    }
}

fn limit(
    written: Option<&Spanned<Seconds>>,
    default: Duration,
    most: Duration,
    reason: &str,
) -> Result<Duration, Problem> {
    let Some(written) = written else { return Ok(default) };
    let Seconds(seconds) = *written.get_ref();
    // Written so that "nan" fails, too.
    if seconds >= 0.001 && seconds <= most.as_secs_f64() {
        return Ok(Duration::from_secs_f64(seconds));
    }
    Err(Problem::at(
        written,
        format!("expected 0.001 to {} seconds ({reason}), found {seconds}", most.as_secs_f64()),
    ))
}

//! What the log says about the way in which changes are heard of: nothing, while it is the same.

use std::time::Duration;

use tracing::{debug, info};

/// The way in which changes are heard of, as far as the log has said it.
#[derive(Default)]
pub(super) struct Way(Option<String>);

impl Way {
    /// Whether it is this one.
    pub(super) fn is(&self, way: &str) -> bool {
        self.0.as_deref() == Some(way)
    }

    /// It is this one, and was told.
    pub(super) fn is_now(&mut self, way: &str) {
        self.0 = Some(way.into());
    }

    /// Changes are asked for, for this reason.
    pub(super) fn is_asking(&mut self, why: &str, every: Duration) {
        if self.is(why) {
            debug!("changes are still asked for: {why}");
        } else {
            info!("changes are asked for every {} s: {why}", every.as_secs());
        }
        self.is_now(why);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_way_is_told_once_until_there_is_another_one() {
        let mut way = Way::default();
        assert!(!way.is("it is told"));
        way.is_now("it is told");
        assert!(way.is("it is told"));
        way.is_asking("it can't", Duration::ZERO);
        assert!(!way.is("it is told") && way.is("it can't"));
    }
}

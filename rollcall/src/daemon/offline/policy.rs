//! What a configuration allows.

use blake2::{Blake2s256, Digest};
use common::config::Config;
use serde::{Deserialize, Serialize};

/// Which directories, read in which way, let whom in: the hash of that (BLAKE2s). A user who was
/// let in under another configuration may not be let in under this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Origin(pub(super) [u8; 32]);

/// What a configuration allows.
#[derive(Debug, Clone)]
pub(in crate::daemon) struct Policy {
    /// In seconds.
    pub(super) max_age: u64,
    pub(super) max_failures: u32,
    pub(super) origin: Origin,
}

impl Policy {
    /// `None`: there are no offline logins.
    pub(in crate::daemon) fn of(config: &Config) -> Option<Self> {
        let max_age = config.offline.max_age.as_secs();
        let Config { directories, ids, home, shell, login, .. } = config;
        // Passwords print as ***: another one doesn't change who is let in.
        let text = format!("{directories:?} {ids:?} {home:?} {shell:?} {login:?}");
        let origin = Origin(Blake2s256::digest(text).into());
        let max_failures = config.offline.max_failures;
        (max_age > 0).then_some(Self { max_age, max_failures, origin })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn origin(text: &str) -> Option<Origin> {
        let text = format!("[directory]\nuri = [\"ldap://a\"]\nbase = \"dc=x\"\n{text}");
        Policy::of(&Config::parse(&text, Path::new("x")).unwrap()).map(|policy| policy.origin)
    }

    #[test]
    fn who_may_log_in_is_part_of_it_and_how_long_it_may_take_is_not() {
        let plain = origin("");
        assert!(plain.is_some());
        assert_eq!(origin("[timeouts]\nlogin = 7"), plain);
        assert_eq!(origin("[offline]\nmax_age = 7"), plain);
        for other in [
            "[login]\nallow_users = [\"alice\"]",
            "[login]\nfilter = \"(a=b)\"",
            "[ids]\nmin_uid = 2000",
            "[directory.users]\nbase = \"ou=people,dc=x\"",
        ] {
            assert_ne!(origin(other), plain, "{other}");
        }
    }

    #[test]
    fn an_age_of_0_turns_it_off() {
        assert_eq!(origin("[offline]\nmax_age = 0"), None);
    }
}

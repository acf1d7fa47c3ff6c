//! The rule for ids.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Whether an id is one that the system uses itself, so that no directory may
/// hand it out: 0 (root), 65534 (nobody, the overflow id of `user_namespaces(7)`),
/// 65535 and 4294967295 ("no id" in 16 and 32 bits, `chown(2)`), and
/// 61184 to 65519 (systemd's dynamic users, `systemd.exec(5)`).
const fn reserved(id: u32) -> bool {
    matches!(id, 0 | 61184..=65519 | 65534 | 65535 | u32::MAX)
}

/// An id that the system uses itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdError(u32);

impl fmt::Display for IdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "id {} is reserved for the system", self.0)
    }
}

impl std::error::Error for IdError {}

macro_rules! id {
    ($(#[$doc:meta])* $type:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "u32")]
        pub struct $type(u32);

        impl $type {
            /// Takes an id.
            ///
            /// # Errors
            /// When the system uses this id itself.
            pub const fn new(id: u32) -> Result<Self, IdError> {
                if reserved(id) { Err(IdError(id)) } else { Ok(Self(id)) }
            }

            /// The number.
            pub const fn get(self) -> u32 {
                self.0
            }
        }

        impl TryFrom<u32> for $type {
            type Error = IdError;

            fn try_from(id: u32) -> Result<Self, IdError> {
                Self::new(id)
            }
        }

        impl From<$type> for u32 {
            fn from(id: $type) -> Self {
                id.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

id! {
    /// The id of a user. Never one that the system uses itself, never root's.
    Uid
}
id! {
    /// The id of a group. Never one that the system uses itself, never root's.
    Gid
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Himmelblau GHSA-6gp8, authd CVE-2024-9312: ids in ranges the system uses itself.
    #[test]
    fn an_id_of_the_system_is_never_a_directory_id() {
        for id in [0, 61184, 62000, 65519, 65534, 65535, u32::MAX] {
            assert!(Uid::new(id).is_err(), "{id}");
            assert!(Gid::new(id).is_err(), "{id}");
        }
        for id in [1, 1000, 61183, 65520, 65536, 2_147_483_648, u32::MAX - 1] {
            assert!(Uid::new(id).is_ok(), "{id}");
        }
    }
}

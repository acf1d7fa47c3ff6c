//! Passwords: zeroed when dropped, never printed, never compared by accident.

use std::fmt;

use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop};

/// The longest password accepted, in bytes; PAM's own limit (`PAM_MAX_RESP_SIZE`).
pub const MAX_SECRET: usize = 512;

/// A password. Its memory is zeroed when it is dropped, and `{:?}` prints `***`.
///
/// It has no `PartialEq`, no `Display` and no way to grow, so that no copy of
/// the bytes is left behind by a reallocation.
#[derive(Clone, Zeroize, ZeroizeOnDrop, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(Box<str>);

impl Secret {
    /// Takes over the text. The caller's `String` is consumed, not copied,
    /// when its capacity is exact.
    pub fn new(mut text: String) -> Self {
        let secret = Self(text.as_str().into());
        text.zeroize();
        secret
    }

    /// The password itself. Keep the borrow short.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether there is nothing in it. An empty password must never be sent: a
    /// server answers success to it (unauthenticated bind, RFC 4513 section 5.1.2).
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether it is too long to be a password.
    pub fn is_too_long(&self) -> bool {
        self.0.len() > MAX_SECRET
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_never_printed() {
        let secret = Secret::new("hunter2".into());
        assert_eq!(format!("{secret:?}"), "***");
        assert_eq!(format!("{:?}", Some(&secret)), "Some(***)");
    }
}

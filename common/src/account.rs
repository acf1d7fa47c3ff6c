//! Names, ids, users and groups that are valid by construction.
//!
//! Nothing that breaks the rules of `passwd(5)` and `group(5)` can be held in
//! these types, whichever way it came: from LDAP, over the socket, from a
//! program's argument. Deserializing goes through the same checks, so a module
//! refuses a bad answer even from a daemon that was taken over.

use std::fmt;

use serde::{Deserialize, Serialize};

mod id;
mod members;
mod name;

pub use id::{Gid, IdError, Uid};
pub use members::Members;
pub use name::{Name, NameError};

/// The longest text field (gecos, home, shell), in bytes.
pub const MAX_FIELD: usize = 1024;

/// A text field of a passwd line: gecos. Free of `:`, NUL and control characters.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct Field(Box<str>);

impl Field {
    /// Makes a field of any text: what may not stand there becomes a blank, and
    /// what is too long is cut.
    pub fn cleaned(text: &str) -> Self {
        let mut clean: String =
            text.chars().map(|c| if c == ':' || c.is_control() { ' ' } else { c }).collect();
        clean.truncate(clean.floor_char_boundary(MAX_FIELD));
        Self(clean.into())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Field {
    type Error = FieldError;

    fn try_from(text: String) -> Result<Self, FieldError> {
        if text.len() > MAX_FIELD || text.contains(|c: char| c == ':' || c.is_control()) {
            return Err(FieldError);
        }
        Ok(Self(text.into()))
    }
}

/// An absolute path in a passwd line: home directory or shell.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct AbsolutePath(Box<str>);

impl AbsolutePath {
    /// The path of an account that has no home (`passwd(5)` has no word for it;
    /// the Filesystem Hierarchy Standard has this one). Never `/`.
    pub fn nonexistent() -> Self {
        Self("/nonexistent".into())
    }

    /// The shell of an account that has none, `passwd(5)`.
    pub fn bin_sh() -> Self {
        Self("/bin/sh".into())
    }

    /// The shell of an account that must not have one, `nologin(8)`.
    pub fn nologin() -> Self {
        Self("/usr/sbin/nologin".into())
    }

    /// Parses a path.
    ///
    /// # Errors
    /// When it is not absolute, is too long, or holds `:` or a control character.
    pub fn parse(text: &str) -> Result<Self, FieldError> {
        Self::try_from(text.to_owned())
    }

    /// The path.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for AbsolutePath {
    type Error = FieldError;

    fn try_from(text: String) -> Result<Self, FieldError> {
        if !text.starts_with('/') {
            return Err(FieldError);
        }
        Field::try_from(text).map(|field| Self(field.0))
    }
}

/// A text that can't stand in a passwd line.
#[derive(Debug, PartialEq, Eq)]
pub struct FieldError;

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "must be at most {MAX_FIELD} bytes without \":\" and control characters, \
             and a path must start with \"/\""
        )
    }
}

impl std::error::Error for FieldError {}

/// An account, as `getpwnam(3)` gives it. There is no password in it, not even a hash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields of passwd(5)")]
pub struct User {
    pub name: Name,
    pub uid: Uid,
    pub gid: Gid,
    pub gecos: Field,
    pub home: AbsolutePath,
    pub shell: AbsolutePath,
}

/// A group, as `getgrnam(3)` gives it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields of group(5)")]
pub struct Group {
    pub name: Name,
    pub gid: Gid,
    pub members: Members,
}

/// The ageing of a password, as `getspnam(3)` gives it: days since 1970-01-01
/// or numbers of days; `None` where the directory says nothing. The hash itself
/// never leaves the directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields of shadow(5)")]
pub struct Shadow {
    pub name: Name,
    pub last_change: Option<i64>,
    pub min: Option<i64>,
    pub max: Option<i64>,
    pub warn: Option<i64>,
    pub inactive: Option<i64>,
    pub expire: Option<i64>,
    pub flag: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_never_holds_what_would_break_a_passwd_line() {
        assert_eq!(Field::cleaned("a:b\nc\0d").as_str(), "a b c d");
        assert!(Field::try_from("a:b".to_owned()).is_err());
        assert!(Field::try_from("a\nb".to_owned()).is_err());
    }

    #[test]
    fn a_long_field_is_cut_between_characters() {
        let field = Field::cleaned(&"é".repeat(MAX_FIELD));
        assert_eq!(field.as_str().len(), MAX_FIELD);
    }

    #[test]
    fn a_path_is_absolute() {
        assert!(AbsolutePath::parse("/home/alice").is_ok());
        for bad in ["", "home", "/a:b", "/a\nb"] {
            assert!(AbsolutePath::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_root_user_cannot_be_deserialized() {
        // postcard of (name, uid 0): the check is in the type, not in its maker.
        let wire = postcard::to_allocvec(&("alice", 0_u32)).unwrap();
        assert!(postcard::from_bytes::<(Name, Uid)>(&wire).is_err());
    }
}

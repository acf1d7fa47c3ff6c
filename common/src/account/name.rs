//! The rule for names.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The longest name, in bytes: `LOGIN_NAME_MAX` without its NUL.
const MAX_NAME: usize = 255;
/// The names that no directory may give.
const OWN: [&str; 2] = ["root", "rollcall"];

/// The name of a user or group.
///
/// One rule, for both: 1 to 255 bytes of UTF-8; no control character, `:`,
/// `,`, `/` or white space other than an inner blank; not `.` or `..`; not all
/// digits (`chown 1000` must stay unambiguous); not starting with `-` (an
/// option), `+` (the compat syntax of `passwd(5)`) or `~` (a home directory).
/// Whatever else a directory holds (`t(u)ser`, `my#group`, `Domain Users`,
/// `usr\001`) is a name.
///
/// Two names are this host's own, whatever a directory says: `root`, and
/// `rollcall`, as whom the daemon runs. Nobody ever waits for a directory to
/// ask about them; systemd asks for the groups of `rollcall` before it starts the
/// daemon that would have to answer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct Name(Box<str>);

impl Name {
    /// Parses a name.
    ///
    /// # Errors
    /// Tells which part of the rule the text breaks.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        check(text)?;
        Ok(Self(text.into()))
    }

    /// Parses bytes that should be a name, as they come from C or LDAP.
    ///
    /// # Errors
    /// As [`Name::parse`]; bytes that aren't UTF-8 are not a name either.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, NameError> {
        Self::parse(std::str::from_utf8(bytes).map_err(|_| NameError::Character)?)
    }

    /// Whether this is one of the names that no directory may give, so that nobody
    /// asks about it.
    pub fn is_own(text: &[u8]) -> bool {
        OWN.iter().any(|own| own.as_bytes() == text)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Checks the rule for names without keeping the text.
pub(super) fn check(text: &str) -> Result<(), NameError> {
    if text.is_empty() || text.len() > MAX_NAME {
        return Err(NameError::Length);
    }
    let forbidden =
        |c: char| c.is_control() || matches!(c, ':' | ',' | '/') || (c.is_whitespace() && c != ' ');
    if text.contains(forbidden) {
        return Err(NameError::Character);
    }
    if text.starts_with(['-', '+', '~', ' ']) || text.ends_with(' ') || text == "." || text == ".."
    {
        return Err(NameError::Form);
    }
    if text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(NameError::Numeric);
    }
    if OWN.contains(&text) {
        return Err(NameError::Own);
    }
    Ok(())
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Name {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        check(&text)?;
        Ok(Self(text.into()))
    }
}

impl AsRef<str> for Name {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

/// Why a text is not a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameError {
    /// Empty, or longer than 255 bytes.
    Length,
    /// Not UTF-8, or with a character that no name may have.
    Character,
    /// `.`, `..`, a leading `-`, `+`, `~` or blank, a trailing blank.
    Form,
    /// Only digits: it would be taken for an id.
    Numeric,
    /// `root` or `rollcall`: this host's own.
    Own,
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Length => "a name has 1 to 255 bytes",
            Self::Character => {
                "a name is UTF-8 without \":\", \",\", \"/\", control characters and tabs"
            }
            Self::Form => {
                "a name is not \".\" or \"..\", doesn't start with \"-\", \"+\", \"~\" or a blank \
                 and doesn't end with a blank"
            }
            Self::Numeric => "a name of digits alone would be taken for an id",
            Self::Own => "\"root\" and \"rollcall\" are this host's own names",
        })
    }
}

impl std::error::Error for NameError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_directories_hold_is_a_name() {
        for name in [
            "alice",
            "t(u)ser",
            "my#group",
            "usr\\001",
            "Domain Users",
            "ünal",
            "a.b",
            "0x1",
            "_x",
            "a$",
        ] {
            assert!(Name::parse(name).is_ok(), "{name:?}");
        }
    }

    #[test]
    fn what_other_programs_would_misread_is_not_a_name() {
        for name in [
            "",
            ".",
            "..",
            "-x",
            "+x",
            "~x",
            " x",
            "x ",
            "1000",
            "a:b",
            "a\nb",
            "a\0b",
            "a\tb",
            "a/b",
            "a,b",
            "a\u{7f}",
            "a\u{85}",
            "a\u{2028}b",
        ] {
            assert!(Name::parse(name).is_err(), "{name:?}");
        }
        assert!(Name::parse(&"x".repeat(256)).is_err());
        assert!(Name::from_bytes(b"\xff\xfe").is_err());
    }

    #[test]
    fn a_directory_never_names_root_or_the_daemons_user() {
        for name in ["root", "rollcall"] {
            assert_eq!(Name::parse(name), Err(NameError::Own));
            assert!(Name::is_own(name.as_bytes()));
        }
    }

    #[test]
    fn a_bad_name_cannot_be_deserialized() {
        let wire = postcard::to_allocvec("root:x").unwrap();
        assert!(postcard::from_bytes::<Name>(&wire).is_err());
    }
}

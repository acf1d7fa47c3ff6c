//! What the module needs from PAM. [`crate::libpam`] gives it with the real
//! library, the tests with a handle of their own.

use common::account::Name;
use common::protocol::Ticket;
use common::secret::Secret;
use pamsm::{LogLvl, PamError};

use crate::args::Whom;

/// One PAM transaction, as `pam_start(3)` opens it.
pub(crate) trait Handle {
    /// The user's name as the application or the user gave it (`pam_get_user(3)`).
    ///
    /// # Errors
    /// The code of the conversation, when the user had to be asked.
    fn user(&mut self) -> Result<Vec<u8>, PamError>;

    /// A text item; empty when it isn't set. What isn't UTF-8 in it is replaced.
    fn text(&self, item: Text) -> String;

    /// A password that lies in the handle.
    fn token(&self, token: Token) -> Option<Result<Secret, Flaw>>;

    /// Puts a password into the handle, for this and later modules.
    ///
    /// # Errors
    /// libpam's code.
    fn set_token(&mut self, token: Token, password: &Secret) -> Result<(), PamError>;

    /// Asks the user for a password, without echo.
    ///
    /// # Errors
    /// [`PamError::CONV_ERR`] when nobody can be asked or no answer comes,
    /// [`PamError::INCOMPLETE`] when the answer isn't there yet.
    fn prompt(&mut self, text: &str) -> Result<Result<Secret, Flaw>, PamError>;

    /// Shows the user a text. One that can't be shown is lost.
    fn tell(&mut self, tone: Tone, text: &str);

    /// What an earlier phase of this transaction left.
    fn memory(&self) -> Option<Memory>;

    /// Leaves something for later phases, in place of what was left before.
    ///
    /// # Errors
    /// libpam's code.
    fn remember(&mut self, memory: Option<Memory>) -> Result<(), PamError>;

    /// Writes a line to the log (`pam_syslog(3)`).
    fn log(&self, level: LogLvl, line: &str);

    /// Asks libpam to wait, should this transaction fail (`pam_fail_delay(3)`).
    fn delay_failure(&mut self, microseconds: u32);

    /// Whether the person behind this process is root: the real uid, since
    /// `passwd(1)` has root's effective uid for everybody.
    fn asker_is_root(&self) -> bool;
}

/// Text items of `pam_get_item(3)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Text {
    /// `PAM_SERVICE`
    Service,
    /// `PAM_TTY`
    Tty,
    /// `PAM_RHOST`
    Rhost,
    /// `PAM_RUSER`
    Ruser,
}

/// Password items of `pam_get_item(3)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Token {
    /// `PAM_AUTHTOK`: the password; while it is changed, the new one.
    Password,
    /// `PAM_OLDAUTHTOK`: the old password, while it is changed.
    Old,
}

/// How a text is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    /// `PAM_TEXT_INFO`
    Info,
    /// `PAM_ERROR_MSG`
    Error,
}

/// Why something isn't a password. It is never sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// Empty: a server answers success to it (RFC 4513 section 5.1.2).
    Empty,
    /// Longer than `PAM_MAX_RESP_SIZE`.
    TooLong,
    /// Not UTF-8, as RFC 4513 section 5.1.3 wants passwords of users to be. No
    /// password that was set that way can be meant.
    NotUtf8,
}

impl Flaw {
    /// For the log and the user.
    pub(crate) fn describe(self) -> &'static str {
        match self {
            Self::Empty => "the password is empty",
            Self::TooLong => "the password is too long",
            Self::NotUtf8 => "the password is not UTF-8",
        }
    }
}

/// Makes a password of the bytes that PAM gave. The caller zeroes the bytes.
pub(crate) fn judge(bytes: &[u8]) -> Result<Secret, Flaw> {
    if bytes.is_empty() {
        return Err(Flaw::Empty);
    }
    let text = std::str::from_utf8(bytes).map_err(|_| Flaw::NotUtf8)?;
    if text.len() > common::secret::MAX_SECRET {
        return Err(Flaw::TooLong);
    }
    Ok(Secret::new(text.to_owned()))
}

/// What one phase of a login leaves for the next ones.
///
/// It holds for one user and one source of answers: an application may set
/// another `PAM_USER` between two phases, and two lines of a stack may ask two
/// directories.
#[derive(Debug, Clone)]
pub(crate) struct Memory {
    /// Whose login.
    pub(crate) name: Name,
    /// Who answered.
    pub(crate) whom: Whom,
    /// The directory has accepted this user's password.
    pub(crate) authenticated: bool,
    /// The password has to be changed before anything else.
    pub(crate) must_change: bool,
    /// The right to change it without another bind.
    pub(crate) ticket: Option<Ticket>,
    /// The password that was accepted: libpam forgets it when the phase ends,
    /// and whoever must change it is not to be asked for it twice. Kept no
    /// longer than until it is known that no change is needed.
    pub(crate) password: Option<Secret>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_password_is_not_taken_for_one() {
        assert_eq!(judge(b"").unwrap_err(), Flaw::Empty);
        assert_eq!(judge(b"pass\xff").unwrap_err(), Flaw::NotUtf8);
        assert_eq!(judge(&[b'x'; 513]).unwrap_err(), Flaw::TooLong);
        assert_eq!(judge(&[b'x'; 512]).unwrap().expose().len(), 512);
    }

    #[test]
    fn a_memory_is_printed_without_its_password() {
        let memory = Memory {
            name: Name::parse("alice").unwrap(),
            whom: Whom::Host,
            authenticated: true,
            must_change: true,
            ticket: None,
            password: Some(Secret::new("hunter2".into())),
        };
        assert!(!format!("{memory:?}").contains("hunter2"));
    }
}

//! Password policy: what a server says about a password besides yes and no
//! (draft-behera-ldap-password-policy-10, section 6).

use ldap3::controls::{Control, RawControl};

/// The control's OID, the same for request and response.
const OID: &str = "1.3.6.1.4.1.42.2.27.8.5.1";

/// What the response control says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PolicyState {
    /// Seconds until the password expires.
    pub expires_in: Option<u32>,
    /// How many logins are left with this expired password.
    pub grace_left: Option<u32>,
    /// What is wrong.
    pub error: Option<PolicyError>,
}

/// What is wrong with a password or an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names of the draft")]
pub enum PolicyError {
    PasswordExpired,
    AccountLocked,
    ChangeAfterReset,
    PasswordModNotAllowed,
    MustSupplyOldPassword,
    InsufficientPasswordQuality,
    PasswordTooShort,
    PasswordTooYoung,
    PasswordInHistory,
    /// One that the draft doesn't know.
    Other(u32),
}

impl PolicyError {
    fn new(code: u32) -> Self {
        match code {
            0 => Self::PasswordExpired,
            1 => Self::AccountLocked,
            2 => Self::ChangeAfterReset,
            3 => Self::PasswordModNotAllowed,
            4 => Self::MustSupplyOldPassword,
            5 => Self::InsufficientPasswordQuality,
            6 => Self::PasswordTooShort,
            7 => Self::PasswordTooYoung,
            8 => Self::PasswordInHistory,
            other => Self::Other(other),
        }
    }

    /// A sentence for the user whose new password was refused.
    pub fn about_new_password(self) -> &'static str {
        match self {
            Self::PasswordModNotAllowed => "You may not change your password.",
            Self::MustSupplyOldPassword => "The old password has to be given with the new one.",
            Self::InsufficientPasswordQuality => "The new password is too simple.",
            Self::PasswordTooShort => "The new password is too short.",
            Self::PasswordTooYoung => "Your password was changed too recently.",
            Self::PasswordInHistory => "The new password was used before.",
            Self::AccountLocked => "Your account is locked.",
            Self::PasswordExpired | Self::ChangeAfterReset | Self::Other(_) => {
                "The directory refuses the new password."
            }
        }
    }
}

/// The request control: not critical, so servers without policies take no notice.
pub fn request() -> RawControl {
    RawControl { ctype: OID.into(), crit: false, val: None }
}

/// What the response control among these says. `None` if there is none;
/// `Some(Err)` if it can't be understood, which must not count as "all is well"
/// (PADL CVE-2006-5170).
pub fn response(controls: &[Control]) -> Option<Result<PolicyState, Unreadable>> {
    let Control(_, raw) = controls.iter().find(|Control(_, raw)| raw.ctype == OID)?;
    Some(parse(raw.val.as_deref().unwrap_or_default()).ok_or(Unreadable))
}

/// A policy response that can't be understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unreadable;

/// `SEQUENCE { warning [0] CHOICE { [0] INTEGER, [1] INTEGER }, error [1] ENUMERATED }`,
/// both optional.
fn parse(value: &[u8]) -> Option<PolicyState> {
    let mut state = PolicyState::default();
    let (0x30, mut rest, []) = split(value)? else { return None };
    while !rest.is_empty() {
        let (tag, content, next) = split(rest)?;
        match tag {
            0xa0 => match split(content)? {
                (0x80, n, []) => state.expires_in = Some(number(n)?),
                (0x81, n, []) => state.grace_left = Some(number(n)?),
                _ => return None,
            },
            0x81 => state.error = Some(PolicyError::new(number(content)?)),
            _ => return None,
        }
        rest = next;
    }
    Some(state)
}

/// Tag, content, and what follows of a short element (X.690 section 8.1).
fn split(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let [tag, length @ 0..=0x7f, rest @ ..] = bytes else { return None };
    let (content, rest) = rest.split_at_checked(usize::from(*length))?;
    Some((*tag, content, rest))
}

/// A number of at most four bytes, not negative.
fn number(bytes: &[u8]) -> Option<u32> {
    match bytes {
        [0, digits @ ..] | digits @ [1..=0x7f, ..] if digits.len() <= 4 => {
            Some(digits.iter().fold(0, |n, &byte| n << 8 | u32::from(byte)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_statement_of_the_draft_is_read() {
        let state = |bytes: &[u8]| parse(bytes).unwrap();
        assert_eq!(state(b"\x30\x00"), PolicyState::default());
        assert_eq!(state(b"\x30\x05\xa0\x03\x81\x01\x02").grace_left, Some(2));
        assert_eq!(state(b"\x30\x05\xa0\x03\x81\x01\x00").grace_left, Some(0));
        assert_eq!(state(b"\x30\x06\xa0\x04\x80\x02\x0e\x10").expires_in, Some(3600));
        assert_eq!(state(b"\x30\x03\x81\x01\x02").error, Some(PolicyError::ChangeAfterReset));
    }

    /// PADL CVE-2006-5170
    #[test]
    fn what_cannot_be_read_is_never_all_is_well() {
        for bytes in [
            &b""[..],
            b"\x30",
            b"\x30\x01",
            b"\x31\x00",
            b"\x30\x00\x00",
            b"\x30\x02\xa0\x00",
            b"\x30\x02\x81\x00",
            b"\x30\x03\x81\x01\xff",
            b"\x30\x02\x82\x00",
            b"\x30\x80\x00\x00",
        ] {
            assert_eq!(parse(bytes), None, "{bytes:02x?}");
            let control = RawControl { ctype: OID.into(), crit: false, val: Some(bytes.to_vec()) };
            assert_eq!(response(&[Control(None, control)]), Some(Err(Unreadable)));
        }
    }
}

//! What a server's answer to a bind, or to a new password, means.

use crate::directory::passwords::Said;
use crate::ldap::LdapError;
use crate::ldap::ppolicy::{PolicyError, PolicyState};
use crate::protocol::{LoginAnswer, Verdict};

/// The longest text of a server that is shown to a user, in characters.
const MAX_TEXT: usize = 200;

fn answer(verdict: Verdict, message: impl Into<String>) -> LoginAnswer {
    LoginAnswer { messages: vec![message.into()], ..verdict.into() }
}

/// What a bind means (RFC 4511 appendix A, draft-behera-ldap-password-policy-10
/// section 8.1). Codes that aren't listed here are never a yes.
pub(super) fn bind(said: &Said) -> Result<LoginAnswer, LdapError> {
    let Said { code, policy, .. } = said;
    Ok(match (code, policy.error) {
        (0, None) => with_right_password(policy),
        (0, Some(PolicyError::ChangeAfterReset)) => {
            answer(Verdict::MustChange, "You have to change your password now.")
        }
        (0 | 49, Some(PolicyError::AccountLocked)) => {
            answer(Verdict::Locked, "Your account is locked.")
        }
        (0, Some(PolicyError::PasswordExpired)) => {
            answer(Verdict::MustChange, "Your password has expired. You have to change it now.")
        }
        (49, Some(PolicyError::PasswordExpired)) => answer(
            Verdict::PasswordExpired,
            "Your password has expired. An administrator has to set a new one.",
        ),
        // invalidCredentials; noSuchObject and inappropriateAuthentication: there is no password
        (49 | 48 | 32, _) => Verdict::WrongPassword.into(),
        // constraintViolation and unwillingToPerform, 389 Directory Server's words for locked and disabled
        (19 | 53, _) => answer(Verdict::Locked, "Your account is locked."),
        (50, _) => answer(Verdict::Denied, "The directory doesn't let you log in."),
        _ => return Err(LdapError::Result(*code, said.text.clone())),
    })
}

fn with_right_password(policy: &PolicyState) -> LoginAnswer {
    match (policy.grace_left, policy.expires_in) {
        (Some(0), _) => answer(
            Verdict::MustChange,
            "Your password has expired, and this was the last login with it. You have to change \
             it now.",
        ),
        (Some(left), _) => {
            let logins = if left == 1 { "login is" } else { "logins are" };
            answer(
                Verdict::Accepted,
                format!("Your password has expired; {left} more {logins} possible with it."),
            )
        }
        (None, Some(seconds)) => {
            answer(Verdict::Accepted, format!("Your password expires in {}.", duration(seconds)))
        }
        (None, None) => Verdict::Accepted.into(),
    }
}

/// Days from two on, hours below that; rounded down, so that nobody waits too long.
fn duration(seconds: u32) -> String {
    match (seconds / 86_400, seconds / 3600) {
        (days @ 2.., _) => format!("{days} days"),
        (_, hours @ 2..) => format!("{hours} hours"),
        (_, 1) => "an hour".into(),
        (_, 0) => "less than an hour".into(),
    }
}

/// What the answer to a new password means.
pub(super) fn new_password(said: &Said) -> LoginAnswer {
    if said.code == 0 {
        return Verdict::Accepted.into();
    }
    let mut messages = Vec::new();
    messages.extend(said.policy.error.map(|error| error.about_new_password().to_owned()));
    let text: String = said.text.chars().filter(|c| !c.is_control()).take(MAX_TEXT).collect();
    if !text.is_empty() {
        messages.push(format!("The directory says: {text}"));
    }
    if messages.is_empty() {
        messages
            .push(format!("The directory refuses the new password (result code {}).", said.code));
    }
    LoginAnswer { messages, ..Verdict::NewPasswordRefused.into() }
}

/// An empty or much too long new password isn't even sent.
pub(super) fn refused_length() -> LoginAnswer {
    answer(Verdict::NewPasswordRefused, "A password has 1 to 512 bytes.")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(code: u32, policy: PolicyState) -> Said {
        Said { code, text: String::new(), policy }
    }

    fn verdict(code: u32, error: Option<PolicyError>) -> Option<Verdict> {
        let policy = PolicyState { error, ..PolicyState::default() };
        bind(&said(code, policy)).ok().map(|answer| answer.verdict)
    }

    /// PADL CVE-2006-5170: an error on the policy's way must not end in success.
    #[test]
    fn only_result_code_0_without_a_policy_error_lets_anybody_in() {
        use PolicyError as E;
        let errors = [
            None,
            Some(E::PasswordExpired),
            Some(E::AccountLocked),
            Some(E::ChangeAfterReset),
            Some(E::PasswordModNotAllowed),
            Some(E::PasswordTooYoung),
            Some(E::Other(99)),
        ];
        for code in 0..=200 {
            for error in errors {
                let accepted = verdict(code, error) == Some(Verdict::Accepted);
                assert_eq!(accepted, code == 0 && error.is_none(), "{code} {error:?}");
            }
        }
    }

    #[test]
    fn a_wrong_password_a_locked_account_and_an_expired_password_are_told_apart() {
        assert_eq!(verdict(49, None), Some(Verdict::WrongPassword));
        assert_eq!(verdict(49, Some(PolicyError::AccountLocked)), Some(Verdict::Locked));
        assert_eq!(verdict(49, Some(PolicyError::PasswordExpired)), Some(Verdict::PasswordExpired));
    }

    #[test]
    fn a_server_with_other_troubles_is_unavailable() {
        for code in [1, 51, 52, 80, 99] {
            assert_eq!(verdict(code, None), None, "{code}");
        }
    }

    #[test]
    fn grace_logins_are_counted_and_the_last_one_demands_a_change() {
        let with = |left| {
            let policy = PolicyState { grace_left: Some(left), ..PolicyState::default() };
            bind(&said(0, policy)).unwrap()
        };
        assert_eq!(with(2).verdict, Verdict::Accepted);
        assert!(with(2).messages[0].contains("2 more logins are"));
        assert!(with(1).messages[0].contains("1 more login is"));
        assert_eq!(with(0).verdict, Verdict::MustChange);
    }

    #[test]
    fn a_warning_says_how_long() {
        let text = |seconds| {
            let policy = PolicyState { expires_in: Some(seconds), ..PolicyState::default() };
            bind(&said(0, policy)).unwrap().messages.remove(0)
        };
        assert!(text(3 * 86_400 + 5).contains("3 days"));
        assert!(text(86_400).contains("24 hours"));
        assert!(text(59).contains("less than an hour"));
    }

    #[test]
    fn the_servers_words_about_a_new_password_reach_the_user_without_control_characters() {
        let said = Said {
            code: 19,
            text: "too \u{1b}[31mshort".into(),
            policy: PolicyState {
                error: Some(PolicyError::PasswordTooShort),
                ..PolicyState::default()
            },
        };
        let answer = new_password(&said);
        assert_eq!(answer.verdict, Verdict::NewPasswordRefused);
        assert_eq!(answer.messages[1], "The directory says: too [31mshort");
    }
}

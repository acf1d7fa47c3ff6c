//! What a response means to PAM: one table, for all phases.

use common::protocol::{Refused, Response, Verdict};
use pamsm::PamError;

/// The phase of a transaction, by what it may answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// `pam_sm_authenticate(3)`
    Auth,
    /// `pam_sm_acct_mgmt(3)`
    Account,
    /// `pam_sm_chauthtok(3)`, `PAM_PRELIM_CHECK`
    Prelim,
    /// `pam_sm_chauthtok(3)`, `PAM_UPDATE_AUTHTOK`
    Update,
}

/// The code for a response to a login request.
///
/// The codes are those of the phase's manual page. Beyond it go
/// `PAM_PERM_DENIED`, `PAM_ACCT_EXPIRED` and `PAM_AUTHTOK_EXPIRED` where a
/// server judges the account while it checks the password; `PAM_AUTHTOK_EXPIRED`
/// in the account phase, which is what `pam_unix(8)` answers there; and
/// `PAM_AUTHINFO_UNAVAIL` in the phases whose pages have no word for an outage.
///
/// An answer that doesn't belong to the question is `PAM_SERVICE_ERR`, which no
/// option turns into `PAM_IGNORE`: an error never becomes a success (PADL
/// CVE-2006-5170), and no code below means "go on".
pub(crate) fn code(phase: Phase, response: &Response) -> PamError {
    use Phase::{Account, Auth, Prelim, Update};

    let verdict = match response {
        Response::Login(answer) => answer.verdict,
        // The page of chauthtok has its own word for "not ready".
        Response::Unavailable(_) if phase == Prelim => return PamError::TRY_AGAIN,
        Response::Unavailable(_) => return PamError::AUTHINFO_UNAVAIL,
        Response::NotFound => return PamError::USER_UNKNOWN,
        Response::Refused(Refused::NotRoot) => return PamError::PERM_DENIED,
        _ => return PamError::SERVICE_ERR,
    };
    match (verdict, phase) {
        (Verdict::Accepted, _) | (Verdict::MustChange, Auth | Prelim) => PamError::SUCCESS,
        (Verdict::MustChange, Account) => PamError::NEW_AUTHTOK_REQD,
        (Verdict::UnknownUser, _) => PamError::USER_UNKNOWN,
        (Verdict::WrongPassword, _) => PamError::AUTH_ERR,
        (Verdict::AccountExpired, Auth | Account) => PamError::ACCT_EXPIRED,
        (Verdict::PasswordExpired, Auth | Account) => PamError::AUTHTOK_EXPIRED,
        // An account that is over doesn't get a new password either.
        (Verdict::Locked | Verdict::Denied, _)
        | (Verdict::AccountExpired | Verdict::PasswordExpired, Prelim | Update)
        | (Verdict::ResetNotAllowed, Update) => PamError::PERM_DENIED,
        (Verdict::NewPasswordRefused, Update) => PamError::AUTHTOK_ERR,
        (Verdict::MustChange, Update)
        | (Verdict::NewPasswordRefused | Verdict::ResetNotAllowed, Auth | Account | Prelim) => {
            PamError::SERVICE_ERR
        }
    }
}

/// What the log says about a response. Never a password: no response holds one.
pub(crate) fn reason(response: &Response) -> String {
    let text = match response {
        Response::Login(answer) => match answer.verdict {
            Verdict::Accepted => "accepted",
            Verdict::MustChange => "accepted, but the password must be changed",
            Verdict::UnknownUser => "not in the directory, or not unique there",
            Verdict::WrongPassword => "wrong password",
            Verdict::Locked => "the account is locked",
            Verdict::AccountExpired => "the account has expired",
            Verdict::PasswordExpired => "the password has expired and can't be changed any more",
            Verdict::Denied => "denied by an access rule",
            Verdict::NewPasswordRefused => "the server refuses the new password",
            Verdict::ResetNotAllowed => "no identity is configured that may reset passwords",
        },
        Response::NotFound => "not in the directory",
        Response::Unavailable(why) => return format!("service unavailable: {why}"),
        Response::Refused(why) => return format!("the daemon refuses to answer: {why}"),
        _ => "the daemon's answer doesn't belong to the question",
    };
    text.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::protocol::Unavailable;

    const PHASES: [Phase; 4] = [Phase::Auth, Phase::Account, Phase::Prelim, Phase::Update];
    const VERDICTS: [Verdict; 10] = [
        Verdict::Accepted,
        Verdict::MustChange,
        Verdict::UnknownUser,
        Verdict::WrongPassword,
        Verdict::Locked,
        Verdict::AccountExpired,
        Verdict::PasswordExpired,
        Verdict::Denied,
        Verdict::NewPasswordRefused,
        Verdict::ResetNotAllowed,
    ];

    fn login(verdict: Verdict) -> Response {
        Response::Login(verdict.into())
    }

    /// PADL CVE-2006-5170: an error that fell through to success.
    #[test]
    fn nothing_but_an_accepted_password_is_success() {
        for phase in PHASES {
            for verdict in VERDICTS {
                let may = verdict == Verdict::Accepted
                    || (verdict == Verdict::MustChange
                        && matches!(phase, Phase::Auth | Phase::Prelim));
                let is = code(phase, &login(verdict)) == PamError::SUCCESS;
                assert_eq!(is, may, "{phase:?} {verdict:?}");
            }
        }
    }

    #[test]
    fn an_answer_to_another_question_is_an_error_of_the_service() {
        for phase in PHASES {
            for response in [Response::Gids(vec![]), Response::Refused(Refused::Malformed)] {
                assert_eq!(code(phase, &response), PamError::SERVICE_ERR, "{phase:?}");
            }
        }
    }

    /// nslcd's `pam.c`: a server that can't be reached, reported as a wrong password.
    #[test]
    fn an_outage_is_never_a_wrong_password() {
        for why in [
            Unavailable::NoDaemon,
            Unavailable::Daemon("x".into()),
            Unavailable::Protocol("x".into()),
            Unavailable::TimedOut,
            Unavailable::Busy,
            Unavailable::Configuration("x".into()),
            Unavailable::Directory("x".into()),
        ] {
            let response = Response::Unavailable(why);
            for phase in [Phase::Auth, Phase::Account, Phase::Update] {
                assert_eq!(code(phase, &response), PamError::AUTHINFO_UNAVAIL);
            }
            assert_eq!(code(Phase::Prelim, &response), PamError::TRY_AGAIN);
        }
    }

    /// nslcd CVE-2011-0438: a user absent from the directory, counted as success.
    #[test]
    fn an_absent_user_is_unknown_in_every_phase() {
        for phase in PHASES {
            for response in [Response::NotFound, login(Verdict::UnknownUser)] {
                assert_eq!(code(phase, &response), PamError::USER_UNKNOWN);
            }
        }
    }

    #[test]
    fn no_response_is_ignored_by_itself() {
        for phase in PHASES {
            for verdict in VERDICTS {
                assert_ne!(code(phase, &login(verdict)), PamError::IGNORE);
            }
        }
    }

    #[test]
    fn an_account_that_is_over_or_locked_has_its_own_codes() {
        assert_eq!(code(Phase::Account, &login(Verdict::AccountExpired)), PamError::ACCT_EXPIRED);
        assert_eq!(
            code(Phase::Account, &login(Verdict::PasswordExpired)),
            PamError::AUTHTOK_EXPIRED
        );
        assert_eq!(code(Phase::Account, &login(Verdict::Locked)), PamError::PERM_DENIED);
        assert_eq!(code(Phase::Account, &login(Verdict::Denied)), PamError::PERM_DENIED);
    }
}

//! `pam_sm_authenticate(3)`: is this the user's password?

use common::account::Name;
use common::protocol::{Request, Response, Verdict};
use common::secret::Secret;
use pamsm::PamError;

use crate::handle::{Flaw, Token};
use crate::login::Login;
use crate::status::Phase;

/// What a failed login waits at least; the longest that any module of the stack
/// asked for counts, and an application may refuse. As long as `pam_unix(8)`
/// asks for, so that time doesn't tell the two apart.
pub(crate) const FAIL_DELAY: u32 = 2_000_000;

/// What sshd gives to PAM, over and over up to the length of what was typed, in
/// place of the password of somebody whom it has refused already
/// (`fake_password` in its `auth-pam.c`).
const REFUSED_BY_SSHD: &[u8] = b"\x08\n\r\x7fINCORRECT";

/// Authenticates the user, and leaves for the next phases what was learned.
pub(crate) fn authenticate(login: &mut Login<'_>) -> PamError {
    attempt(login).unwrap_or_else(|code| code)
}

fn attempt(login: &mut Login<'_>) -> Result<PamError, PamError> {
    // An application may try again in the same transaction: what an earlier
    // attempt has shown isn't shown by this one.
    if login.handle.memory().is_some() {
        login.handle.remember(None)?;
    }
    let name = login.name()?;
    login.handle.delay_failure(FAIL_DELAY);
    if login.args.minimum_uid > 0 {
        match login.require_user(Phase::Auth, &name) {
            // Whoever isn't there is asked for a password all the same:
            // otherwise the prompt would tell which names exist.
            Ok(()) | Err(PamError::USER_UNKNOWN) => {}
            Err(code) => return Err(code),
        }
    }
    if let Some(given) = login.handle.token(Token::Password) {
        let code = check(login, &name, given)?;
        if code != PamError::AUTH_ERR || !login.args.try_first_pass || login.args.use_first_pass {
            return Ok(code);
        }
    } else if login.args.use_first_pass {
        login.notice(&name, "no earlier module has asked for a password (use_first_pass)");
        return Err(PamError::AUTH_ERR);
    }
    let given = login.handle.prompt("Password: ")?;
    if let Ok(password) = &given {
        login.handle.set_token(Token::Password, password)?;
    }
    check(login, &name, given)
}

/// Puts one password to the test.
fn check(
    login: &mut Login<'_>,
    name: &Name,
    given: Result<Secret, Flaw>,
) -> Result<PamError, PamError> {
    let password = match given {
        Ok(password) => password,
        Err(flaw) => {
            login.notice(name, flaw.describe());
            return Ok(PamError::AUTH_ERR);
        }
    };
    if is_refused_by_sshd(&password) {
        // To the server it would be one more wrong password of this user's,
        // until the account is locked. Why sshd refused may be an outage, or a
        // name that nobody has: then that is the answer.
        login.require_user(Phase::Auth, name)?;
        login.notice(name, "sshd has refused this user (no password was tried)");
        return Ok(PamError::AUTH_ERR);
    }
    let request = Request::Authenticate {
        name: name.clone(),
        password: password.clone(),
        context: login.context(),
    };
    let response = login.source.ask(&request);
    drop(request);
    let code = login.settle(Phase::Auth, name, &response);
    if code == PamError::SUCCESS
        && let Response::Login(answer) = &response
    {
        let mut memory = login.blank(name);
        memory.authenticated = true;
        memory.must_change = answer.verdict == Verdict::MustChange;
        memory.ticket = answer.ticket;
        // The account phase may still find that it has to be changed.
        memory.password = Some(password);
        login.handle.remember(Some(memory))?;
    }
    login.tell_all(code, &response);
    Ok(code)
}

fn is_refused_by_sshd(password: &Secret) -> bool {
    let bytes = password.expose().as_bytes();
    bytes.iter().eq(REFUSED_BY_SSHD.iter().cycle().take(bytes.len()))
}

#[cfg(test)]
mod tests;

//! `pam_sm_chauthtok(3)`: changes a password.
//!
//! PAM calls twice. The preliminary check makes sure of the old password and
//! that somebody answers; the update asks for the new one and sets it. Three
//! things can show that the change is allowed: the old password, a ticket from
//! the login that has just demanded the change, or being root, which is for the
//! directory's configuration to judge.

use common::account::Name;
use common::protocol::{Proof, Request, Response, Ticket, Verdict};
use common::secret::Secret;
use pamsm::{PamError, PamFlags};

use crate::auth::FAIL_DELAY;
use crate::handle::{Flaw, Memory, Token, Tone};
use crate::login::{Flags, Login};
use crate::status::Phase;

/// How many new passwords a user may try who must have one to come in. Once the
/// login has ended, a last grace login can't be repeated; and `pam_unix(8)` asks
/// as often.
const TRIES: usize = 3;

const UNREACHABLE: &str = "The directory can't be reached; the password was not changed.";

/// Changes the user's password, in two calls.
pub(crate) fn change(login: &mut Login<'_>) -> PamError {
    let result = match (login.flags.has(Flags::PRELIM), login.flags.has(Flags::UPDATE)) {
        (true, false) => prelim(login),
        (false, true) => update(login),
        _ => Err(PamError::SERVICE_ERR),
    };
    result.unwrap_or_else(|code| code)
}

/// Whose password, once it is known that the directory has them. Asked before
/// anybody types: a local user's password is changed by another module.
fn subject(login: &mut Login<'_>, phase: Phase) -> Result<Name, PamError> {
    let name = login.name()?;
    match login.require_user(phase, &name) {
        Ok(()) => Ok(name),
        Err(code) => {
            if matches!(code, PamError::TRY_AGAIN | PamError::AUTHINFO_UNAVAIL) {
                login.tell(Tone::Error, UNREACHABLE);
            }
            Err(code)
        }
    }
}

/// What the login has left for a change that it demands.
fn demanded(login: &Login<'_>, name: &Name) -> Option<Memory> {
    login.memory(name).filter(|m| m.must_change && (m.ticket.is_some() || m.password.is_some()))
}

/// Whether root sets somebody's password, rather than users their own.
/// `PAM_CHANGE_EXPIRED_AUTHTOK` is a login's: sshd and login(1) are root, and
/// still the person at the terminal is the user.
fn is_reset(login: &Login<'_>) -> bool {
    login.handle.asker_is_root() && !login.flags.has(PamFlags::CHANGE_EXPIRED_AUTHTOK.bits())
}

fn prelim(login: &mut Login<'_>) -> Result<PamError, PamError> {
    let name = subject(login, Phase::Prelim)?;
    if let Some(memory) = demanded(login, &name) {
        if let Some(password) = &memory.password {
            login.handle.set_token(Token::Old, password)?;
        }
        return Ok(PamError::SUCCESS);
    }
    if is_reset(login) {
        return Ok(PamError::SUCCESS);
    }
    login.handle.delay_failure(FAIL_DELAY);
    if let Some(given) = login.handle.token(Token::Old) {
        let again = login.args.try_first_pass && !login.args.use_first_pass;
        let code = verify(login, &name, given, !again)?;
        if code != PamError::AUTH_ERR || !again {
            return Ok(code);
        }
    }
    let given = ask_old(login, &name)?;
    verify(login, &name, given, true)
}

/// Asks for the old password, unless the options forbid it.
fn ask_old(login: &mut Login<'_>, name: &Name) -> Result<Result<Secret, Flaw>, PamError> {
    if login.args.use_first_pass {
        login.notice(name, "no earlier module has asked for the old password (use_first_pass)");
        return Err(PamError::AUTHTOK_RECOVERY_ERR);
    }
    login.handle.prompt("Current password: ")
}

/// Puts the old password to the test.
fn verify(
    login: &mut Login<'_>,
    name: &Name,
    given: Result<Secret, Flaw>,
    last: bool,
) -> Result<PamError, PamError> {
    let password = match given {
        Ok(password) => password,
        Err(flaw) => {
            login.notice(name, flaw.describe());
            return Ok(PamError::AUTH_ERR);
        }
    };
    let request = Request::Authenticate {
        name: name.clone(),
        password: password.clone(),
        context: login.context(),
    };
    let response = login.source.ask(&request);
    drop(request);
    let code = login.settle(Phase::Prelim, name, &response);
    match (&response, code) {
        // A warning that the password is about to expire would come too late.
        (Response::Login(answer), PamError::SUCCESS) => {
            login.handle.set_token(Token::Old, &password)?;
            if answer.verdict == Verdict::MustChange {
                let mut memory = login.memory(name).unwrap_or_else(|| login.blank(name));
                memory.must_change = true;
                memory.ticket = answer.ticket;
                memory.password = Some(password);
                login.handle.remember(Some(memory))?;
            }
        }
        (Response::Unavailable(_), _) => login.tell(Tone::Error, UNREACHABLE),
        (_, PamError::AUTH_ERR) if !last => {}
        (Response::Login(answer), PamError::AUTH_ERR) if answer.messages.is_empty() => {
            login.tell(Tone::Error, "The current password is wrong.");
        }
        _ => login.tell_all(code, &response),
    }
    Ok(code)
}

fn update(login: &mut Login<'_>) -> Result<PamError, PamError> {
    let name = subject(login, Phase::Update)?;
    let memory = demanded(login, &name);
    if memory.is_none() && is_reset(login) {
        let new = new_password(login, &name, true).map_err(|code| match code {
            PamError::TRY_AGAIN => PamError::AUTHTOK_ERR,
            code => code,
        })?;
        let response = login.source.ask(&Request::ResetPassword { name: name.clone(), new });
        return finish(login, &name, &response);
    }
    let tries = if memory.is_some() { TRIES } else { 1 };
    let mut ticket = memory.as_ref().and_then(|m| m.ticket);
    let old = match memory.and_then(|m| m.password) {
        Some(password) => Some(password),
        None if ticket.is_some() => None,
        None => Some(old_password(login, &name)?),
    };
    let stacked = login.handle.token(Token::Password).is_some();
    let mut code = PamError::AUTHTOK_ERR;
    for attempt in 0..tries {
        let new = match new_password(login, &name, attempt == 0) {
            Ok(new) => new,
            Err(PamError::TRY_AGAIN) => continue,
            // Nobody answers any more: what was wrong before still is.
            Err(_) if attempt > 0 => break,
            Err(code) => return Err(code),
        };
        let response = put(login, &name, ticket, old.as_ref(), &new)?;
        code = finish(login, &name, &response)?;
        ticket = renewed(login, &name, &response)?.or(ticket);
        let refused =
            matches!(&response, Response::Login(a) if a.verdict == Verdict::NewPasswordRefused);
        if !refused || stacked {
            break;
        }
    }
    Ok(code)
}

/// Asks for the change with what shows that it is allowed.
fn put(
    login: &Login<'_>,
    name: &Name,
    ticket: Option<Ticket>,
    old: Option<&Secret>,
    new: &Secret,
) -> Result<Response, PamError> {
    let ask = |proof| {
        let request = Request::ChangePassword { name: name.clone(), proof, new: new.clone() };
        login.source.ask(&request)
    };
    let response = ticket.map(|ticket| ask(Proof::Ticket(ticket)));
    // What is answered to a ticket that is spent or unknown, or whose connection
    // was lost before the new password was sent. After any other answer, or none,
    // the password may be changed already, and nothing is sent twice.
    let spent = |response: &Response| matches!(response, Response::Login(a) if a.verdict == Verdict::WrongPassword);
    match (response, old) {
        (Some(response), Some(old)) if spent(&response) => Ok(ask(Proof::Old(old.clone()))),
        (Some(response), _) => Ok(response),
        (None, Some(old)) => Ok(ask(Proof::Old(old.clone()))),
        (None, None) => Err(PamError::AUTHTOK_RECOVERY_ERR),
    }
}

/// The ticket for the next attempt, when the server has refused a new password.
/// It is left in the handle, too: an application may call once more.
fn renewed(
    login: &mut Login<'_>,
    name: &Name,
    response: &Response,
) -> Result<Option<Ticket>, PamError> {
    let Response::Login(answer) = response else { return Ok(None) };
    if answer.verdict == Verdict::NewPasswordRefused
        && answer.ticket.is_some()
        && let Some(mut memory) = login.memory(name)
    {
        memory.ticket = answer.ticket;
        login.handle.remember(Some(memory))?;
    }
    Ok(answer.ticket)
}

/// The old password: from the preliminary check, or, where the stack has
/// skipped that (a `sufficient` module above does so), from the user.
fn old_password(login: &mut Login<'_>, name: &Name) -> Result<Secret, PamError> {
    let given = match login.handle.token(Token::Old) {
        Some(given) => given,
        None => ask_old(login, name)?,
    };
    given.map_err(|flaw| {
        login.notice(name, flaw.describe());
        PamError::AUTHTOK_RECOVERY_ERR
    })
}

/// The new password: from an earlier module (`pam_pwquality(8)`) if that counts,
/// or from the user, who types it twice; `PAM_TRY_AGAIN` if the two differ.
fn new_password(login: &mut Login<'_>, name: &Name, stack: bool) -> Result<Secret, PamError> {
    let given = match login.handle.token(Token::Password).filter(|_| stack) {
        Some(given) => given,
        None if login.args.use_authtok => {
            login.notice(name, "no earlier module has asked for a new password (use_authtok)");
            return Err(PamError::AUTHTOK_ERR);
        }
        None => {
            let first = login.handle.prompt("New password: ")?;
            // What can't be a password isn't worth typing twice.
            if first.is_ok() {
                let second = login.handle.prompt("Retype new password: ")?;
                if !same(&first, &second) {
                    login.tell(Tone::Error, "The passwords don't match.");
                    return Err(PamError::TRY_AGAIN);
                }
            }
            first
        }
    };
    match given {
        Ok(new) => {
            login.handle.set_token(Token::Password, &new)?;
            Ok(new)
        }
        Err(flaw) => {
            login.tell(Tone::Error, &format!("Not changed: {}.", flaw.describe()));
            Err(PamError::AUTHTOK_ERR)
        }
    }
}

/// Both are the user's own, typed a moment ago: no need to hide the time that comparing takes.
fn same(first: &Result<Secret, Flaw>, second: &Result<Secret, Flaw>) -> bool {
    matches!((first, second), (Ok(a), Ok(b)) if a.expose() == b.expose())
}

fn finish(login: &mut Login<'_>, name: &Name, response: &Response) -> Result<PamError, PamError> {
    let code = login.settle(Phase::Update, name, response);
    match response {
        Response::Unavailable(_) => login.tell(Tone::Error, UNREACHABLE),
        Response::Login(answer) => {
            let own = match answer.verdict {
                Verdict::WrongPassword => Some("The current password is wrong."),
                Verdict::NewPasswordRefused => Some("The server refuses the new password."),
                Verdict::ResetNotAllowed => {
                    Some("This host is not configured to reset passwords of the directory.")
                }
                _ => None,
            };
            if let (Some(own), true) = (own, answer.messages.is_empty()) {
                login.tell(Tone::Error, own);
            }
        }
        _ => {}
    }
    login.tell_all(code, response);
    if code == PamError::SUCCESS {
        login.notice(name, "password changed");
        if let Some(mut memory) = login.memory(name) {
            memory.must_change = false;
            memory.ticket = None;
            memory.password = None;
            login.handle.remember(Some(memory))?;
        }
    }
    Ok(code)
}

#[cfg(test)]
mod tests;

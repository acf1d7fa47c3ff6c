//! `pam_sm_acct_mgmt(3)`: may this user log in here, now?

use common::protocol::Request;
use pamsm::PamError;

use crate::login::Login;
use crate::status::Phase;

/// Decides whether the user may log in.
pub(crate) fn authorize(login: &mut Login<'_>) -> PamError {
    decide(login).unwrap_or_else(|code| code)
}

fn decide(login: &mut Login<'_>) -> Result<PamError, PamError> {
    let name = login.name()?;
    if login.args.minimum_uid > 0 {
        login.require_user(Phase::Account, &name)?;
    }
    let mut memory = login.memory(&name).unwrap_or_else(|| login.blank(&name));
    let request = Request::Authorize {
        name: name.clone(),
        context: login.context(),
        authenticated: memory.authenticated,
    };
    let response = login.source.ask(&request);
    let mut code = login.settle(Phase::Account, &name, &response);
    login.tell_all(code, &response);
    // Whoever is kept out is kept out, whatever their password needs.
    if code == PamError::SUCCESS && memory.must_change {
        login.debug(&format!("{name}: the password must be changed first"));
        code = PamError::NEW_AUTHTOK_REQD;
    }
    if code == PamError::NEW_AUTHTOK_REQD {
        memory.must_change = true;
    } else {
        memory.password = None;
    }
    login.handle.remember(Some(memory))?;
    Ok(code)
}

#[cfg(test)]
mod tests;

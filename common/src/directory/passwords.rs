//! Checks and changes passwords: binds as the user, on connections of their own.

use std::collections::HashSet;

use ldap3::exop::PasswordModify;
use ldap3::{Ldap, Mod};
use tokio::time::timeout_at;

use super::Directory;
use crate::deadline::Deadline;
use crate::ldap::pool::BindPlace;
use crate::ldap::ppolicy::{self, PolicyState};
use crate::ldap::{LdapError, error};
use crate::secret::Secret;

/// The attribute that says when a password was last changed, in days (RFC 2307).
pub const SHADOW_LAST_CHANGE: &str = "shadowLastChange";

/// What a server said to a bind or to a new password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// The result code (RFC 4511 section 4.1.9).
    pub code: u32,
    /// The server's own words.
    pub text: String,
    /// What its password policy says.
    pub policy: PolicyState,
}

/// A connection on which a user has bound, or tried to.
#[derive(Debug)]
pub struct Bound {
    /// What the server said to the bind.
    pub said: Said,
    dn: String,
    place: BindPlace,
}

impl Directory {
    /// Whether passwords may be sent to this directory.
    ///
    /// # Errors
    /// [`LdapError::Configuration`]
    pub fn check_privacy(&self) -> Result<(), LdapError> {
        if self.pool.may_send_passwords() {
            return Ok(());
        }
        Err(LdapError::Configuration(
            "passwords are not sent over a clear connection: set tls = \"starttls\" in \
             [directory] (or allow_cleartext_passwords = true)"
                .into(),
        ))
    }

    /// Binds as a user. A refused password is an answer, not an error.
    ///
    /// The password must not be empty: a server says yes to that without
    /// looking (RFC 4513 section 5.1.2). It is checked here as well as above,
    /// because nothing below this line would.
    ///
    /// # Errors
    /// [`LdapError`]: then nothing is known about the password.
    pub async fn bind_as(
        &self,
        dn: &str,
        password: &Secret,
        deadline: Deadline,
    ) -> Result<Bound, LdapError> {
        self.check_privacy()?;
        if password.is_empty() || dn.is_empty() {
            return Err(LdapError::Protocol("an empty password or DN must not be sent"));
        }
        let mut place = self.pool.bind_place(deadline).await?;
        loop {
            // On a kept connection, while there is another server to try, not all the time.
            let left = deadline.remaining().ok_or(LdapError::TimedOut)?;
            let may_retry = place.kept;
            let others = may_retry && self.pool.has_alternatives();
            let patience = if others { left / 2 } else { left };
            let bind = bind(&mut place.connection.ldap, dn, password);
            let bound = timeout_at(Deadline::after(patience).instant().into(), bind).await;
            match bound.map(|said| said.map_err(|error| place.connection.explain(error))) {
                Ok(Ok(said)) => return Ok(Bound { said, dn: dn.into(), place }),
                // Closed by the server since the last login: not this one's fault.
                // Once only, and on a new connection: a server that hangs up on wrong
                // passwords must not be given the same one again and again.
                Ok(Err(error)) if may_retry && error.ends_a_connection() => {}
                Ok(Err(error)) => return Err(error),
                Err(_) => {
                    self.pool.fell_silent(&place.connection, patience);
                    if !others {
                        return Err(LdapError::TimedOut);
                    }
                }
            }
            place = self.pool.replace(place, deadline).await?;
        }
    }

    /// Sets a user's password as the identity that may (`reset_dn`). `None` if
    /// there is none. With a day, that is written into the entry as well
    /// ([`Bound::note_change`]).
    ///
    /// # Errors
    /// [`LdapError`]
    pub async fn reset_password(
        &self,
        dn: &str,
        new: &Secret,
        day: Option<i64>,
        deadline: Deadline,
    ) -> Result<Option<Said>, LdapError> {
        let Some(resetter) = &self.config.resetter else { return Ok(None) };
        let mut bound = self.bind_as(&resetter.dn, &resetter.password, deadline).await?;
        if bound.said.code != 0 {
            let what = format!("reset_dn is refused: {} ({})", bound.said.text, bound.said.code);
            return Err(LdapError::Configuration(what));
        }
        let said = bound.modify_password(Some(dn), None, new, deadline).await?;
        if let Some(day) = day.filter(|_| said.code == 0) {
            bound.write_day(dn, day, deadline).await;
        }
        // Closed when dropped: it could change anybody's password.
        Ok(Some(said))
    }
}

impl Bound {
    /// Changes the password of the bound user (RFC 3062).
    ///
    /// # Errors
    /// [`LdapError`]: then it isn't known whether it was changed.
    pub async fn change_password(
        &mut self,
        old: &Secret,
        new: &Secret,
        deadline: Deadline,
    ) -> Result<Said, LdapError> {
        self.modify_password(None, Some(old), new, deadline).await
    }

    async fn modify_password(
        &mut self,
        whose: Option<&str>,
        old: Option<&Secret>,
        new: &Secret,
        deadline: Deadline,
    ) -> Result<Said, LdapError> {
        if new.is_empty() {
            return Err(LdapError::Protocol("an empty password must not be set"));
        }
        let request = PasswordModify {
            user_id: whose,
            old_pass: old.map(Secret::expose),
            new_pass: Some(new.expose()),
        };
        let ldap = self.place.connection.ldap.with_controls(ppolicy::request());
        let ldap3::result::ExopResult(_, result) =
            timeout_at(deadline.instant().into(), ldap.extended(request))
                .await
                .map_err(|_| LdapError::TimedOut)?
                .map_err(|error| self.place.connection.explain(error))?;
        said(result)
    }

    /// Writes the day of the change into the user's entry, where the directory
    /// has that day and lets users set it; servers don't do it by themselves,
    /// and an old day would demand another change at the next login.
    pub async fn note_change(&mut self, today: i64, deadline: Deadline) {
        let dn = self.dn.clone();
        self.write_day(&dn, today, deadline).await;
    }

    async fn write_day(&mut self, dn: &str, day: i64, deadline: Deadline) {
        let day = HashSet::from([day.to_string()]);
        let change = vec![Mod::Replace(SHADOW_LAST_CHANGE.to_owned(), day)];
        let modify = self.place.connection.ldap.modify(dn, change);
        match timeout_at(deadline.instant().into(), modify).await {
            Ok(Ok(result)) if result.rc == 0 => {}
            Ok(Ok(result)) => {
                tracing::info!(?dn, code = result.rc, text = ?result.text,
                    "the password was changed, shadowLastChange could not be");
            }
            _ => self.place.connection.retire(),
        }
    }

    /// Whether the connection is open, as far as is known here.
    pub fn is_alive(&self) -> bool {
        self.place.connection.is_alive()
    }

    /// Holds on to the connection without keeping other logins from theirs.
    #[must_use]
    pub fn set_aside(mut self) -> Self {
        self.place.set_aside();
        self
    }

    /// Keeps the connection for the next login.
    pub fn keep(self) {
        self.place.keep();
    }
}

async fn bind(ldap: &mut Ldap, dn: &str, password: &Secret) -> Result<Said, LdapError> {
    said(ldap.with_controls(ppolicy::request()).simple_bind(dn, password.expose()).await?)
}

fn said(result: ldap3::LdapResult) -> Result<Said, LdapError> {
    let policy = match ppolicy::response(&result.ctrls) {
        None => PolicyState::default(),
        Some(Ok(state)) => state,
        Some(Err(_)) => return Err(LdapError::Protocol("its password policy can't be read")),
    };
    if matches!(result.rc, 1 | 2 | 3 | 10 | 51 | 52 | 80) {
        return Err(LdapError::Result(result.rc, result.text)); // says nothing about the password
    }
    if matches!(result.rc, error::STRONGER_AUTH_REQUIRED | error::CONFIDENTIALITY_REQUIRED) {
        return Err(LdapError::Configuration(format!(
            "the server wants a protected connection for passwords ({}): {}",
            result.rc, result.text
        )));
    }
    Ok(Said { code: result.rc, text: result.text, policy })
}

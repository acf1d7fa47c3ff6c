//! Decides logins: who may come in, with which password, and what they are told.
//!
//! Everything fails closed. A yes needs a user who is in the directory exactly
//! once, a server that answered, a result code and a password policy that were
//! understood, and access rules that could be checked. Whatever else happens is
//! a no, or "unavailable", which lets a PAM stack go on to another module.

use std::sync::Arc;
use std::time::SystemTime;

use crate::account::{Name, User};
use crate::config::LoginRules;
use crate::deadline::Deadline;
use crate::directory::passwords::SHADOW_LAST_CHANGE;
use crate::directory::{Directory, Found};
use crate::ldap::LdapError;
use crate::ldap::pool::Purpose;
use crate::protocol::{LoginAnswer, Proof, Ticket, Verdict};
use crate::random;
use crate::secret::Secret;

mod age;
mod held;
mod judge;
mod lock;
mod recent;
mod trace;

pub use age::judge as judge_age;
pub use trace::{Account, Trace};

use held::Held;
use recent::Recent;

/// Decides logins for the directories of a host.
#[derive(Debug)]
pub struct Logins {
    directories: Vec<Arc<Directory>>,
    rules: LoginRules,
    held: Held,
    recent: Recent,
}

/// Who was found.
enum Search {
    One(Arc<Directory>, Box<Found>),
    /// Nobody, or several, which is as bad.
    Nobody,
}

impl Logins {
    /// Decides by these rules.
    pub fn new(directories: Vec<Arc<Directory>>, rules: LoginRules) -> Self {
        Self { directories, rules, held: Held::default(), recent: Recent::default() }
    }

    /// Whether this is the user's password.
    ///
    /// # Errors
    /// [`LdapError`]: nobody knows.
    pub async fn authenticate(
        &self,
        name: &Name,
        password: &Secret,
        asker: u32,
        deadline: Deadline,
        trace: &mut Trace,
    ) -> Result<LoginAnswer, LdapError> {
        if password.is_empty() || password.is_too_long() {
            return Ok(Verdict::WrongPassword.into());
        }
        // The attributes that `authorize` needs are read along.
        let Search::One(directory, found) = self.find(name, lock::ATTRIBUTES, deadline).await?
        else {
            return Ok(Verdict::UnknownUser.into());
        };
        trace.dn = Some(found.dn.clone());
        let bound = directory.bind_as(&found.dn, password, deadline).await?;
        let mut answer = judge::bind(&bound.said)?;
        trace.note_password(&bound.said.policy, SystemTime::now());
        if answer.verdict == Verdict::MustChange && bound.said.policy.grace_left.is_some() {
            let ticket = Ticket(random::token()?);
            self.held.hold(ticket, bound, name.clone(), password.clone(), asker);
            answer.ticket = Some(ticket);
        } else {
            bound.keep();
        }
        if matches!(answer.verdict, Verdict::Accepted | Verdict::MustChange) {
            self.recent.keep(name.clone(), asker, directory, found);
        }
        Ok(answer)
    }

    /// Whether the user may log in here and now, by the access rules, by the
    /// account's last day and by the age of its password. `None` for an asker who
    /// may not know that: the answer tells of ages and locks, so it is for root,
    /// for the user, and for whoever has just shown the user's password.
    ///
    /// # Errors
    /// [`LdapError`]: nobody knows.
    pub async fn authorize(
        &self,
        name: &Name,
        authenticated: bool,
        asker: u32,
        deadline: Deadline,
        trace: &mut Trace,
    ) -> Result<Option<LoginAnswer>, LdapError> {
        // The module's word isn't enough: its yes may have come while no server answered. And
        // a question without a password (cron) leaves another login of the user what it needs.
        let recent = if authenticated { self.recent.take(name, asker) } else { None };
        let judged_by_bind = recent.is_some();
        let (directory, found) = match recent {
            Some(read) => read,
            None => match self.find(name, lock::ATTRIBUTES, deadline).await? {
                Search::One(_, found) if asker != 0 && found.user.uid.get() != asker => {
                    return Ok(None);
                }
                Search::One(directory, found) => (directory, found),
                Search::Nobody => return Ok(Some(Verdict::UnknownUser.into())),
            },
        };
        trace.dn = Some(found.dn.clone());
        let answer = self.judge_account(&directory, &found, judged_by_bind, deadline).await?;
        if answer.verdict == Verdict::Accepted {
            let which = self.directories.iter().position(|other| Arc::ptr_eq(other, &directory));
            let shadow = directory.shadow_of(&found.entry);
            trace.account = which.map(|which| Account::new(which, *found, shadow));
        }
        Ok(Some(answer))
    }

    async fn judge_account(
        &self,
        directory: &Arc<Directory>,
        found: &Found,
        judged_by_bind: bool,
        deadline: Deadline,
    ) -> Result<LoginAnswer, LdapError> {
        if !self.may_log_in(directory, found, deadline).await? {
            let mut answer = LoginAnswer::from(Verdict::Denied);
            answer.messages.push("You may not log in to this host.".into());
            return Ok(answer);
        }
        // With a bind the server itself has judged locks and resets.
        if !judged_by_bind {
            let state = lock::State::of(directory, &found.entry, deadline).await?;
            if let Some(answer) = state.judge(SystemTime::now()) {
                return Ok(answer);
            }
        }
        let shadow = directory.shadow_of(&found.entry);
        Ok(shadow.map_or_else(|| Verdict::Accepted.into(), |shadow| age::judge(&shadow, today())))
    }

    /// Changes a user's own password.
    ///
    /// # Errors
    /// [`LdapError`]: nobody knows whether it was changed.
    pub async fn change_password(
        &self,
        name: &Name,
        proof: Proof,
        new: &Secret,
        asker: u32,
        deadline: Deadline,
        trace: &mut Trace,
    ) -> Result<LoginAnswer, LdapError> {
        if new.is_empty() || new.is_too_long() {
            return Ok(judge::refused_length());
        }
        self.recent.forget(name);
        let Search::One(directory, found) = self.find(name, &[], deadline).await? else {
            return Ok(Verdict::UnknownUser.into());
        };
        trace.dn = Some(found.dn.clone());
        let held = if let Proof::Ticket(ticket) = &proof { Some(*ticket) } else { None };
        let (mut bound, old) = match proof {
            Proof::Ticket(ticket) => match self.held.take(ticket, name, asker) {
                Some(held) => held,
                // Spent or too old: the old password may still do.
                None => return Ok(Verdict::WrongPassword.into()),
            },
            Proof::Old(old) if old.is_empty() || old.is_too_long() => {
                return Ok(Verdict::WrongPassword.into());
            }
            Proof::Old(old) => {
                let bound = directory.bind_as(&found.dn, &old, deadline).await?;
                let answer = judge::bind(&bound.said)?;
                if !matches!(answer.verdict, Verdict::Accepted | Verdict::MustChange) {
                    bound.keep();
                    return Ok(answer);
                }
                (bound, old)
            }
        };
        trace.may_have_changed = true;
        let said = bound.change_password(&old, new, deadline).await?;
        trace.may_have_changed = said.code == 0;
        if said.code == 0 && found.entry.value(SHADOW_LAST_CHANGE).is_some() {
            bound.note_change(today(), deadline).await;
        }
        match held {
            // The user may think of a better one.
            Some(ticket) if said.code != 0 => {
                self.held.hold(ticket, bound, name.clone(), old, asker);
            }
            _ => bound.keep(),
        }
        Ok(judge::new_password(&said))
    }

    /// Sets a user's password as the identity that may.
    ///
    /// # Errors
    /// [`LdapError`]: nobody knows whether it was set.
    pub async fn reset_password(
        &self,
        name: &Name,
        new: &Secret,
        deadline: Deadline,
        trace: &mut Trace,
    ) -> Result<LoginAnswer, LdapError> {
        if new.is_empty() || new.is_too_long() {
            return Ok(judge::refused_length());
        }
        self.recent.forget(name);
        let Search::One(directory, found) = self.find(name, &[], deadline).await? else {
            return Ok(Verdict::UnknownUser.into());
        };
        trace.dn = Some(found.dn.clone());
        // Otherwise a password that was too old would still be so.
        let day = found.entry.value(SHADOW_LAST_CHANGE).map(|_| today());
        trace.may_have_changed = true;
        let said = directory.reset_password(&found.dn, new, day, deadline).await?;
        trace.may_have_changed = said.as_ref().is_some_and(|said| said.code == 0);
        match said {
            None => Ok(Verdict::ResetNotAllowed.into()),
            Some(said) if said.code == INSUFFICIENT_ACCESS => Ok(Verdict::ResetNotAllowed.into()),
            Some(said) => Ok(judge::new_password(&said)),
        }
    }

    /// The one entry that is this user, in the first directory that has any. A
    /// directory that can't be asked is not passed over: it might have been the one.
    async fn find(
        &self,
        name: &Name,
        more: &[&str],
        deadline: Deadline,
    ) -> Result<Search, LdapError> {
        for directory in &self.directories {
            let attributes = [&directory.shadow_attributes(), more].concat();
            let mut found =
                directory.users_named(name, &attributes, Purpose::Login, deadline).await?;
            match found.len() {
                0 => {}
                1 => return Ok(Search::One(Arc::clone(directory), Box::new(found.remove(0)))),
                several => {
                    tracing::error!(user = %name, several, first = ?found[0].dn, second = ?found[1].dn,
                        "nobody can log in as a user that the directory has several times");
                    return Ok(Search::Nobody);
                }
            }
        }
        Ok(Search::Nobody)
    }

    async fn may_log_in(
        &self,
        directory: &Arc<Directory>,
        found: &Found,
        deadline: Deadline,
    ) -> Result<bool, LdapError> {
        let LoginRules { allow_users, allow_groups, filter } = &self.rules;
        let listed = allow_users.is_empty() && allow_groups.is_empty()
            || allow_users.contains(&found.user.name)
            || self.is_in_allowed_group(&found.user, deadline).await?;
        match filter {
            Some(filter) if listed => directory.matches(&found.dn, filter, deadline).await,
            _ => Ok(listed),
        }
    }

    /// A group of a rule is the one that the host knows by that name: of several
    /// directories the first that has it. Who may make groups in another one
    /// can't make themselves an `admins` there.
    async fn is_in_allowed_group(
        &self,
        user: &User,
        deadline: Deadline,
    ) -> Result<bool, LdapError> {
        let mut names = self.rules.allow_groups.clone();
        for (position, directory) in self.directories.iter().enumerate() {
            if names.is_empty() {
                break;
            }
            let last = position + 1 == self.directories.len();
            let here =
                if last { names.clone() } else { directory.groups_among(&names, deadline).await? };
            if !here.is_empty() && directory.is_in_one_of(user, &here, deadline).await? {
                return Ok(true);
            }
            names.retain(|name| !here.contains(name));
        }
        Ok(false)
    }
}

const INSUFFICIENT_ACCESS: u32 = 50;

/// Days since 1970-01-01, as shadow(5) counts.
fn today() -> i64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_secs() / 86_400).unwrap_or(i64::MAX)
}

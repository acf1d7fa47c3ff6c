//! What a server has said about a password changes what is kept.

use common::account::Name;
use common::login::Account;
use common::secret::Secret;
use tracing::{debug, warn};

use super::super::hash::Hash;
use super::super::policy::Policy;
use super::super::record::{Record, SLACK, is_later, until};
use super::super::store::Change;
use super::Book;

/// Somebody whom a server has just let in.
#[derive(Debug)]
pub(in super::super) struct Welcome {
    pub(in super::super) account: Account,
    pub(in super::super) password: Secret,
    /// When the server says that the password expires, in seconds since 1970.
    pub(in super::super) password_ends: Option<u64>,
    /// When that was, in seconds since 1970: the hash may come later.
    pub(in super::super) login: u64,
}

impl Book {
    /// Keeps somebody whom a server has let in under this name.
    pub(in super::super) fn keep(
        &mut self,
        name: &Name,
        welcome: Welcome,
        policy: &Policy,
        now: u64,
    ) {
        let Welcome { account, password, password_ends, login } = welcome;
        let Account { directory, user, dn, uuid, shadow } = account;
        let hash = match Hash::of(&password) {
            Ok(hash) => hash,
            Err(error) => {
                warn!("no offline logins of {name}: {error}");
                return self.forget(name, Some(&dn));
            }
        };
        drop(password);
        if let Err(trouble) = self.read() {
            warn!("no offline logins of {name}: {trouble}");
            // What can't be read now may be of an older password, and can be read later on.
            self.remember_to_forget(&user.name, Some(&dn));
            return self.forget(name, Some(&dn));
        }
        let mut record = Record {
            user,
            dn,
            uuid,
            directory,
            shadow,
            password_ends,
            origin: policy.origin,
            logins: [(name.clone(), login.min(now))].into(),
            failures: 0,
            failed: 0,
            hash,
        };
        // Times of before now are worth nothing if the clock was ahead then.
        let was_ahead = now.saturating_add(SLACK) < self.seen;
        if !was_ahead
            && self
                .records
                .values()
                .any(|kept| is_later(last_claim(kept, &record, name), login, now))
        {
            return debug!("{name} has logged in since");
        }
        if was_ahead {
            warn!("the clock was set back, so offline logins begin anew");
        } else if let Some(before) = self.records.get(&record.key())
            && before.is_continued_by(&record)
        {
            let others = before.logins.iter().filter(|(other, _)| *other != name);
            let young = others.filter(|(_, login)| now < until(**login, policy));
            record.logins.extend(young.map(|(other, login)| (other.clone(), *login)));
        }
        let is_void = |other: &&Record| was_ahead || other.is_at_odds_with(&record);
        let remove = self.records.values().filter(is_void).map(Record::key).collect();
        let seen = if was_ahead { now } else { self.seen.max(now) };
        let change = Change { put: Some(&record), remove, seen };
        match self.store.commit(&change) {
            Ok(()) => {
                for key in change.remove {
                    self.records.remove(&key);
                }
                self.records.insert(record.key(), record);
                self.seen = seen;
                debug!("{name} may log in while no server answers");
            }
            Err(trouble) => {
                warn!("no offline logins of {name}: {trouble}");
                // An older password must not count any more.
                let remove = change.remove;
                self.remove(remove);
                self.forget(name, Some(&record.dn));
            }
        }
    }

    /// A server has let a user in without a password: what is kept is told what the account is
    /// like now, and goes if that is another one's, or has another password since. It is as old
    /// as before.
    pub(in super::super) fn renew(&mut self, name: &Name, account: Account, now: u64) {
        if self.read().is_err() {
            return self.remember_to_forget(name, Some(&account.dn));
        }
        let Account { directory, user, dn, uuid, shadow } = account;
        let kept: Vec<Record> = self.of(name, Some(&dn)).cloned().collect();
        let renewed = kept.first().map(|record| Record {
            user,
            dn,
            uuid,
            directory,
            shadow,
            ..record.clone()
        });
        let (Some(renewed), [record, others @ ..]) = (renewed, kept.as_slice()) else { return };
        if !others.is_empty() || !record.is_continued_by(&renewed) {
            debug!("what is kept of {name} is of another entry");
            return self.forget(name, Some(&renewed.dn));
        }
        // The ages are of another password than the hash.
        if last_change(record) != last_change(&renewed) {
            debug!("{name} has another password since the last login with one");
            return self.forget(name, Some(&renewed.dn));
        }
        if renewed != *record {
            let dn = renewed.dn.clone();
            if let Err(trouble) = self.put(renewed, now) {
                warn!("no offline logins of {name}: {trouble}");
                self.forget(name, Some(&dn));
            }
        }
    }

    /// A server has refused this password of a user, whose entry has this name if it is known:
    /// it counts no more if it is the one that is kept, which it may be where nobody can say.
    pub(in super::super) fn doubt(&mut self, name: &Name, dn: Option<&str>, password: &Secret) {
        let is_kept = |book: &Self| book.of(name, dn).any(|record| record.hash.is_of(password));
        if self.read().is_err() {
            self.remember_to_forget(name, dn);
        } else if is_kept(self) {
            self.forget(name, dn);
        }
    }

    /// A server has accepted this password at this time, and nothing was kept of it: what is
    /// kept from before counts no more if it is of another one. Times in seconds since 1970.
    pub(in super::super) fn confirm(
        &mut self,
        name: &Name,
        dn: Option<&str>,
        password: &Secret,
        accepted: u64,
        now: u64,
    ) {
        let is_another = |record: &Record| {
            !is_later(record.last_login(), accepted, now) && !record.hash.is_of(password)
        };
        if self.read().is_err() || self.of(name, dn).any(is_another) {
            self.forget(name, dn);
        }
    }
}

/// When what is kept was last true of the same entry, or else of the same name.
fn last_claim(kept: &Record, record: &Record, name: &Name) -> u64 {
    if kept.key() == record.key() { kept.last_login() } else { kept.login(name) }
}

/// When the password was changed last, by shadow(5).
fn last_change(record: &Record) -> Option<i64> {
    record.shadow.as_ref().and_then(|shadow| shadow.last_change)
}

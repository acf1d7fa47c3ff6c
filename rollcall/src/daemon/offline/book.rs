//! Who may log in while no server answers: decides, and has it written down.
//!
//! All records are in memory as well, a few hundred bytes each. The file comes first: what
//! isn't on the disk hasn't happened, so neither a kill nor a restart takes a wrong password
//! back. Where the disk can't be written to, nobody gets in, and what should have been
//! removed goes with the whole file, which needs no room.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use common::account::{Name, User};
use common::login::Account;
use common::protocol::{LoginAnswer, OfflineStatus, Verdict};
use common::secret::Secret;
use tracing::{debug, error, warn};

use super::hash::{Hash, pretend};
use super::policy::Policy;
use super::record::{Record, Refusal, SLACK};
use super::store::{Change, Store, Trouble};

/// How many forgotten users are remembered while the file can't be read; more, and nobody counts.
const MOST_FORGOTTEN: usize = 1024;

/// Who may log in while no server answers.
#[derive(Debug)]
pub(super) struct Book {
    store: Store,
    records: BTreeMap<Name, Record>,
    /// The latest time that the clock has shown, in seconds since 1970.
    seen: u64,
    is_read: bool,
    /// Who was to be forgotten while another process had the file.
    forgotten: BTreeSet<(Name, Option<String>)>,
}

/// Somebody whom a server has just let in.
#[derive(Debug)]
pub(super) struct Welcome {
    pub(super) account: Account,
    pub(super) password: Secret,
    /// When the server says that the password expires, in seconds since 1970.
    pub(super) password_ends: Option<u64>,
    /// When that was, in seconds since 1970: the hash may come later.
    pub(super) login: u64,
}

/// What is kept says this.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Opinion {
    /// Nothing: nobody of this name is kept.
    Unknown,
    /// It doesn't count.
    Refused(Refusal),
    /// The password isn't the one that is kept.
    WrongPassword,
    /// The answer for this user, who has shown the password or wasn't asked for it.
    Answer {
        answer: LoginAnswer,
        user: User,
        /// When the user last logged in online, in seconds since 1970.
        login: u64,
        /// Until when there are offline logins, in seconds since 1970.
        until: u64,
    },
}

impl Book {
    /// Reads nothing yet.
    pub(super) fn new(folder: &Path) -> Self {
        let (store, records) = (Store::new(folder), BTreeMap::new());
        Self { store, records, seen: 0, is_read: false, forgotten: BTreeSet::new() }
    }

    /// Reads the file, unless that is done.
    pub(super) fn read(&mut self) -> Result<(), Trouble> {
        if !self.is_read {
            (self.records, self.seen) = self.store.all()?;
            self.is_read = true;
            self.forget_the_forgotten();
        }
        Ok(())
    }

    /// Whether it is known who is kept.
    pub(super) fn is_read(&self) -> bool {
        self.is_read
    }

    /// Who is kept, and which directory has them.
    pub(super) fn names(&self) -> impl Iterator<Item = (&Name, usize)> {
        self.records.iter().map(|(name, record)| (name, record.directory))
    }

    /// Puts a password to the test. It takes as long for a name that isn't kept.
    ///
    /// # Errors
    /// The attempt can't be written down, so there is none.
    pub(super) fn check(
        &mut self,
        name: &Name,
        password: &Secret,
        policy: &Policy,
        silent: &[bool],
        now: u64,
    ) -> Result<Opinion, Trouble> {
        self.read()?;
        let Some(record) = self.records.get(name) else {
            self.note(now)?;
            pretend(password);
            return Ok(Opinion::Unknown);
        };
        let allowed = record.counts(policy, silent, self.seen, now);
        if let Err(refusal) = allowed.and_then(|()| record.may_try(policy, now)) {
            self.note(now)?;
            pretend(password);
            return Ok(Opinion::Refused(refusal));
        }
        let failures = record.failures.saturating_add(1);
        let counted = Record { failures, failed: now, ..record.clone() };
        self.put(name, counted.clone(), now)?;
        if !counted.hash.is_of(password) {
            return Ok(Opinion::WrongPassword);
        }
        let right = Record { failures: 0, failed: 0, ..counted };
        if let Err(trouble) = self.put(name, right.clone(), now) {
            warn!("a right password still counts as a wrong one: {trouble}");
        }
        Ok(opinion(&right, policy, now))
    }

    /// What is kept of a user, who was let in with the password a moment ago or needs none.
    /// `asker`: whose question it is; to others than root and the user nobody is known.
    /// `None`: whoever has shown the password.
    pub(super) fn recall(
        &mut self,
        name: &Name,
        asker: Option<u32>,
        policy: &Policy,
        silent: &[bool],
        now: u64,
    ) -> Result<Opinion, Trouble> {
        self.read()?;
        let may_ask = |record: &&Record| match asker {
            None | Some(0) => true,
            Some(uid) => record.user.uid.get() == uid,
        };
        let Some(record) = self.records.get(name).filter(may_ask) else {
            return Ok(Opinion::Unknown);
        };
        if let Err(refusal) = record.counts(policy, silent, self.seen, now) {
            return Ok(Opinion::Refused(refusal));
        }
        Ok(opinion(record, policy, now))
    }

    /// Keeps somebody whom a server has let in.
    pub(super) fn keep(&mut self, name: &Name, welcome: Welcome, policy: &Policy, now: u64) {
        let Welcome { account, password, password_ends, login } = welcome;
        let hash = match Hash::of(&password) {
            Ok(hash) => hash,
            Err(error) => {
                warn!("no offline logins of {name}: {error}");
                return self.forget(name, None);
            }
        };
        drop(password);
        if let Err(trouble) = self.read() {
            return warn!("no offline logins of {name}: {trouble}");
        }
        // Times of before now are worth nothing if the clock was ahead then.
        let was_ahead = now.saturating_add(SLACK) < self.seen;
        let remove = self.names().map(|(other, _)| other.clone()).filter(|_| was_ahead).collect();
        if was_ahead {
            warn!("the clock was set back, so offline logins begin anew");
        }
        let Account { directory, user, dn, uuid, shadow } = account;
        let record = Record {
            user,
            dn,
            uuid,
            directory,
            shadow,
            password_ends,
            origin: policy.origin,
            login: login.min(now),
            failures: 0,
            failed: 0,
            hash,
        };
        let seen = if was_ahead { now } else { self.seen.max(now) };
        let change = Change { put: Some((name, &record)), remove, seen };
        match self.store.commit(&change) {
            Ok(()) => {
                for other in change.remove {
                    self.records.remove(&other);
                }
                self.records.insert(name.clone(), record);
                self.seen = seen;
                debug!("{name} may log in while no server answers");
            }
            Err(trouble) => {
                warn!("no offline logins of {name}: {trouble}");
                // An older password must not count any more.
                self.forget(name, None);
            }
        }
    }

    /// A server has refused this password: it counts no more if it is the one that is kept.
    pub(super) fn doubt(&mut self, name: &Name, password: &Secret) {
        if self.read().is_ok() && self.records.get(name).is_some_and(|r| r.hash.is_of(password)) {
            self.forget(name, None);
        }
    }

    /// A server has accepted this password at this time, in seconds since 1970, and nothing was
    /// kept of it: what is kept from before counts no more if it is of another one.
    pub(super) fn confirm(&mut self, name: &Name, password: &Secret, accepted: u64) {
        let is_another = |record: &Record| record.login <= accepted && !record.hash.is_of(password);
        if self.read().is_err() || self.records.get(name).is_some_and(is_another) {
            self.forget(name, None);
        }
    }

    /// Lets go of a user, under each name of the entry.
    pub(super) fn forget(&mut self, name: &Name, dn: Option<&str>) {
        // What can't be read now will be later on.
        if let Err(trouble) = self.read() {
            self.remember_to_forget(name, dn);
            return self.cannot_forget(&trouble);
        }
        let own = self.records.get(name).map(|record| record.dn.clone());
        let dns = [dn, own.as_deref()];
        let is_meant = |(other, record): &(&Name, &Record)| {
            *other == name || record.user.name == *name || dns.contains(&Some(&record.dn))
        };
        let gone: Vec<Name> =
            self.records.iter().filter(is_meant).map(|(name, _)| name.clone()).collect();
        self.remove(gone);
    }

    /// Lets go of those who logged in too long ago, and notes the time.
    pub(super) fn clear_up(&mut self, policy: &Policy, now: u64) {
        if self.read().is_err() || self.records.is_empty() {
            return;
        }
        let is_old = |(_, record): &(&Name, &Record)| now >= record.until(policy);
        let gone: Vec<Name> =
            self.records.iter().filter(is_old).map(|(name, _)| name.clone()).collect();
        if gone.is_empty() {
            if let Err(trouble) = self.note(now) {
                warn!("the time can't be noted for offline logins: {trouble}");
            }
        } else {
            self.seen = self.seen.max(now);
            self.remove(gone);
        }
    }

    /// Lets go of everybody.
    pub(super) fn destroy(&mut self) -> Result<(), Trouble> {
        self.records.clear();
        // What couldn't be removed counts again only after it was read again.
        self.is_read = false;
        self.store.destroy()?;
        (self.seen, self.is_read) = (0, true);
        self.forgotten.clear();
        Ok(())
    }

    /// Whom it holds.
    pub(super) fn list(&mut self, policy: &Policy, now: u64) -> Vec<OfflineStatus> {
        if let Err(trouble) = self.read() {
            warn!("what is kept for offline logins can't be read: {trouble}");
        }
        self.records.values().map(|record| record.status(policy, self.seen, now)).collect()
    }

    /// Has the time written down.
    fn note(&mut self, now: u64) -> Result<(), Trouble> {
        self.seen = self.seen.max(now);
        self.store.commit(&Change { seen: self.seen, ..Change::default() })
    }

    fn put(&mut self, name: &Name, record: Record, now: u64) -> Result<(), Trouble> {
        let seen = self.seen.max(now);
        self.store.commit(&Change { put: Some((name, &record)), remove: Vec::new(), seen })?;
        self.seen = seen;
        self.records.insert(name.clone(), record);
        Ok(())
    }

    fn remove(&mut self, gone: Vec<Name>) {
        if gone.is_empty() {
            return;
        }
        for name in &gone {
            self.records.remove(name);
            debug!("{name} has no offline login any more");
        }
        let change = Change { put: None, remove: gone, seen: self.seen };
        if let Err(trouble) = self.store.commit(&change) {
            for name in &change.remove {
                self.remember_to_forget(name, None);
            }
            self.cannot_forget(&trouble);
        }
    }

    fn remember_to_forget(&mut self, name: &Name, dn: Option<&str>) {
        if self.forgotten.len() <= MOST_FORGOTTEN {
            self.forgotten.insert((name.clone(), dn.map(str::to_owned)));
        }
    }

    /// Lets go of those who were to be forgotten before the file could be read.
    fn forget_the_forgotten(&mut self) {
        let forgotten = std::mem::take(&mut self.forgotten);
        if forgotten.len() > MOST_FORGOTTEN {
            return self.remove(self.records.keys().cloned().collect());
        }
        for (name, dn) in forgotten {
            self.forget(&name, dn.as_deref());
        }
    }

    /// Whoever was to be forgotten goes with everybody.
    fn cannot_forget(&mut self, trouble: &Trouble) {
        warn!("what is kept for offline logins can't be changed, so all of it goes: {trouble}");
        if let Err(trouble) = self.destroy() {
            // It doesn't count in this process: it was read, or can't be.
            self.is_read = !matches!(trouble, Trouble::InUse);
            error!("what is kept for offline logins can't be removed: {trouble}");
        }
    }
}

fn opinion(record: &Record, policy: &Policy, now: u64) -> Opinion {
    let mut answer = record.judge(now);
    if !matches!(
        answer.verdict,
        Verdict::Accepted | Verdict::AccountExpired | Verdict::PasswordExpired
    ) {
        answer = Verdict::Denied.into();
    }
    let (user, login, until) = (record.user.clone(), record.login, record.until(policy));
    Opinion::Answer { answer, user, login, until }
}

#[cfg(test)]
mod tests;

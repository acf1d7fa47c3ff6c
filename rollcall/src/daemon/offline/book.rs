//! Who may log in while no server answers: decides, and has it written down.
//!
//! All records are in memory as well, a few hundred bytes each. The file comes first: what
//! isn't on the disk hasn't happened, so neither a kill nor a restart takes a wrong password
//! back. Where the disk can't be written to, nobody gets in, and what should have been
//! removed goes with the whole file, which needs no room.
//!
//! There is one record for each entry of the directory, however many names it has: see
//! `record.rs`.
//!
//! | file | idea |
//! |---|---|
//! | `book/keep.rs` | what a server says about a password changes what is kept |
//! | `book/forget.rs` | letting go, also where that can't be written down |

mod forget;
mod keep;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use common::account::{Name, User};
use common::protocol::{LoginAnswer, OfflineStatus, Verdict};
use common::secret::Secret;
use tracing::warn;

use super::hash::pretend;
use super::policy::Policy;
use super::record::{Record, Refusal, until};
use super::store::{Change, Store, Trouble};
use super::whose::Whose;
pub(super) use keep::Welcome;

/// Who may log in while no server answers.
#[derive(Debug)]
pub(super) struct Book {
    store: Store,
    /// By their keys.
    records: BTreeMap<String, Record>,
    /// The latest time that the clock has shown, in seconds since 1970.
    seen: u64,
    is_read: bool,
    /// Who was to be forgotten while the file couldn't be used.
    forgotten: BTreeSet<Whose>,
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
            let (records, seen) = self.store.all()?;
            (self.records, self.seen) = (records, self.seen.max(seen));
            self.is_read = true;
            self.forget_the_forgotten();
        }
        if self.is_read {
            Ok(())
        } else {
            Err(Trouble::Failed("those who are to be forgotten can't be removed".into()))
        }
    }

    /// Whether it is known who is kept.
    pub(super) fn is_read(&self) -> bool {
        self.is_read
    }

    /// Who is kept under which names.
    pub(super) fn names(&self) -> impl Iterator<Item = (&Name, &Record)> {
        self.records
            .values()
            .flat_map(|record| record.logins.keys().map(move |name| (name, record)))
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
        let Some(record) = self.record_of(name) else {
            self.note(now)?;
            pretend(password);
            return Ok(Opinion::Unknown);
        };
        let allowed = record.counts(name, policy, silent, self.seen, now);
        if let Err(refusal) = allowed.and_then(|()| record.may_try(policy, now)) {
            self.note(now)?;
            pretend(password);
            return Ok(Opinion::Refused(refusal));
        }
        let failures = record.failures.saturating_add(1);
        let counted = Record { failures, failed: now, ..record.clone() };
        self.put(counted.clone(), now)?;
        if !counted.hash.is_of(password) {
            return Ok(Opinion::WrongPassword);
        }
        let right = Record { failures: 0, failed: 0, ..counted };
        let opinion = opinion(&right, name, policy, now);
        if let Err(trouble) = self.put(right, now) {
            warn!("a right password still counts as a wrong one: {trouble}");
        }
        Ok(opinion)
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
        let Some(record) = self.record_of(name).filter(may_ask) else {
            return Ok(Opinion::Unknown);
        };
        if let Err(refusal) = record.counts(name, policy, silent, self.seen, now) {
            return Ok(Opinion::Refused(refusal));
        }
        Ok(opinion(record, name, policy, now))
    }

    /// Whom it holds: each entry once.
    pub(super) fn list(&mut self, policy: &Policy, now: u64) -> Vec<OfflineStatus> {
        if let Err(trouble) = self.read() {
            warn!("what is kept for offline logins can't be read: {trouble}");
        }
        let mut list: Vec<_> =
            self.records.values().map(|record| record.status(policy, self.seen, now)).collect();
        list.sort_by(|one, other| one.name.cmp(&other.name));
        list
    }

    fn record_of(&self, name: &Name) -> Option<&Record> {
        self.records.values().find(|record| record.logins.contains_key(name))
    }

    /// Has the time written down.
    fn note(&mut self, now: u64) -> Result<(), Trouble> {
        self.seen = self.seen.max(now);
        self.store.commit(&Change { seen: self.seen, ..Change::default() })
    }

    fn put(&mut self, record: Record, now: u64) -> Result<(), Trouble> {
        let seen = self.seen.max(now);
        self.store.commit(&Change { put: Some(&record), remove: Vec::new(), seen })?;
        self.seen = seen;
        self.records.insert(record.key(), record);
        Ok(())
    }
}

fn opinion(record: &Record, name: &Name, policy: &Policy, now: u64) -> Opinion {
    let mut answer = record.judge(now);
    if !matches!(
        answer.verdict,
        Verdict::Accepted | Verdict::AccountExpired | Verdict::PasswordExpired
    ) {
        answer = Verdict::Denied.into();
    }
    let login = record.login(name);
    Opinion::Answer { answer, user: record.user.clone(), login, until: until(login, policy) }
}

#[cfg(test)]
mod tests;

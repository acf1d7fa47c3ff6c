//! Letting go of users, also where that can't be written down.

use std::collections::BTreeSet;

use common::account::Name;
use tracing::{debug, error, warn};

use super::super::policy::Policy;
use super::super::record::{Record, until};
use super::super::store::{Change, Trouble};
use super::super::whose::Whose;
use super::Book;

/// How many forgotten users are remembered while the file can't be read; more, and nobody counts.
const MOST_FORGOTTEN: usize = 1024;

impl Book {
    /// Lets go of a user, under each name of the entry.
    pub(in super::super) fn forget(&mut self, name: &Name, dn: Option<&str>) {
        self.forget_all(&[Whose { name: name.clone(), dn: dn.map(str::to_owned) }]);
    }

    /// Lets go of several users, all at once.
    pub(in super::super) fn forget_all(&mut self, all: &[Whose]) {
        // What can't be read now will be later on.
        if let Err(trouble) = self.read() {
            for Whose { name, dn } in all {
                self.remember_to_forget(name, dn.as_deref());
            }
            return self.cannot_forget(&trouble);
        }
        self.remove(self.keys_of(all));
    }

    /// Lets go of those who logged in too long ago, and notes the time.
    pub(in super::super) fn clear_up(&mut self, policy: &Policy, now: u64) {
        if let Err(error) = self.store.clear_aside(now.saturating_sub(policy.max_age)) {
            warn!("what was set aside of offline logins can't be removed: {error}");
        }
        if self.read().is_err() || self.records.is_empty() {
            return;
        }
        let is_old = |record: &&Record| now >= until(record.last_login(), policy);
        let gone: Vec<_> = self.records.values().filter(is_old).map(Record::key).collect();
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
    pub(in super::super) fn destroy(&mut self) -> Result<(), Trouble> {
        self.records.clear();
        // What couldn't be removed counts again only after it was read again.
        self.is_read = false;
        self.store.destroy()?;
        (self.seen, self.is_read) = (0, true);
        self.forgotten.clear();
        Ok(())
    }

    /// What is kept of a user, whose entry has this name if it is known.
    pub(super) fn of<'a>(
        &'a self,
        name: &'a Name,
        dn: Option<&'a str>,
    ) -> impl Iterator<Item = &'a Record> {
        self.records.values().filter(move |record| {
            record.logins.contains_key(name)
                || record.user.name == *name
                || dn.is_some_and(|dn| record.has_dn(dn))
        })
    }

    /// The keys of what is kept of these.
    fn keys_of<'a>(&self, all: impl IntoIterator<Item = &'a Whose>) -> Vec<String> {
        let of = |whose: &'a Whose| self.of(&whose.name, whose.dn.as_deref()).map(Record::key);
        let keys: BTreeSet<_> = all.into_iter().flat_map(of).collect();
        keys.into_iter().collect()
    }

    /// Lets go of those who were to be forgotten before the file could be read. Where that
    /// can't be written down they are remembered on, and nothing that was read counts.
    pub(super) fn forget_the_forgotten(&mut self) {
        let is_everybody = self.forgotten.len() > MOST_FORGOTTEN;
        let gone = if is_everybody {
            self.records.keys().cloned().collect()
        } else {
            self.keys_of(&self.forgotten)
        };
        self.remove(gone);
        if self.is_read {
            self.forgotten.clear();
        }
    }

    /// Lets go of what has these keys.
    pub(super) fn remove(&mut self, remove: Vec<String>) {
        if remove.is_empty() {
            return;
        }
        let gone: Vec<_> = remove.iter().filter_map(|key| self.records.remove(key)).collect();
        for record in &gone {
            debug!("{} has no offline login any more", record.user.name);
        }
        let change = Change { put: None, remove, seen: self.seen };
        if let Err(trouble) = self.store.commit(&change) {
            for record in gone {
                self.remember_to_forget(&record.user.name, Some(&record.dn));
            }
            self.cannot_forget(&trouble);
        }
    }

    /// Has a user forgotten as soon as the file can be used.
    pub(super) fn remember_to_forget(&mut self, name: &Name, dn: Option<&str>) {
        if self.forgotten.len() <= MOST_FORGOTTEN {
            self.forgotten.insert(Whose { name: name.clone(), dn: dn.map(str::to_owned) });
        }
    }

    /// Whoever was to be forgotten goes with everybody. Where not even that is possible nothing
    /// counts until the file can be read again, and then they are forgotten first.
    fn cannot_forget(&mut self, trouble: &Trouble) {
        warn!("what is kept for offline logins can't be changed, so all of it goes: {trouble}");
        if let Err(trouble) = self.destroy() {
            error!("what is kept for offline logins can't be removed: {trouble}");
        }
    }
}

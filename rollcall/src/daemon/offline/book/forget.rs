//! Letting go of users, also where that can't be written down.

use common::account::Name;
use tracing::{debug, error, warn};

use super::super::policy::Policy;
use super::super::record::{Record, until};
use super::super::store::{Change, Trouble};
use super::Book;

/// How many forgotten users are remembered while the file can't be read; more, and nobody counts.
const MOST_FORGOTTEN: usize = 1024;

impl Book {
    /// Lets go of a user, under each name of the entry.
    pub(in super::super) fn forget(&mut self, name: &Name, dn: Option<&str>) {
        // What can't be read now will be later on.
        if let Err(trouble) = self.read() {
            self.remember_to_forget(name, dn);
            return self.cannot_forget(&trouble);
        }
        let gone = self.of(name, dn).map(Record::key).collect();
        self.remove(gone);
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

    /// Lets go of those who were to be forgotten before the file could be read.
    pub(super) fn forget_the_forgotten(&mut self) {
        let forgotten = std::mem::take(&mut self.forgotten);
        if forgotten.len() > MOST_FORGOTTEN {
            return self.remove(self.records.keys().cloned().collect());
        }
        for (name, dn) in forgotten {
            self.forget(&name, dn.as_deref());
        }
    }

    fn remove(&mut self, remove: Vec<String>) {
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

    fn remember_to_forget(&mut self, name: &Name, dn: Option<&str>) {
        if self.forgotten.len() <= MOST_FORGOTTEN {
            self.forgotten.insert((name.clone(), dn.map(str::to_owned)));
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

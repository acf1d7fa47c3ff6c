//! The thread that does the work: one password at a time, and the only one with the file.
//!
//! A hash takes a core for a while, and a write waits for the disk: neither may hold up the
//! thread of the requests. There are two lines. Whoever waits for an answer, or is to be
//! forgotten, comes first; hashes that nobody waits for come after that, one for each user, and
//! the thread rests after each as long as it took, so that a crowd that logs in has the processor.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use common::account::{Name, Shadow, User};
use common::login::Account;
use tokio::sync::oneshot;
use tracing::error;

use super::book::Book;
use super::record::Record;
use super::store::Trouble;

/// How many may wait for an answer, and how many hashes may be owed.
const MOST: usize = 1024;
/// How many hashes may be owed for one user.
const MOST_OF_ONE: usize = 16;
/// The stack of the thread; argon2's memory isn't there.
const STACK: usize = 512 << 10;

type Work = Box<dyn FnOnce(&mut Book) + Send>;

/// Something to do.
struct Item {
    whose: Option<Whose>,
    work: Work,
}

/// A user, and the entry's name if it is known.
#[derive(Debug, Clone)]
pub(super) struct Whose {
    pub(super) name: Name,
    pub(super) dn: Option<String>,
}

/// Which of the times between two removals of everything it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Era(u64);

/// The way to the thread. It ends with the process.
#[derive(Debug, Clone)]
pub(super) struct Queue(Arc<Shared>);

struct Shared {
    lines: Mutex<Lines>,
    wake: Condvar,
    /// Who is kept, and where from: a glance that waits for nothing. `None`: that couldn't be
    /// read yet. Never locked before `lines`.
    kept: Mutex<Option<HashMap<Name, Kept>>>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Shared")
    }
}

/// Somebody who is kept.
struct Kept {
    directory: usize,
    user: User,
    dn: String,
    uuid: Option<String>,
    shadow: Option<Shadow>,
}

#[derive(Default)]
struct Lines {
    first: VecDeque<Item>,
    later: VecDeque<Item>,
    rest_until: Option<Instant>,
    /// It rests no more.
    is_in_a_hurry: bool,
    /// Whose work is being done.
    at_work: Option<Name>,
    era: Era,
    /// Nothing is to be kept.
    is_off: bool,
}

impl Item {
    fn is_of(&self, name: &Name) -> bool {
        self.whose.as_ref().is_some_and(|whose| whose.name == *name)
    }

    fn is_of_entry(&self, dn: &str) -> bool {
        self.whose.as_ref().is_some_and(|whose| whose.dn.as_deref() == Some(dn))
    }
}

impl Queue {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system has none.
    pub(super) fn start(mut book: Book) -> io::Result<Self> {
        let lines = Mutex::new(Lines::default());
        let shared = Arc::new(Shared { lines, wake: Condvar::new(), kept: Mutex::default() });
        let there = Arc::clone(&shared);
        std::thread::Builder::new().name("offline".into()).stack_size(STACK).spawn(move || {
            loop {
                let (Item { work, .. }, may_rest) = there.next();
                let began = Instant::now();
                // Who waits for it is told that there is no answer.
                if catch_unwind(AssertUnwindSafe(|| work(&mut book))).is_err() {
                    error!("an offline login failed by a mistake in this program");
                }
                let kept = book.names().map(|(name, record)| {
                    let Record { directory, user, dn, uuid, shadow, .. } = record.clone();
                    (name.clone(), Kept { directory, user, dn, uuid, shadow })
                });
                *lock(&there.kept) = book.is_read().then(|| kept.collect());
                let mut lines = lock(&there.lines);
                lines.at_work = None;
                if may_rest {
                    lines.rest_until = Some(Instant::now() + began.elapsed());
                }
            }
        })?;
        Ok(Self(shared))
    }

    /// Has something done before all hashes that nobody waits for, and waits for what comes of
    /// it. What is owed for `name` comes before it, under whichever name of the entry. It isn't begun when nobody waits any more.
    /// `None`: there is too much to do.
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        name: Option<&Name>,
        work: impl FnOnce(&mut Book) -> T + Send + 'static,
    ) -> Option<T> {
        let (answer, answered) = oneshot::channel();
        {
            let mut lines = lock(&self.0.lines);
            if lines.first.len() >= MOST {
                return None;
            }
            let kept = lock(&self.0.kept);
            let dn = name.and_then(|name| Some(kept.as_ref()?.get(name)?.dn.as_str()));
            let is_own = |item: &Item| {
                name.is_some_and(|name| item.is_of(name))
                    || dn.is_some_and(|dn| item.is_of_entry(dn))
            };
            let (own, others) = lines.later.drain(..).partition(is_own);
            drop(kept);
            lines.later = others;
            let own: VecDeque<Item> = own;
            lines.first.extend(own);
            let work: Work = Box::new(move |book| {
                if !answer.is_closed() {
                    // Nobody may be waiting any more.
                    let _ = answer.send(work(book));
                }
            });
            lines.first.push_back(Item { whose: None, work });
        }
        self.0.wake.notify_one();
        answered.await.ok()
    }

    /// Has everything removed, however much there is to do; what is owed isn't done any more,
    /// and nothing is kept of what began before. `is_off`: nor of anything else, until
    /// [`Queue::turn_on`]. `None`: a mistake in this program.
    pub(super) async fn destroy(&self, is_off: bool) -> Option<Result<(), Trouble>> {
        let (answer, answered) = oneshot::channel();
        {
            let mut lines = lock(&self.0.lines);
            lines.later.clear();
            lines.era.0 += 1;
            lines.is_off |= is_off;
            let work: Work = Box::new(move |book| {
                // It is done whether or not somebody waits for it.
                let _ = answer.send(book.destroy());
            });
            lines.first.push_back(Item { whose: None, work });
        }
        self.0.wake.notify_one();
        answered.await.ok()
    }

    /// Returns when all that is owed by now is done. From now on the thread doesn't rest.
    pub(super) async fn finish(&self) {
        let (done, all_done) = oneshot::channel();
        {
            let mut lines = lock(&self.0.lines);
            lines.is_in_a_hurry = true;
            // Nobody may be waiting any more.
            let work: Work = Box::new(move |_| done.send(()).unwrap_or_default());
            lines.later.push_back(Item { whose: None, work });
        }
        self.0.wake.notify_one();
        // It isn't done if everything is removed meanwhile, nor is anything else.
        let _ = all_done.await;
    }

    /// From now on there is something to keep.
    pub(super) fn turn_on(&self) {
        lock(&self.0.lines).is_off = false;
    }

    /// What to begin with for whatever may be kept in the end.
    pub(super) fn era(&self) -> Era {
        lock(&self.0.lines).era
    }

    /// Has a user forgotten as soon as can be, under each name of the entry. What is owed for
    /// this user isn't done any more.
    pub(super) fn forget(&self, name: Name, dn: Option<String>) {
        let mut lines = lock(&self.0.lines);
        let mut dns: Vec<String> = dn.iter().cloned().collect();
        let own = lines.later.iter().filter(|item| item.is_of(&name));
        dns.extend(own.filter_map(|item| item.whose.as_ref()?.dn.clone()));
        let owed = lines.later.len();
        lines.later.retain(|item| !item.is_of(&name) && !dns.iter().any(|dn| item.is_of_entry(dn)));
        // Names that are nobody's must not fill the line.
        let is_known = owed > lines.later.len()
            || dn.is_some()
            || lines.at_work.as_ref() == Some(&name)
            || lines.first.iter().any(|item| item.is_of(&name))
            || lock(&self.0.kept).as_ref().is_none_or(|kept| kept.contains_key(&name));
        if is_known {
            let whose = Whose { name: name.clone(), dn: dn.clone() };
            let work: Work = Box::new(move |book| book.forget(&name, dn.as_deref()));
            lines.first.push_back(Item { whose: Some(whose), work });
        }
        drop(lines);
        self.0.wake.notify_one();
    }

    /// Has a hash made when there is time, in the place of one that is still owed for this
    /// user. Too many of them, and the user is forgotten instead: what is kept may be an
    /// older password. Nothing is done if everything was removed since `began`.
    pub(super) fn owe(
        &self,
        whose: Whose,
        began: Era,
        work: impl FnOnce(&mut Book) + Send + 'static,
    ) {
        let mut lines = lock(&self.0.lines);
        if lines.is_off || lines.era != began {
            return;
        }
        lines.later.retain(|item| !item.is_of(&whose.name));
        if lines.later.len() >= MOST {
            drop(lines);
            return self.forget(whose.name, whose.dn);
        }
        lines.later.push_back(Item { whose: Some(whose), work: Box::new(work) });
        drop(lines);
        self.0.wake.notify_one();
    }

    /// The same for what keeps nothing, and after all that is owed for this user already.
    pub(super) fn owe_besides(&self, whose: Whose, work: impl FnOnce(&mut Book) + Send + 'static) {
        let mut lines = lock(&self.0.lines);
        let own = lines.later.iter().filter(|item| item.is_of(&whose.name)).count();
        if own >= MOST_OF_ONE || lines.later.len() >= MOST {
            drop(lines);
            return self.forget(whose.name, whose.dn);
        }
        lines.later.push_back(Item { whose: Some(whose), work: Box::new(work) });
        drop(lines);
        self.0.wake.notify_one();
    }

    /// Whether a user is kept as something else than this; or nobody knows.
    pub(super) fn is_news(&self, name: &Name, account: &Account) -> bool {
        let Account { directory, user, dn, uuid, shadow } = account;
        lock(&self.0.kept).as_ref().is_none_or(|kept| {
            kept.get(name).is_some_and(|kept| {
                kept.directory != *directory
                    || (&kept.user, &kept.dn, &kept.uuid, &kept.shadow) != (user, dn, uuid, shadow)
            })
        })
    }

    /// Which directory has a user who is kept.
    pub(super) fn directory_of(&self, name: &Name) -> Option<usize> {
        Some(lock(&self.0.kept).as_ref()?.get(name)?.directory)
    }
}

impl Shared {
    /// Waits for work; whether the thread rests after it.
    fn next(&self) -> (Item, bool) {
        let mut lines = lock(&self.lines);
        loop {
            if let Some(item) = lines.first.pop_front() {
                lines.at_work = item.whose.as_ref().map(|whose| whose.name.clone());
                return (item, false);
            }
            let rest = lines.rest_until.map(|end| end.saturating_duration_since(Instant::now()));
            let rest = rest.filter(|rest| !rest.is_zero() && !lines.is_in_a_hurry);
            if rest.is_none()
                && let Some(item) = lines.later.pop_front()
            {
                lines.at_work = item.whose.as_ref().map(|whose| whose.name.clone());
                return (item, true);
            }
            let rest = rest.unwrap_or(Duration::from_secs(3600));
            lines = self.wake.wait_timeout(lines, rest).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;

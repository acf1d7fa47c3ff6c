//! The thread that does the work: one password at a time, and the only one with the file.
//!
//! A hash takes a core for a while, and a write waits for the disk: neither may hold up the
//! thread of the requests. There are two lines. Whoever waits for an answer, or is to be
//! forgotten, comes first; hashes that nobody waits for come after that, one for each user, and
//! the thread rests after each three times as long as it took, so that a crowd that logs in has
//! the processor.
//!
//! What is owed is bounded. Where there is no room for an accepted password its user is forgotten,
//! since what is kept may be an older one. Nobody is forgotten for refused passwords: anybody can
//! bring those about, as fast as the server answers. Those that there is no room for aren't looked
//! at, and there is room for few, so that they don't take it from the others.
//!
//! | file | idea |
//! |---|---|
//! | `queue/lines.rs` | what is to be done, in which order, and for whom |

mod lines;

use std::collections::{HashMap, VecDeque};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use common::account::{Name, Shadow, User};
use common::login::Account;
use common::secret::Secret;
use tokio::sync::oneshot;
use tracing::error;

use super::book::Book;
use super::record::Record;
use super::store::Trouble;
use super::whose::{Whose, are_one_dn};
use lines::{Item, Kind, Lines, Work};

/// How many may wait for an answer, and how many hashes may be owed.
const MOST: usize = 1024;
/// How many of them may be for refused passwords.
const MOST_DOUBTS: usize = 64;
/// How many hashes of one kind may be owed for one user.
const MOST_OF_ONE: usize = 16;
/// How often as long as a hash took the thread rests after it.
const REST: u32 = 3;
/// The stack of the thread; argon2's memory isn't there.
const STACK: usize = 512 << 10;

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
                    lines.rest_until = Some(Instant::now() + began.elapsed() * REST);
                }
            }
        })?;
        Ok(Self(shared))
    }

    /// Has something done before all hashes that nobody waits for, and waits for what comes of
    /// it. What is owed for `name` comes before it, under whichever name of the entry. It isn't
    /// begun when nobody waits any more. `None`: there is too much to do.
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
            let whose = name.map(|name| {
                let kept = kept.as_ref().and_then(|kept| kept.get(name));
                Whose { name: name.clone(), dn: kept.map(|kept| kept.dn.clone()) }
            });
            drop(kept);
            let is_own = |item: &Item| whose.as_ref().is_some_and(|whose| item.is_of(whose));
            let (own, others) = lines.later.drain(..).partition(is_own);
            lines.later = others;
            let own: VecDeque<Item> = own;
            lines.first.extend(own);
            lines.first.push_back(Item::urgent(move |book| {
                if !answer.is_closed() {
                    // Nobody may be waiting any more.
                    let _ = answer.send(work(book));
                }
            }));
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
            lines.first.push_back(Item::urgent(move |book| {
                // It is done whether or not somebody waits for it.
                let _ = answer.send(book.destroy());
            }));
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
            lines.later.push_back(Item::urgent(move |_| done.send(()).unwrap_or_default()));
        }
        self.0.wake.notify_one();
        // It isn't done if everything is removed meanwhile, nor is anything else.
        let _ = all_done.await;
    }

    /// Has those forgotten, all at once, for whom something is owed still: there is no time for
    /// it, and what is kept of them may be an older password. From now on nothing is kept.
    pub(super) async fn give_up(&self) {
        let (done, all_done) = oneshot::channel();
        {
            let mut lines = lock(&self.0.lines);
            lines.is_off = true;
            let all: Vec<_> = lines.later.drain(..).filter_map(|item| item.whose).collect();
            lines.first.push_back(Item::urgent(move |book| {
                book.forget_all(&all);
                // Nobody may be waiting any more.
                let _ = done.send(());
            }));
        }
        self.0.wake.notify_one();
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
        let whose = Whose { name, dn };
        let mut all = lines.let_go_of(&whose);
        // Names that are nobody's must not fill the line.
        if !all.is_empty() || whose.dn.is_some() || self.0.may_keep(&lines, &whose) {
            all.push(whose.clone());
            let work: Work = Box::new(move |book| book.forget_all(&all));
            lines.first.push_back(Item { whose: Some(whose), kind: Kind::Urgent, work });
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
        lines.later.retain(|item| item.whose.as_ref() != Some(&whose));
        if lines.later.len() >= MOST {
            drop(lines);
            return self.forget(whose.name, whose.dn);
        }
        self.push(lines, whose, Kind::Accepted, work);
    }

    /// The same for an accepted password that isn't kept, and after all that is owed for this
    /// user already.
    pub(super) fn owe_besides(&self, whose: Whose, work: impl FnOnce(&mut Book) + Send + 'static) {
        let lines = lock(&self.0.lines);
        if !lines.has_room_for(&whose, |kind| matches!(kind, Kind::Accepted)) {
            drop(lines);
            return self.forget(whose.name, whose.dn);
        }
        self.push(lines, whose, Kind::Accepted, work);
    }

    /// Has a password that a server has refused compared with the one that is kept or is going
    /// to be. Nothing is done for others, nor if there are too many of them.
    pub(super) fn doubt(&self, whose: Whose, password: Secret) {
        let lines = lock(&self.0.lines);
        if self.0.may_keep(&lines, &whose) && lines.has_room_for_doubt(&whose, &password) {
            let password = Arc::new(password);
            let kind = Kind::Refused(Arc::clone(&password));
            let Whose { name, dn } = whose.clone();
            let work = move |book: &mut Book| book.doubt(&name, dn.as_deref(), &password);
            self.push(lines, whose, kind, work);
        }
    }

    /// Has what is kept of an account brought up to date, after all that is owed for this user
    /// already; another time if there is too much to do.
    pub(super) fn renew(&self, whose: Whose, work: impl FnOnce(&mut Book) + Send + 'static) {
        let lines = lock(&self.0.lines);
        if lines.has_room_for(&whose, |kind| matches!(kind, Kind::Renewal)) {
            self.push(lines, whose, Kind::Renewal, work);
        }
    }

    fn push(
        &self,
        mut lines: MutexGuard<'_, Lines>,
        whose: Whose,
        kind: Kind,
        work: impl FnOnce(&mut Book) + Send + 'static,
    ) {
        lines.later.push_back(Item { whose: Some(whose), kind, work: Box::new(work) });
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
    /// Whether this user is kept, or may be soon.
    fn may_keep(&self, lines: &Lines, whose: &Whose) -> bool {
        let is_kept = |kept: &HashMap<Name, Kept>| {
            let is_this = |kept: &Kept| {
                let dn = whose.dn.as_deref();
                kept.user.name == whose.name || dn.is_some_and(|dn| are_one_dn(dn, &kept.dn))
            };
            kept.contains_key(&whose.name) || kept.values().any(is_this)
        };
        lines.has_work_for(whose) || lock(&self.kept).as_ref().is_none_or(is_kept)
    }

    /// Waits for work; whether the thread rests after it.
    fn next(&self) -> (Item, bool) {
        let mut lines = lock(&self.lines);
        loop {
            if let Some(item) = lines.first.pop_front() {
                lines.at_work.clone_from(&item.whose);
                return (item, false);
            }
            let rest = lines.rest_until.map(|end| end.saturating_duration_since(Instant::now()));
            let rest = rest.filter(|rest| !rest.is_zero() && !lines.is_in_a_hurry);
            if rest.is_none()
                && let Some(item) = lines.later.pop_front()
            {
                lines.at_work.clone_from(&item.whose);
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

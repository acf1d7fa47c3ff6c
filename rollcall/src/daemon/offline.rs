//! Logins while no server answers.
//!
//! **What is kept.** When a server has accepted a user's password and the account check has let
//! the user in, the password is hashed, and the hash is written down with what the account was
//! like. A login that must change its password, or uses up one of the last with an expired one,
//! keeps nothing, and neither does any that fails. There is one record for each entry of the
//! directory: whichever of its names a login comes under, it has one password and one count of
//! wrong ones. It is for the names under which a server has let the user in. A login without a
//! password that a server judges (an ssh key) tells the record what the account is like now.
//!
//! **When it decides.** Only when the attempt online has ended because nobody answered, and the
//! pool of the user's directory says that all of its servers are silent. Any word from a server
//! is the last word: an error, a refused reader, a certificate that can't be verified, something
//! that isn't LDAP. A connection that the server closes before it has said anything whole isn't
//! one, nor is its notice that it is about to end. During a known outage the attempt online ends
//! at once; else the servers are looked at after `silence::PATIENCE`, and the attempt is given up
//! when they turn out to be silent. One that ends before that is known waits for it.
//!
//! **What it decides.** The password is counted as wrong, on the disk, before it is looked at.
//! The account check that follows is answered from the same record, without asking a server that
//! was silent a moment ago. So is one without a password (an ssh key, cron), to those who may
//! ask for it. A password can't be changed.
//!
//! **When it ends.** With its age; after too many wrong passwords; and at once when a server says
//! that the account is locked, expired, denied or unknown, when the password is changed through
//! this host, when a server refuses the very password that is kept, or when one lets in another
//! entry of its name. A mistyped one changes
//! nothing. Whom a copy of the directory that is newer than the login doesn't have isn't let in.
//!
//! | file | idea |
//! |---|---|
//! | `online.rs` | what a login is answered, and what a server's word does to what is kept |
//! | `silence.rs` | whether any server answers |
//! | `alone.rs` | the answer while none does |
//! | `policy.rs` | what the configuration allows |
//! | `hash.rs` | argon2id |
//! | `record.rs` | what is kept of a user, and what it allows at which time |
//! | `book.rs` | all records, and the decisions that change them |
//! | `store.rs` | their file |
//! | `queue.rs` | the thread that has them |
//! | `accepted.rs` | a password that a server has just accepted |
//! | `whose.rs` | whom something is about |
//! | `moment.rs` | a time as people read it |
//! | `moments.rs` | what is remembered between the two questions of a login |

mod accepted;
mod alone;
mod book;
mod hash;
mod moment;
mod moments;
mod online;
mod policy;
mod queue;
mod record;
mod silence;
mod store;
mod whose;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use common::account::Name;
use common::protocol::{OfflineStatus, Response, Unavailable};
use common::secret::Secret;
use tracing::warn;

use super::table::wall;
use accepted::Accepted;
use book::Book;
use moments::Moments;
pub(super) use policy::Policy;
use queue::Queue;
use store::Trouble;
use whose::Whose;

/// How often what is too old is removed, and the time is noted.
const CLEARING: Duration = Duration::from_secs(3600);
/// How long it may take to tell who is kept.
const LISTING: Duration = Duration::from_secs(1);
/// How many of them are told: an answer has a largest size.
const MOST_LISTED: usize = 8192;

/// Decides logins while no server answers.
#[derive(Debug)]
pub(super) struct Offline {
    queue: Queue,
    /// Passwords that a server has just accepted.
    accepted: Moments<Accepted>,
    /// Users who have just shown their password offline.
    shown: Moments<()>,
}

impl Offline {
    /// Keeps what there is to keep in this folder.
    ///
    /// # Errors
    /// When the system has no thread for it.
    pub(super) fn start(folder: &Path) -> io::Result<Self> {
        let queue = Queue::start(Book::new(folder))?;
        Ok(Self { queue, accepted: Moments::default(), shown: Moments::default() })
    }

    /// Takes a configuration into use; without offline logins nothing is kept.
    pub(super) async fn settle(&self, policy: Option<Arc<Policy>>) {
        let Some(policy) = policy else {
            match self.destroy(true).await {
                Some(Ok(())) => {}
                Some(Err(trouble)) => {
                    warn!("what was kept for offline logins can't be removed: {trouble}");
                }
                None => warn!("what was kept for offline logins can't be removed"),
            }
            return;
        };
        self.queue.turn_on();
        self.queue.ask(None, move |book| book.clear_up(&policy, wall())).await;
    }

    /// Clears up now and then, as long as `policy` knows what is in use.
    pub(super) async fn look_after(self: Arc<Self>, policy: impl Fn() -> Option<Arc<Policy>>) {
        loop {
            if let Some(policy) = policy() {
                self.queue.ask(None, move |book| book.clear_up(&policy, wall())).await;
            }
            tokio::time::sleep(CLEARING).await;
        }
    }

    /// Whom it holds.
    pub(super) async fn list(&self, policy: Option<Arc<Policy>>) -> Vec<OfflineStatus> {
        let Some(policy) = policy else { return Vec::new() };
        let list = self.queue.ask(None, move |book| book.list(&policy, wall()));
        let Ok(Some(mut list)) = tokio::time::timeout(LISTING, list).await else {
            warn!("there is no time to tell who may log in while no server answers");
            return Vec::new();
        };
        if list.len() > MOST_LISTED {
            warn!("of {} who may log in offline the first {MOST_LISTED} are told", list.len());
            list.truncate(MOST_LISTED);
        }
        list
    }

    async fn destroy(&self, is_off: bool) -> Option<Result<(), Trouble>> {
        self.accepted.clear();
        self.shown.clear();
        self.queue.destroy(is_off).await
    }

    /// Lets go of everybody.
    pub(super) async fn flush(&self) -> Response {
        match self.destroy(false).await {
            Some(Ok(())) => Response::Done,
            Some(Err(trouble)) => Response::Unavailable(Unavailable::Flush(trouble.to_string())),
            None => Response::Unavailable(Unavailable::Busy),
        }
    }

    /// Does what is still to do, before the daemon ends: what was kept before doesn't come back.
    /// Those for whom there is no time are forgotten, which may take as long again.
    pub(super) async fn finish(&self, time: Duration) {
        self.accepted.clear();
        if tokio::time::timeout(time, self.queue.finish()).await.is_ok() {
            return;
        }
        warn!("there is no time to keep all who have just logged in");
        if tokio::time::timeout(time, self.queue.give_up()).await.is_err() {
            warn!("what is kept for offline logins may be older than the last logins");
        }
    }

    /// A server has accepted a password: an older one is kept no more, whoever showed it.
    fn accept(&self, asker: u32, accepted: Accepted) {
        let is_older = |a: &Accepted| {
            let password = accepted.password.as_ref();
            a.is_of(&accepted.whose) && password.is_some_and(|password| !a.is_with(password))
        };
        self.accepted.forget_those(|_, a| is_older(a));
        self.accepted.remember(accepted.whose.name.clone(), asker, accepted);
    }

    /// A server has refused a password: it isn't kept, even if it was accepted a moment ago.
    fn refuse(&self, whose: Whose, password: Secret) {
        self.accepted.forget_those(|_, a| a.is_of(&whose) && a.is_with(&password));
        self.queue.doubt(whose, password);
    }

    fn forget(&self, name: &Name, dn: Option<String>) {
        let whose = Whose { name: name.clone(), dn: dn.clone() };
        self.accepted.forget_those(|_, a| a.is_of(&whose));
        self.shown.forget(name);
        self.queue.forget(name.clone(), dn);
    }
}

#[cfg(test)]
mod tests;

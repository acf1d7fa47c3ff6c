//! Answers from the table, and fills it on demand.
//!
//! It stands between the connections and the [`Service`], which asks the directory. A
//! lookup that the table can answer goes no further; see `age.rs` for which it can.
//! What the directory answers is put into the table, after the asker has got it.
//! While a replica keeps the table, nothing is put here: the replica knows
//! everything that is asked for, and where it doesn't (not yet, or no longer), the
//! directory is asked as if there were no table.
//!
//! Logins, the ages of passwords and enumerations are never kept.
//!
//! | file | idea |
//! |---|---|
//! | `asked.rs` | what is asked for |
//! | `answer.rs` | gives answers, from the table or from the directory |
//! | `refresh.rs` | asks the directory behind those who got an older answer |
//! | `known.rs` | what is known about it |
//! | `age.rs` | how old an answer may be |
//! | `locals.rs` | who is in this host's own files |
//! | `learn.rs` | puts answers into the table |
//! | `contradictions.rs` | what can't be true any more then |
//! | `vain.rs` | names that don't exist, which aren't put into the table |
//! | `room.rs` | who leaves when there are too many |
//! | `flush.rs` | lets go of what is known about somebody |
//! | `watch.rs` | hears of changes, and lets go of what they are about |
//! | `status.rs` | tells how things stand |

mod age;
mod answer;
mod asked;
mod contradictions;
mod flush;
mod known;
mod learn;
mod locals;
mod refresh;
mod room;
mod status;
mod vain;
mod watch;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use common::account::{Name, User};
use common::config::{CacheConfig, CacheMode, Timeouts};
use common::deadline::Deadline;
use common::handle::{Peer, Service};
use common::login::Trace;
use common::protocol::{Request, Response};
use tokio::task::AbortHandle;

use super::replica;
use super::table::{Keeper, TableThread, no_later_than_now, wall};
use locals::Locals;
use refresh::Refreshes;
use vain::Vain;

pub(super) use age::{LONG_AGO, OUTDATED, is_a_mark, long_gone};
pub(super) use answer::Answer;
pub(super) use asked::Asked;
pub(super) use known::Known;
pub(super) use learn::Kept;
pub(super) use status::Counters;

/// What a configuration keeps.
#[derive(Debug)]
pub(super) struct Cache {
    service: Arc<Service>,
    config: CacheConfig,
    timeouts: Timeouts,
    /// Which directories are read, and how.
    origin: String,
    /// Where it is kept, once that is in use.
    table: OnceLock<Arc<TableThread>>,
    replica: Arc<replica::State>,
    keeping: Mutex<Option<AbortHandle>>,
    refreshes: Refreshes,
    vain: Vain,
    locals: Locals,
    counters: Arc<Counters>,
    /// When these directories were last heard of, in seconds since 1970.
    heard: AtomicU64,
    /// Another configuration has the table: nothing is put there any more.
    stopped: AtomicBool,
}

impl Cache {
    /// Keeps nothing until it is started.
    pub(super) fn new(
        service: Arc<Service>,
        config: &common::config::Config,
        counters: Arc<Counters>,
    ) -> Arc<Self> {
        Arc::new(Self {
            service,
            config: config.cache,
            timeouts: config.timeouts,
            origin: origin(config),
            table: OnceLock::new(),
            replica: Arc::default(),
            keeping: Mutex::default(),
            refreshes: Refreshes::default(),
            vain: Vain::new(config.cache.max_entries / 4),
            locals: Locals::default(),
            counters,
            heard: AtomicU64::new(0),
            stopped: AtomicBool::new(false),
        })
    }

    /// Takes the table into use. Until it is configured, which is awaited, each lookup
    /// asks the directory: what is in it may be of other ones.
    pub(super) async fn start(self: &Arc<Self>, table: Arc<TableThread>) {
        let cache = Arc::downgrade(self);
        let (config, origin, service) = (self.config, self.origin.clone(), self.service.clone());
        let state = Arc::clone(&self.replica);
        let asked = Arc::clone(&service);
        let begin = move |keeper: &mut Keeper| {
            let is_first = keeper.cache.is_none();
            watch::note_who_is_kept(asked.directories(), &config, is_first);
            keeper.configure(config, origin);
            is_first
        };
        let is_first = table.run(begin).await.unwrap_or_default();
        let _ = self.table.set(Arc::clone(&table));
        let keeping = tokio::spawn(async move {
            let directories = service.directories().to_vec();
            drop(service);
            if matches!(config.mode, CacheMode::Auto | CacheMode::Replica) {
                let copied = directories.clone();
                Box::pin(replica::run(copied, config, Arc::clone(&table), state)).await;
                table.run(Keeper::begin_on_demand).await;
            }
            if config.mode != CacheMode::Off {
                watch::run(cache, directories, config, is_first).await;
            }
        });
        *self.keeping.lock().unwrap_or_else(PoisonError::into_inner) = Some(keeping.abort_handle());
    }

    /// Leaves the table to another configuration.
    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
        let keeping = self.keeping.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(keeping) = keeping {
            keeping.abort();
        }
    }

    /// When the directory was last heard of here, in seconds since 1970.
    pub(super) fn heard(&self) -> u64 {
        no_later_than_now(self.heard.load(Ordering::Relaxed))
    }

    /// Has the replica look at everything, now, if there is one. In the context of the runtime.
    pub(super) fn look_again(&self) {
        self.replica.look_again();
    }

    /// Has it looked at once which servers answer. In the context of the runtime.
    pub(super) fn network_changed(&self) {
        self.service.directories().iter().for_each(|directory| directory.network_changed());
    }

    /// Who asks the directories.
    pub(super) fn service(&self) -> &Service {
        &self.service
    }

    /// Puts a request about a login to the directory, and notes what there is to know besides.
    pub(super) async fn attend(
        &self,
        peer: Peer,
        request: Request,
        deadline: Deadline,
        trace: &mut Trace,
    ) -> Response {
        let response = self.service.attend(peer, request, deadline, trace).await;
        self.note(&response);
        response
    }

    /// Whether a user who logged in at a time (seconds since 1970) isn't there any more, as far
    /// as is known here: a copy of the whole directory that was in step later doesn't have the
    /// user, or the name is somebody else's by now.
    pub(super) fn is_gone(&self, name: &Name, user: &User, login: u64) -> bool {
        let Some(table) = self.table() else { return false };
        let asked = Asked::UserByName(name.clone());
        let known = table.with(|table| Known::look(&table.timeless()?, &asked));
        match known {
            Some((Known::User(now), _)) => now.uid != user.uid,
            Some(_) => false,
            // In the same second: rather ask for a login online than let somebody in.
            None => self.replica.has_all() && self.replica.last_in_step() >= login,
        }
    }

    fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    /// The table, if there may be one.
    fn table(&self) -> Option<&Arc<TableThread>> {
        self.table.get().filter(|_| self.config.mode != CacheMode::Off)
    }

    /// Notes that the directory was heard of, if it was.
    fn note(&self, response: &Response) {
        let silent = matches!(response, Response::Unavailable(_) | Response::Refused(_));
        if !silent {
            self.heard.store(wall(), Ordering::Relaxed);
        }
    }
}

impl Drop for Cache {
    fn drop(&mut self) {
        self.stop();
    }
}

/// What makes answers of one configuration useless for another one: which directories
/// there are, and how their entries are read. Passwords print as `***`, and
/// another one doesn't change what there is to be read.
fn origin(config: &common::config::Config) -> String {
    format!("{:?} {:?} {:?} {:?}", config.directories, config.ids, config.home, config.shell)
}

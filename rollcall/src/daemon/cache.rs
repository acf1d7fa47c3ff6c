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
//! | `known.rs` | what is known about it |
//! | `age.rs` | how old an answer may be |
//! | `learn.rs` | puts answers into the table |
//! | `contradictions.rs` | what can't be true any more then |
//! | `vain.rs` | names that don't exist, which aren't put into the table |
//! | `room.rs` | who leaves when there are too many |
//! | `flush.rs` | lets go of what is known about somebody |
//! | `watch.rs` | hears of changes, and lets go of what they are about |
//! | `status.rs` | tells how things stand |

mod age;
mod asked;
mod contradictions;
mod flush;
mod known;
mod learn;
mod room;
mod status;
mod vain;
mod watch;

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use common::account::{Name, User};
use common::config::{CacheConfig, CacheMode, Timeouts};
use common::deadline::Deadline;
use common::handle::{Peer, Service};
use common::login::Trace;
use common::protocol::{Request, Response};
use common::table::Now;
use common::table::layout::header;
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;

use super::replica;
use super::table::{TableThread, no_later_than_now, wall};
use age::{Verdict, judge};
use learn::Lesson;
use vain::Vain;

pub(super) use age::{LONG_AGO, long_gone};
pub(super) use asked::Asked;
pub(super) use known::Known;
pub(super) use learn::Kept;
pub(super) use status::Counters;

/// How many answers are looked after at a time behind those who got them: fewer than
/// there are places for those who wait.
const REFRESHES: usize = 16;
/// How long the directory is waited for by somebody who has an older answer: it may be in
/// trouble that nobody knows of yet.
const PATIENCE: Duration = Duration::from_millis(100);

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
    refreshing: Mutex<HashSet<Asked>>,
    refreshes: Semaphore,
    vain: Vain,
    counters: Arc<Counters>,
    /// When these directories were last heard of, in seconds since 1970.
    heard: AtomicU64,
    /// Another configuration has the table: nothing is put there any more.
    stopped: AtomicBool,
}

/// What is answered, and what may be learned from it afterwards.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) response: Response,
    lesson: Option<Question>,
}

/// A question that was put to the directory.
#[derive(Debug)]
struct Question {
    asked: Asked,
    started: Now,
    epoch: u64,
}

impl From<Response> for Answer {
    fn from(response: Response) -> Self {
        Self { response, lesson: None }
    }
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
            refreshing: Mutex::default(),
            refreshes: Semaphore::new(REFRESHES),
            vain: Vain::new(config.cache.max_entries / 4),
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
        table.run(move |keeper| keeper.configure(config, origin)).await;
        let _ = self.table.set(Arc::clone(&table));
        let keeping = tokio::spawn(async move {
            let directories = service.directories().to_vec();
            drop(service);
            if matches!(config.mode, CacheMode::Auto | CacheMode::Replica) {
                let copied = directories.clone();
                Box::pin(replica::run(copied, config, Arc::clone(&table), state)).await;
                table.run(super::table::Keeper::doubt_everything).await;
            }
            if config.mode != CacheMode::Off {
                watch::run(cache, directories, config).await;
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

    /// Answers a request, from the table if it can. Whoever gets the answer should call
    /// [`Cache::remember`] after passing it on.
    pub(super) async fn answer(
        self: &Arc<Self>,
        peer: Peer,
        request: Request,
        deadline: Deadline,
    ) -> Answer {
        if let Request::Flush(flush) = request {
            return Box::pin(self.flush(peer, flush, deadline)).await.into();
        }
        let (Some(asked), Some(table)) = (Asked::of(&request), self.table()) else {
            let response = self.service.handle(peer, request, deadline).await;
            self.note(&response);
            return response.into();
        };
        match self.look(&asked, table) {
            Verdict::Fresh(known) => self.hit(known),
            Verdict::Stale(known) => {
                self.refresh(asked);
                self.hit(known)
            }
            Verdict::Overdue(known) => self.renew(peer, asked, known, table, deadline).await,
            Verdict::Ask(old) => {
                let answer = self.search(peer, asked, table, deadline).await;
                match (old, &answer.response) {
                    (Some(old), Response::Unavailable(_)) => self.hit(old),
                    _ => answer,
                }
            }
        }
    }

    /// Puts an answer of the directory into the table, unless there is too much to do.
    pub(super) fn remember(&self, answer: Answer) {
        let (Some(Question { asked, started, epoch }), Some(table)) = (answer.lesson, self.table())
        else {
            return;
        };
        if self.is_stopped() {
            return;
        }
        let Some(known) = Known::of_response(answer.response) else { return };
        // Those who shared one search have all got the same.
        let expires = age::expires(&known, started, &self.config);
        if table.with(|table| Known::look(&table.timeless()?, &asked))
            == Some((known.clone(), expires))
        {
            return;
        }
        if epoch == table.epoch() {
            self.vain.note(&asked, &known, Now::read(), Now(expires));
        }
        let lesson = Lesson { asked, known, started, epoch };
        table.try_run(move |keeper| keeper.learn(&lesson));
    }

    fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    /// The table, if there may be one.
    fn table(&self) -> Option<&Arc<TableThread>> {
        self.table.get().filter(|_| self.config.mode != CacheMode::Off)
    }

    fn look(&self, asked: &Asked, table: &TableThread) -> Verdict {
        let now = Now::read();
        let seen = table.with(|table| {
            let complete = table.word(header::COMPLETE_UNTIL)? > u64::from(now.0);
            let known = Known::look(&table.timeless()?, asked);
            Some((known, complete, table.word(header::HEARD)?))
        });
        match seen {
            Some((None, true, _)) => Verdict::Fresh(Known::Absent),
            Some((None, ..)) | None if self.vain.has(asked, now) => Verdict::Fresh(Known::Absent),
            Some((known, complete, heard)) => {
                let silent = wall().saturating_sub(heard.max(self.heard()));
                let unheard = if complete { 0 } else { silent };
                judge(known, now, unheard, &self.config)
            }
            None => Verdict::Ask(None),
        }
    }

    fn hit(&self, known: Known) -> Answer {
        self.counters.hits.fetch_add(1, Ordering::Relaxed);
        known.into_response().into()
    }

    /// Asks the directory.
    async fn search(
        &self,
        peer: Peer,
        asked: Asked,
        table: &TableThread,
        deadline: Deadline,
    ) -> Answer {
        let (started, epoch) = (Now::read(), table.epoch());
        self.counters.searches.fetch_add(1, Ordering::Relaxed);
        let response = self.service.handle(peer, asked.request(), deadline).await;
        self.note(&response);
        // The table may be about other directories by now.
        let lesson = (!self.is_stopped()).then_some(Question { asked, started, epoch });
        Answer { response, lesson }
    }

    /// Asks the directory, and gives the old answer if that takes longer than a moment. Then
    /// it is asked behind, and who comes meanwhile doesn't wait at all.
    async fn renew(
        self: &Arc<Self>,
        peer: Peer,
        asked: Asked,
        old: Known,
        table: &TableThread,
        deadline: Deadline,
    ) -> Answer {
        if self.is_refreshing(&asked) {
            return self.hit(old);
        }
        let search = self.search(peer, asked.clone(), table, deadline);
        match tokio::time::timeout(PATIENCE, search).await {
            Ok(answer) if matches!(answer.response, Response::Unavailable(_)) => self.hit(old),
            Ok(answer) => answer,
            Err(_) => {
                self.refresh(asked);
                self.hit(old)
            }
        }
    }

    fn is_refreshing(&self, asked: &Asked) -> bool {
        self.refreshing.lock().unwrap_or_else(PoisonError::into_inner).contains(asked)
    }

    /// Asks the directory behind those who got an older answer; once at a time for each key.
    fn refresh(self: &Arc<Self>, asked: Asked) {
        let Some(refreshing) = Refreshing::begin(self, asked) else { return };
        tokio::spawn(async move {
            let Refreshing { cache, asked } = &refreshing;
            let (Some(table), Ok(_place)) = (cache.table(), cache.refreshes.try_acquire()) else {
                return;
            };
            let deadline = Deadline::after(cache.timeouts.lookup);
            // It is asked for nobody: a uid that no process has.
            let peer = Peer { uid: u32::MAX };
            let answer = cache.search(peer, asked.clone(), table, deadline).await;
            cache.remember(answer);
        });
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

/// A key that is being asked for behind.
struct Refreshing {
    cache: Arc<Cache>,
    asked: Asked,
}

impl Refreshing {
    fn begin(cache: &Arc<Cache>, asked: Asked) -> Option<Self> {
        let mut under_way = cache.refreshing.lock().unwrap_or_else(PoisonError::into_inner);
        under_way.insert(asked.clone()).then(|| Self { cache: Arc::clone(cache), asked })
    }
}

impl Drop for Refreshing {
    fn drop(&mut self) {
        let mut under_way = self.cache.refreshing.lock().unwrap_or_else(PoisonError::into_inner);
        under_way.remove(&self.asked);
    }
}

/// What makes answers of one configuration useless for another one: which directories
/// there are, and how their entries are read. Passwords print as `***`, and
/// another one doesn't change what there is to be read.
fn origin(config: &common::config::Config) -> String {
    format!("{:?} {:?} {:?} {:?}", config.directories, config.ids, config.home, config.shell)
}

//! Logins while no server answers.
//!
//! **What is kept.** When a server has accepted a user's password and the account check has let
//! the user in, the password is hashed, and the hash is written down with what the account was
//! like. A login that must change its password, or uses up one of the last with an expired one,
//! keeps nothing, and neither does any that fails.
//!
//! **When it decides.** Only when the attempt online has ended because nobody answered, and the
//! pool of the user's directory says that all of its servers are silent. Any word from a server
//! is the last word: an error, a refused reader, a certificate that can't be verified. A
//! connection that ends without a whole LDAP message isn't one, whoever ended it. During a
//! known outage the attempt online ends at once; else the servers are looked at after
//! [`PATIENCE`], and the attempt is given up when they turn out to be silent.
//!
//! **What it decides.** The password is counted as wrong, on the disk, before it is looked at.
//! The account check that follows is answered from the same record, without asking a server that
//! was silent a moment ago. So is one without a password (an ssh key, cron), to those who may
//! ask for it. A password can't be changed.
//!
//! **When it ends.** With its age; after too many wrong passwords; and at once when a server says
//! that the account is locked, expired, denied or unknown, when the password is changed through
//! this host, or when a server refuses the very password that is kept. A mistyped one changes
//! nothing. Whom a copy of the directory that is newer than the login doesn't have isn't let in.
//!
//! | file | idea |
//! |---|---|
//! | `policy.rs` | what the configuration allows |
//! | `hash.rs` | argon2id |
//! | `record.rs` | what is kept of a user, and what it allows at which time |
//! | `book.rs` | all records, and the decisions that change them |
//! | `store.rs` | their file |
//! | `queue.rs` | the thread that has them |
//! | `accepted.rs` | a password that a server has just accepted |
//! | `moment.rs` | a time as people read it |
//! | `moments.rs` | what is remembered between the two questions of a login |

mod accepted;
mod book;
mod hash;
mod moment;
mod moments;
mod policy;
mod queue;
mod record;
mod store;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use common::account::Name;
use common::deadline::Deadline;
use common::handle::{Peer, Service};
use common::login::Trace;
use common::protocol::{OfflineStatus, Request, Response, Unavailable, Verdict};
use common::secret::Secret;
use tracing::{info, warn};

use super::cache::Cache;
use super::table::wall;
use accepted::Accepted;
use book::{Book, Opinion};
use moment::moment;
use moments::Moments;
pub(super) use policy::Policy;
use queue::{Queue, Whose};
use store::Trouble;

/// How long a login waits for a server before somebody looks whether any answers: for users
/// who have an alternative.
const PATIENCE: Duration = Duration::from_secs(3);
/// How often it is looked at then.
const GLANCE: Duration = Duration::from_millis(100);
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

/// An answer to a request about a login.
#[derive(Debug)]
pub(super) struct Decision {
    pub(super) response: Response,
    /// A password was tried against what is kept, or would have been, and nobody was let in.
    pub(super) was_in_vain: bool,
}

impl From<Response> for Decision {
    fn from(response: Response) -> Self {
        Self { response, was_in_vain: false }
    }
}

/// Who asks what of whom.
struct Asking<'a> {
    cache: &'a Cache,
    policy: &'a Arc<Policy>,
    peer: Peer,
    deadline: Deadline,
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

    /// Answers a request about a login or a password.
    pub(super) async fn decide(
        &self,
        cache: &Cache,
        policy: &Arc<Policy>,
        peer: Peer,
        request: Request,
        deadline: Deadline,
    ) -> Decision {
        let asking = Asking { cache, policy, peer, deadline };
        match &request {
            Request::Authenticate { name, password, .. } => {
                let (name, password) = (name.clone(), password.clone());
                self.authenticate(&asking, name, password, request).await
            }
            Request::Authorize { name, authenticated, .. } => {
                let (name, authenticated) = (name.clone(), *authenticated);
                self.authorize(&asking, name, authenticated, request).await.into()
            }
            Request::ChangePassword { name, .. } | Request::ResetPassword { name, .. } => {
                let (name, mut trace) = (name.clone(), Trace::default());
                let response = cache.attend(peer, request, deadline, &mut trace).await;
                if trace.may_have_changed {
                    self.forget(&name, trace.dn);
                }
                response.into()
            }
            _ => cache.attend(peer, request, deadline, &mut Trace::default()).await.into(),
        }
    }

    async fn authenticate(
        &self,
        asking: &Asking<'_>,
        name: Name,
        password: Secret,
        request: Request,
    ) -> Decision {
        let mut trace = Trace::default();
        let began = self.queue.era();
        let response = self.online(asking, &name, request, &mut trace).await;
        match &response {
            Response::Login(answer) => {
                // The account check that follows has a server to ask.
                self.shown.forget(&name);
                let whose = Whose { name: name.clone(), dn: trace.dn.clone() };
                match answer.verdict {
                    Verdict::Accepted if !trace.is_grace => {
                        let accepted = Accepted {
                            password: Some(password),
                            password_ends: trace.password_ends.map(seconds),
                            whose,
                            login: wall(),
                            began,
                            queue: self.queue.clone(),
                        };
                        self.accepted.remember(name, asking.peer.uid, accepted);
                    }
                    Verdict::WrongPassword if password.is_empty() || password.is_too_long() => {}
                    Verdict::WrongPassword => {
                        self.queue.owe_besides(whose, move |book| book.doubt(&name, &password));
                    }
                    _ => self.forget(&name, trace.dn),
                }
                response.into()
            }
            _ if trace.is_without_answer => {
                self.authenticate_offline(asking, &name, password, response).await
            }
            _ => response.into(),
        }
    }

    async fn authorize(
        &self,
        asking: &Asking<'_>,
        name: Name,
        authenticated: bool,
        request: Request,
    ) -> Response {
        let asker = asking.peer.uid;
        if authenticated && self.shown.take(&name, asker).is_some() {
            let nobody = Response::Unavailable(Unavailable::TimedOut);
            return self.authorize_offline(asking, &name, true, nobody).await;
        }
        let mut trace = Trace::default();
        let response = self.online(asking, &name, request, &mut trace).await;
        // A question without a password (cron) leaves another login of the user what it needs.
        let accepted = authenticated.then(|| self.accepted.take(&name, asker)).flatten();
        match &response {
            Response::Login(answer) if answer.verdict == Verdict::Accepted => {
                if let (Some(accepted), Some(account)) = (accepted, trace.account) {
                    accepted.keep(account, asking.policy);
                }
                response
            }
            Response::Login(_) => {
                self.forget(&name, trace.dn);
                response
            }
            _ if trace.is_without_answer => {
                self.authorize_offline(asking, &name, false, response).await
            }
            _ => response,
        }
    }

    /// Asks the directory. For somebody who is kept it is given up as soon as it is known that
    /// all servers of the user's directory are silent.
    async fn online(
        &self,
        asking: &Asking<'_>,
        name: &Name,
        request: Request,
        trace: &mut Trace,
    ) -> Response {
        let Asking { cache, peer, deadline, .. } = asking;
        let Some(directory) = self.queue.directory_of(name) else {
            return cache.attend(*peer, request, *deadline, trace).await;
        };
        let answered = tokio::select! {
            biased;
            response = cache.attend(*peer, request, *deadline, trace) => Some(response),
            () = falls_silent(cache.service(), directory) => None,
        };
        answered.unwrap_or_else(|| {
            trace.is_without_answer = true;
            Response::Unavailable(Unavailable::TimedOut)
        })
    }

    async fn authenticate_offline(
        &self,
        asking: &Asking<'_>,
        name: &Name,
        password: Secret,
        unavailable: Response,
    ) -> Decision {
        let silent = silent(asking.cache.service());
        if !silent.contains(&true) {
            return unavailable.into();
        }
        let (policy, whose) = (Arc::clone(asking.policy), name.clone());
        let check = move |book: &mut Book| book.check(&whose, &password, &policy, &silent, wall());
        let response = match self.opinion(asking, name, check).await {
            Some(Opinion::Answer { user, login, .. })
                if asking.cache.is_gone(name, &user, login) =>
            {
                self.forget(name, None);
                Response::Login(Verdict::UnknownUser.into())
            }
            Some(Opinion::Answer { mut answer, until, .. }) => {
                if answer.verdict == Verdict::Accepted {
                    info!("{name} logs in offline, which is possible until {}", moment(until));
                    self.shown.remember(name.clone(), asking.peer.uid, ());
                    answer.messages.insert(
                        0,
                        format!(
                            "No server of the directory answers. You are logged in offline, \
                             which is possible until {}.",
                            moment(until)
                        ),
                    );
                }
                Response::Login(answer)
            }
            Some(Opinion::WrongPassword) => Response::Login(Verdict::WrongPassword.into()),
            Some(Opinion::Refused(refusal)) => {
                let why = format!("no server answers, and there is no offline login: {refusal}");
                Response::Unavailable(Unavailable::Directory(why))
            }
            Some(Opinion::Unknown) | None => unavailable,
        };
        let is_in =
            matches!(&response, Response::Login(answer) if answer.verdict == Verdict::Accepted);
        Decision { response, was_in_vain: !is_in }
    }

    /// `shown`: the user has shown the password a moment ago.
    async fn authorize_offline(
        &self,
        asking: &Asking<'_>,
        name: &Name,
        shown: bool,
        unavailable: Response,
    ) -> Response {
        let service = asking.cache.service();
        // Who was let in a moment ago is judged as then, even if a server is just coming back.
        let silent = if shown { vec![true; service.directories().len()] } else { silent(service) };
        if !silent.contains(&true) {
            return unavailable;
        }
        let (policy, whose) = (Arc::clone(asking.policy), name.clone());
        let asker = (!shown).then_some(asking.peer.uid);
        let recall = move |book: &mut Book| book.recall(&whose, asker, &policy, &silent, wall());
        match self.opinion(asking, name, recall).await {
            Some(Opinion::Answer { user, login, .. })
                if asking.cache.is_gone(name, &user, login) =>
            {
                self.forget(name, None);
                Response::Login(Verdict::UnknownUser.into())
            }
            Some(Opinion::Answer { answer, .. }) => Response::Login(answer),
            Some(Opinion::Refused(refusal)) => {
                let why = format!("no server answers, and there is no offline login: {refusal}");
                Response::Unavailable(Unavailable::Directory(why))
            }
            Some(Opinion::Unknown | Opinion::WrongPassword) | None => unavailable,
        }
    }

    /// `None`: nobody can say.
    async fn opinion(
        &self,
        asking: &Asking<'_>,
        name: &Name,
        work: impl FnOnce(&mut Book) -> Result<Opinion, Trouble> + Send + 'static,
    ) -> Option<Opinion> {
        let asked = self.queue.ask(Some(name), work);
        match tokio::time::timeout_at(asking.deadline.instant().into(), asked).await {
            Ok(Some(Ok(opinion))) => Some(opinion),
            Ok(Some(Err(trouble))) => {
                warn!("no offline login of {name}: {trouble}");
                None
            }
            Ok(None) | Err(_) => None,
        }
    }

    fn forget(&self, name: &Name, dn: Option<String>) {
        let is_of_entry = |whose: &Whose| dn.is_some() && whose.dn == dn;
        self.accepted.forget_those(|other, a| other == name || is_of_entry(&a.whose));
        self.shown.forget(name);
        self.queue.forget(name.clone(), dn);
    }
}

/// Returns when it is known that no server of this directory answers.
async fn falls_silent(service: &Service, directory: usize) {
    let Some(directory) = service.directories().get(directory) else {
        return std::future::pending().await;
    };
    loop {
        let look = tokio::time::Instant::now() + PATIENCE;
        while tokio::time::Instant::now() < look {
            // At the beginning the attempt itself finds out at once.
            tokio::time::sleep(GLANCE).await;
            if directory.is_silent() {
                return;
            }
        }
        directory.look();
    }
}

/// Which directories don't answer.
fn silent(service: &Service) -> Vec<bool> {
    service.directories().iter().map(|directory| directory.is_silent()).collect()
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

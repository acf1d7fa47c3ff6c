//! What a login is answered, and what a server's word does to what is kept.

use std::sync::Arc;
use std::time::SystemTime;

use common::account::Name;
use common::deadline::Deadline;
use common::handle::Peer;
use common::login::{Account, Trace};
use common::protocol::{Request, Response, Unavailable, Verdict};
use common::secret::Secret;

use super::super::cache::Cache;
use super::super::table::wall;
use super::Offline;
use super::accepted::Accepted;
use super::policy::Policy;
use super::whose::Whose;

/// An answer to a request about a login.
#[derive(Debug)]
pub(in crate::daemon) struct Decision {
    pub(in crate::daemon) response: Response,
    /// A password was tried against what is kept, or would have been, and nobody was let in.
    pub(in crate::daemon) was_in_vain: bool,
}

impl From<Response> for Decision {
    fn from(response: Response) -> Self {
        Self { response, was_in_vain: false }
    }
}

/// Who asks what of whom.
pub(super) struct Asking<'a> {
    pub(super) cache: &'a Cache,
    pub(super) policy: &'a Arc<Policy>,
    pub(super) peer: Peer,
    pub(super) deadline: Deadline,
}

impl Offline {
    /// Answers a request about a login or a password.
    pub(in crate::daemon) async fn decide(
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
                        self.accept(asking.peer.uid, accepted);
                    }
                    Verdict::WrongPassword if password.is_empty() || password.is_too_long() => {}
                    Verdict::WrongPassword => self.refuse(whose, password),
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
                match (accepted, trace.account) {
                    (Some(accepted), Some(account)) => accepted.keep(account, asking.policy),
                    (None, Some(account)) => self.renew(name, account),
                    (_, None) => {}
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

    /// A server has let a user in without a password.
    fn renew(&self, name: Name, account: Account) {
        if self.queue.is_news(&name, &account) {
            let whose = Whose { name: name.clone(), dn: Some(account.dn.clone()) };
            self.queue.renew(whose, move |book| book.renew(&name, account, wall()));
        }
    }
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

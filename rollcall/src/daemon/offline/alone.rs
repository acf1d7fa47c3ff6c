//! A login while no server answers: what is kept decides.

use std::sync::Arc;

use common::account::Name;
use common::protocol::{Response, Unavailable, Verdict};
use common::secret::Secret;
use tracing::{info, warn};

use super::super::table::wall;
use super::Offline;
use super::book::{Book, Opinion};
use super::moment::moment;
use super::online::{Asking, Decision};
use super::silence::silent;
use super::store::Trouble;

impl Offline {
    /// Whether this is the password that a server accepted last.
    pub(super) async fn authenticate_offline(
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

    /// Whether the user may log in, as a server saw it last.
    /// `shown`: the user has shown the password a moment ago.
    pub(super) async fn authorize_offline(
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
}

//! Answers a [`Request`] from the directories: what the daemon and `direct.so`
//! have in common.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::time::timeout_at;

use crate::account::Name;
use crate::config::Config;
use crate::deadline::Deadline;
use crate::directory::Directory;
use crate::ldap::LdapError;
use crate::login::{Logins, Trace};
use crate::protocol::{Map, Refused, Request, Response, Unavailable};

mod enumerations;
mod flights;

use enumerations::Enumerations;
use flights::Flights;

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// The user id of the asking process, as the kernel tells it.
    pub uid: u32,
}

impl Peer {
    /// Whether it may see and do what only root may.
    pub fn is_root(self) -> bool {
        self.uid == 0
    }
}

/// Answers requests with one configuration.
#[derive(Debug)]
pub struct Service {
    directories: Vec<Arc<Directory>>,
    logins: Logins,
    flights: Flights,
    enumerations: Enumerations,
}

impl Service {
    /// Takes a configuration into use. Touches no network: the first request connects.
    ///
    /// # Errors
    /// [`Unavailable::Configuration`] when a certificate's file can't be used.
    pub fn new(config: Config) -> Result<Arc<Self>, Unavailable> {
        let directories = Directory::all(&config)?;
        Ok(Arc::new(Self {
            logins: Logins::new(directories.clone(), config.login),
            flights: Flights::default(),
            enumerations: Enumerations::new(config.connections.max, config.timeouts.lookup),
            directories,
        }))
    }

    /// Why every request fails at once, if there is an outage. Only one of the
    /// first directory does that: what it has is found in spite of the others.
    pub fn outage(&self) -> Option<Unavailable> {
        self.directories.first()?.outage().map(Unavailable::from)
    }

    /// The directories, in the order in which they are asked.
    pub fn directories(&self) -> &[Arc<Directory>] {
        &self.directories
    }

    /// From now on nobody shares the answer of a search that is under way.
    pub fn forget_searches(&self) {
        self.flights.forget();
    }

    /// Answers a request, no later than the deadline. Dropping the future gives
    /// the request up; a password change that is under way must not be dropped.
    pub async fn handle(&self, peer: Peer, request: Request, deadline: Deadline) -> Response {
        self.attend(peer, request, deadline, &mut Trace::default()).await
    }

    /// As [`Service::handle`], and notes what there is to know besides about a login.
    pub async fn attend(
        &self,
        peer: Peer,
        request: Request,
        deadline: Deadline,
        trace: &mut Trace,
    ) -> Response {
        let answer = self.answer(peer, request, deadline, trace);
        let answer = timeout_at(deadline.instant().into(), answer).await;
        answer.unwrap_or(Err(LdapError::TimedOut)).unwrap_or_else(|error| {
            trace.is_without_answer = error.is_silence();
            Response::Unavailable(error.into())
        })
    }

    async fn answer(
        &self,
        peer: Peer,
        request: Request,
        deadline: Deadline,
        trace: &mut Trace,
    ) -> Result<Response, LdapError> {
        let logins = &self.logins;
        // What isn't a lookup is boxed: lookups shouldn't carry its room around.
        match request {
            Request::ShadowByName(_)
            | Request::Enumerate(Map::Shadows, _)
            | Request::ResetPassword { .. }
            | Request::Flush(_)
                if !peer.is_root() =>
            {
                Ok(Response::Refused(Refused::NotRoot))
            }
            // About the daemon, which answers these before it comes here.
            Request::Status | Request::Flush(_) => Ok(Response::Unavailable(Unavailable::NoDaemon)),
            Request::Enumerate(map, cursor) => {
                Box::pin(self.enumerations.next(&self.directories, peer, map, cursor, deadline))
                    .await
            }
            Request::Authenticate { name, password, context: _ } => {
                Box::pin(logins.authenticate(&name, &password, peer.uid, deadline, trace))
                    .await
                    .map(Response::Login)
            }
            Request::Authorize { name, context: _, authenticated } => {
                let answer = logins.authorize(&name, authenticated, peer.uid, deadline, trace);
                let answer = Box::pin(answer).await?;
                Ok(answer.map_or(Response::Refused(Refused::NotRoot), Response::Login))
            }
            Request::ChangePassword { name, proof, new } => {
                Box::pin(logins.change_password(&name, proof, &new, peer.uid, deadline, trace))
                    .await
                    .map(Response::Login)
            }
            Request::ResetPassword { name, new } => {
                Box::pin(logins.reset_password(&name, &new, deadline, trace))
                    .await
                    .map(Response::Login)
            }
            lookup => self.flights.share(&lookup, self.look_up(&lookup, deadline)).await,
        }
    }

    /// Asks the directories in their order. One that can't be asked ends the
    /// lookup: "not found" must mean that all were asked.
    async fn look_up(&self, request: &Request, deadline: Deadline) -> Result<Response, LdapError> {
        if let Request::GroupsOf(name) = request {
            return self.groups_of(name, deadline).await;
        }
        for directory in &self.directories {
            let found = match request {
                Request::UserByName(name) => {
                    directory.user_by_name(name, deadline).await?.map(Response::User)
                }
                Request::UserById(uid) => {
                    directory.user_by_id(*uid, deadline).await?.map(Response::User)
                }
                Request::GroupByName(name) => {
                    directory.group_by_name(name, deadline).await?.map(Response::Group)
                }
                Request::GroupById(gid) => {
                    directory.group_by_id(*gid, deadline).await?.map(Response::Group)
                }
                Request::ShadowByName(name) => {
                    directory.shadow(name, deadline).await?.map(Response::Shadow)
                }
                _ => return Ok(Response::Refused(Refused::Malformed)),
            };
            if let Some(response) = found {
                return Ok(response);
            }
        }
        Ok(Response::NotFound)
    }

    /// A user may be in groups of every directory.
    async fn groups_of(&self, name: &Name, deadline: Deadline) -> Result<Response, LdapError> {
        let mut gids = BTreeSet::new();
        for directory in &self.directories {
            gids.append(&mut directory.groups_of(name, deadline).await?);
        }
        Ok(if gids.is_empty() {
            Response::NotFound
        } else {
            Response::Gids(gids.into_iter().collect())
        })
    }
}

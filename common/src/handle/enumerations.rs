//! Enumerations under way.
//!
//! An enumeration is a task that reads a map page by page and waits until each
//! batch is fetched. The asker holds a cursor, not a connection; see
//! [`Cursor`]. One that is not asked for its next batch for a while ends.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{Receiver, channel};
use tokio::time::timeout_at;

use super::Peer;
use crate::deadline::Deadline;
use crate::directory::Directory;
use crate::directory::enumerate::ASKER_PATIENCE;
use crate::ldap::LdapError;
use crate::protocol::{Batch, Cursor, Map, Response, Unavailable};
use crate::random;

/// The enumerations under way.
#[derive(Debug)]
pub(super) struct Enumerations {
    sessions: Mutex<HashMap<u64, Session>>,
    /// How many one user may have under way; their oldest makes room.
    per_user: usize,
    /// How long a page may take.
    page_limit: Duration,
}

#[derive(Debug)]
struct Session {
    batches: Receiver<Result<Response, LdapError>>,
    map: Map,
    owner: u32,
    next_batch: u32,
    used: Instant,
}

impl Enumerations {
    /// At most `connections` at a time, of which one user gets half.
    pub(super) fn new(connections: usize, page_limit: Duration) -> Self {
        Self { sessions: Mutex::default(), per_user: connections.div_ceil(2), page_limit }
    }

    /// The first or next batch of an enumeration.
    pub(super) async fn next(
        &self,
        directories: &[Arc<Directory>],
        peer: Peer,
        map: Map,
        cursor: Option<Cursor>,
        deadline: Deadline,
    ) -> Response {
        let (id, mut session) = match cursor {
            None => (random::token(), self.start(directories, peer, map)),
            Some(cursor) => {
                let Some(session) = self.take(cursor, peer, map) else {
                    let what = "this part of the enumeration is gone; start it again";
                    return Response::Unavailable(Unavailable::Daemon(what.into()));
                };
                (cursor.session, session)
            }
        };
        match timeout_at(deadline.instant().into(), session.batches.recv()).await {
            Ok(Some(Ok(mut response))) => {
                session.next_batch += 1;
                session.used = Instant::now();
                let next = Some(Cursor { session: id, batch: session.next_batch });
                self.lock().insert(id, session);
                set_next(&mut response, next);
                response
            }
            Ok(Some(Err(error))) => error.into(),
            Ok(None) => end_of(map),
            Err(_) => Response::Unavailable(Unavailable::TimedOut),
        }
    }

    /// Starts the task that reads.
    fn start(&self, directories: &[Arc<Directory>], peer: Peer, map: Map) -> Session {
        self.make_room(peer);
        let (to, batches) = channel(1);
        let (directories, page_limit) = (directories.to_vec(), self.page_limit);
        tokio::spawn(async move {
            for directory in directories {
                if let Err(error) = directory.enumerate(map, page_limit, &to).await {
                    let _ = to.send(Err(error)).await;
                    return;
                }
            }
        });
        Session { batches, map, owner: peer.uid, next_batch: 0, used: Instant::now() }
    }

    /// Ends what nobody asks for any more, and the oldest of somebody who has many.
    fn make_room(&self, peer: Peer) {
        let mut sessions = self.lock();
        sessions.retain(|_, session| session.used.elapsed() < ASKER_PATIENCE);
        let own = sessions.iter().filter(|(_, session)| session.owner == peer.uid);
        if own.clone().count() >= self.per_user
            && let Some(oldest) = own.min_by_key(|(_, session)| session.used).map(|(id, _)| *id)
        {
            sessions.remove(&oldest);
        }
    }

    /// The session of a cursor, which must be its owner's and at this batch.
    fn take(&self, cursor: Cursor, peer: Peer, map: Map) -> Option<Session> {
        let mut sessions = self.lock();
        let session = sessions.get(&cursor.session)?;
        let fits = session.owner == peer.uid
            && session.map == map
            && session.next_batch == cursor.batch
            && session.used.elapsed() < ASKER_PATIENCE;
        if fits { sessions.remove(&cursor.session) } else { None }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Session>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn set_next(response: &mut Response, next: Option<Cursor>) {
    match response {
        Response::Users(batch) => batch.next = next,
        Response::Groups(batch) => batch.next = next,
        Response::Shadows(batch) => batch.next = next,
        _ => {}
    }
}

fn end_of(map: Map) -> Response {
    fn nothing<T>() -> Batch<T> {
        Batch { entries: Vec::new(), next: None }
    }
    match map {
        Map::Users => Response::Users(nothing()),
        Map::Groups => Response::Groups(nothing()),
        Map::Shadows => Response::Shadows(nothing()),
    }
}

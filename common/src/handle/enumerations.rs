//! Enumerations under way.
//!
//! An enumeration is a task that reads a map page by page and waits until each
//! batch is fetched. The asker holds a cursor, not a connection; see
//! [`Cursor`]. A slow asker may take its time between two batches. Only where
//! others want the place do those end whose askers haven't been heard of for a
//! while, and one user never has more than half of the places.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout_at;

use super::Peer;
use crate::deadline::Deadline;
use crate::directory::Directory;
use crate::directory::enumerate::ASKER_PATIENCE;
use crate::ldap::LdapError;
use crate::protocol::{Batch, Cursor, Map, Response, Unavailable};
use crate::random;

/// After so long without a word an enumeration makes room for another of its user.
const IDLE_BEFORE_OWN: Duration = Duration::from_secs(2);
/// After so long it makes room for anybody's.
const IDLE_BEFORE_OTHERS: Duration = Duration::from_secs(30);
/// From how many users on those who enumerate nothing are forgotten.
const REMEMBERED: usize = 256;

/// The enumerations under way.
#[derive(Debug)]
pub(super) struct Enumerations {
    sessions: Mutex<HashMap<u64, Session>>,
    /// The places of each user.
    users: Mutex<HashMap<u32, Arc<Semaphore>>>,
    /// How many there may be.
    most: usize,
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
    /// At most `most` at a time.
    pub(super) fn new(most: usize, page_limit: Duration) -> Self {
        Self { sessions: Mutex::default(), users: Mutex::default(), most, page_limit }
    }

    /// The first or next batch of an enumeration.
    ///
    /// # Errors
    /// [`LdapError`]
    pub(super) async fn next(
        &self,
        directories: &[Arc<Directory>],
        peer: Peer,
        map: Map,
        cursor: Option<Cursor>,
        deadline: Deadline,
    ) -> Result<Response, LdapError> {
        let (id, mut session) = match cursor {
            None => (random::token()?, self.start(directories, peer, map, deadline).await?),
            Some(cursor) => {
                let Some(session) = self.take(cursor, peer, map) else {
                    let what = "this part of the enumeration is gone; start it again";
                    return Ok(Response::Unavailable(Unavailable::Daemon(what.into())));
                };
                (cursor.session, session)
            }
        };
        let received = timeout_at(deadline.instant().into(), session.batches.recv()).await;
        // The end of a map is said in so many words; a task that ended without, failed.
        let mut response = match received {
            Ok(Some(batch)) => batch?,
            Ok(None) => return Err(LdapError::Protocol("an enumeration broke off")),
            Err(_) => return Err(LdapError::TimedOut),
        };
        if !is_end(&response) {
            session.next_batch += 1;
            session.used = Instant::now();
            set_next(&mut response, Cursor { session: id, batch: session.next_batch });
            lock(&self.sessions).insert(id, session);
        }
        Ok(response)
    }

    /// Starts the task that reads.
    async fn start(
        &self,
        directories: &[Arc<Directory>],
        peer: Peer,
        map: Map,
        deadline: Deadline,
    ) -> Result<Session, LdapError> {
        let places = self.places(peer.uid);
        if places.available_permits() == 0 {
            self.end_oldest(IDLE_BEFORE_OWN, |session| session.owner == peer.uid);
        }
        if lock(&self.sessions).len() >= self.most {
            self.end_oldest(IDLE_BEFORE_OTHERS, |_| true);
        }
        let place = timeout_at(deadline.instant().into(), places.acquire_owned()).await;
        let Ok(Ok(place)) = place else { return Err(LdapError::Busy) };

        let (to, batches) = channel(1);
        tokio::spawn(read(directories.to_vec(), map, self.page_limit, to, place));
        Ok(Session { batches, map, owner: peer.uid, next_batch: 0, used: Instant::now() })
    }

    fn places(&self, uid: u32) -> Arc<Semaphore> {
        let mut users = lock(&self.users);
        if users.len() >= REMEMBERED {
            users.retain(|_, places| Arc::strong_count(places) > 1);
        }
        let half = self.most.div_ceil(2);
        Arc::clone(users.entry(uid).or_insert_with(|| Arc::new(Semaphore::new(half))))
    }

    /// Ends the one of these whose asker has been silent the longest, and at least so long.
    fn end_oldest(&self, idle: Duration, among: impl Fn(&Session) -> bool) {
        let mut sessions = lock(&self.sessions);
        let oldest = sessions
            .iter()
            .filter(|(_, session)| session.used.elapsed() >= idle && among(session))
            .min_by_key(|(_, session)| session.used)
            .map(|(id, _)| *id);
        if let Some(id) = oldest {
            sessions.remove(&id);
        }
    }

    /// The session of a cursor, which must be its owner's and at this batch.
    fn take(&self, cursor: Cursor, peer: Peer, map: Map) -> Option<Session> {
        let mut sessions = lock(&self.sessions);
        sessions.retain(|_, session| session.used.elapsed() < ASKER_PATIENCE);
        let session = sessions.get(&cursor.session)?;
        let fits =
            session.owner == peer.uid && session.map == map && session.next_batch == cursor.batch;
        if fits { sessions.remove(&cursor.session) } else { None }
    }
}

/// Reads a map of all directories until its end, or until nobody listens.
async fn read(
    directories: Vec<Arc<Directory>>,
    map: Map,
    page_limit: Duration,
    to: Sender<Result<Response, LdapError>>,
    _place: OwnedSemaphorePermit,
) {
    let work = async {
        for directory in directories {
            directory.enumerate(map, page_limit, &to).await?;
        }
        Ok(end_of(map))
    };
    let last = tokio::select! {
        last = work => last,
        () = to.closed() => return,
    };
    let _ = to.send_timeout(last, ASKER_PATIENCE).await;
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn set_next(response: &mut Response, next: Cursor) {
    match response {
        Response::Users(batch) => batch.next = Some(next),
        Response::Groups(batch) => batch.next = Some(next),
        Response::Shadows(batch) => batch.next = Some(next),
        _ => {}
    }
}

/// The end is a batch of nothing that nothing follows. On its way here, each other
/// batch has a placeholder where its cursor will be.
fn is_end(response: &Response) -> bool {
    match response {
        Response::Users(batch) => batch.next.is_none(),
        Response::Groups(batch) => batch.next.is_none(),
        Response::Shadows(batch) => batch.next.is_none(),
        _ => true,
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

//! Lets concurrent askers of the same thing share one search.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::OnceCell;

use crate::account::{Gid, Name, Uid};
use crate::ldap::LdapError;
use crate::protocol::{Request, Response};

/// The lookups under way.
#[derive(Debug, Default)]
pub(super) struct Flights(Mutex<HashMap<Key, Flight>>);

/// The answer to come. Whoever asked first works on it; if that one gives up or
/// runs out of time, the next one starts over.
type Flight = Arc<OnceCell<Response>>;

/// What is asked: a lookup without a secret.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Key {
    UserByName(Name),
    UserById(Uid),
    GroupByName(Name),
    GroupById(Gid),
    GroupsOf(Name),
    Shadow(Name),
}

impl Key {
    fn of(request: &Request) -> Option<Self> {
        Some(match request {
            Request::UserByName(name) => Self::UserByName(name.clone()),
            Request::UserById(uid) => Self::UserById(*uid),
            Request::GroupByName(name) => Self::GroupByName(name.clone()),
            Request::GroupById(gid) => Self::GroupById(*gid),
            Request::GroupsOf(name) => Self::GroupsOf(name.clone()),
            Request::ShadowByName(name) => Self::Shadow(name.clone()),
            _ => return None,
        })
    }
}

impl Flights {
    /// The answer of `work`, or of the same work that another asker has started.
    /// An answer is shared only with those who asked before it came, so nobody
    /// gets one that is older than their question's last moment.
    pub(super) async fn share(
        &self,
        request: &Request,
        work: impl Future<Output = Result<Response, LdapError>>,
    ) -> Result<Response, LdapError> {
        let Some(key) = Key::of(request) else { return work.await };
        let flight = Arc::clone(self.lock().entry(key.clone()).or_default());
        let landing = Landing { flights: self, key, flight: Some(Arc::clone(&flight)) };
        let answer = flight.get_or_try_init(|| work).await.cloned();
        drop(flight);
        drop(landing);
        answer
    }

    /// Has nobody join a flight any more that is under way.
    pub(super) fn forget(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Flight>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes a flight off the list: when it has landed, or its last passenger leaves.
struct Landing<'a> {
    flights: &'a Flights,
    key: Key,
    flight: Option<Flight>,
}

impl Drop for Landing<'_> {
    fn drop(&mut self) {
        let mut flights = self.flights.lock();
        let Some(mine) = self.flight.take() else { return };
        let Some(listed) = flights.get(&self.key) else { return };
        if !Arc::ptr_eq(listed, &mine) {
            return;
        }
        let landed = mine.initialized();
        // Given back under the lock, so that of two who leave together one is the last.
        drop(mine);
        if landed || Arc::strong_count(listed) == 1 {
            flights.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use tokio::sync::Notify;

    fn request() -> Request {
        Request::UserByName(Name::parse("alice").unwrap())
    }

    #[tokio::test]
    async fn concurrent_askers_share_one_search() {
        let flights = Arc::new(Flights::default());
        let (searches, go) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
        let askers: Vec<_> = (0..50)
            .map(|_| {
                let (flights, searches, go) = (flights.clone(), searches.clone(), go.clone());
                tokio::spawn(async move {
                    let work = async {
                        searches.fetch_add(1, Ordering::Relaxed);
                        go.notified().await;
                        Ok(Response::NotFound)
                    };
                    flights.share(&request(), work).await
                })
            })
            .collect();
        tokio::task::yield_now().await;
        go.notify_one();
        for asker in askers {
            assert_eq!(asker.await.unwrap(), Ok(Response::NotFound));
        }
        assert_eq!(searches.load(Ordering::Relaxed), 1);
        assert!(flights.lock().is_empty());
    }

    #[tokio::test]
    async fn a_search_that_is_given_up_is_started_over_by_the_next_asker() {
        let flights = Flights::default();
        let request = request();
        let mut never = Box::pin(flights.share(&request, std::future::pending()));
        assert!(futures_poll_once(&mut never).is_none());
        let mut second = Box::pin(flights.share(&request, async { Ok(Response::NotFound) }));
        assert!(futures_poll_once(&mut second).is_none(), "it waits for the first");
        drop(never);
        assert_eq!(second.await, Ok(Response::NotFound));
        assert!(flights.lock().is_empty());
    }

    fn futures_poll_once<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        match std::pin::Pin::new(future).poll(&mut context) {
            std::task::Poll::Ready(value) => Some(value),
            std::task::Poll::Pending => None,
        }
    }
}

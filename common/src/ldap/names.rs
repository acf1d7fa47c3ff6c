//! Addresses of hosts' names.
//!
//! The system's resolver is asked (`getaddrinfo(3)`), because `/etc/hosts` and
//! `nsswitch.conf(5)` count. It works in a thread of its own, can't be
//! interrupted, and may take half a minute when no DNS server answers. So
//!
//! - those who want the same name at the same time share one call; a second one
//!   is made beside it when the first takes long, since the network may have
//!   come back meanwhile; there are at most [`CALLS`] for a name;
//! - where a call fails or takes longer than [`PATIENCE`], the addresses that
//!   the name had last are used. Whether the right server is there, its
//!   certificate tells.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::time::timeout;

use super::LdapError;

/// How long the resolver has before the addresses of last time are used.
const PATIENCE: Duration = Duration::from_millis(250);
/// After which another call is made beside one that hangs.
const LONG: Duration = Duration::from_secs(1);
/// The most calls, and so threads, for a name at a time.
const CALLS: usize = 3;

type Found = Result<Vec<IpAddr>, String>;

/// The names of one directory's servers.
#[derive(Debug, Default)]
pub(super) struct Names(Mutex<HashMap<String, Known>>);

#[derive(Debug)]
struct Known {
    /// Those that were found last; empty: none yet.
    addresses: Vec<IpAddr>,
    calls: usize,
    called: Instant,
    /// What each call finds.
    told: watch::Sender<Found>,
}

impl Names {
    /// The addresses of a name, in the order in which the system prefers them. The
    /// caller limits the time.
    pub(super) async fn addresses(self: &Arc<Self>, name: &str) -> Result<Vec<IpAddr>, LdapError> {
        let (mut told, old) = self.ask(name);
        let news = async {
            // The sender lives as long as `self`.
            let _ = told.changed().await;
            told.borrow().clone()
        };
        let found = if old.is_empty() {
            news.await
        } else {
            timeout(PATIENCE, news).await.unwrap_or(Err("no answer yet".into()))
        };
        match found {
            Ok(addresses) => Ok(addresses),
            Err(why) if old.is_empty() => Err(LdapError::Connect(why)),
            Err(why) => {
                tracing::debug!(name, why, "the addresses of last time are used");
                Ok(old)
            }
        }
    }

    /// Has a call made where there is none, or none that is young.
    fn ask(self: &Arc<Self>, name: &str) -> (watch::Receiver<Found>, Vec<IpAddr>) {
        let mut names = self.lock();
        let known = names.entry(name.to_owned()).or_insert_with(|| Known {
            addresses: Vec::new(),
            calls: 0,
            called: Instant::now(),
            told: watch::Sender::new(Err(String::new())),
        });
        let (told, old) = (known.told.subscribe(), known.addresses.clone());
        if known.calls == 0 || (known.calls < CALLS && known.called.elapsed() > LONG) {
            known.calls += 1;
            known.called = Instant::now();
            let call = Call { names: Arc::clone(self), name: name.to_owned() };
            tokio::spawn(call.make());
        }
        (told, old)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call under way.
struct Call {
    names: Arc<Names>,
    name: String,
}

impl Call {
    async fn make(self) {
        let found = tokio::net::lookup_host((self.name.as_str(), 0)).await;
        let found = match found {
            Ok(addresses) => Ok(addresses.map(|address| address.ip()).collect::<Vec<_>>()),
            Err(error) => Err(error.to_string()),
        };
        let found = match found {
            Ok(none) if none.is_empty() => Err("the name has no address".into()),
            found => found,
        };
        let mut names = self.names.lock();
        let Some(known) = names.get_mut(&self.name) else { return };
        if let Ok(addresses) = &found {
            known.addresses.clone_from(addresses);
        }
        let _old = known.told.send_replace(found);
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if let Some(known) = self.names.lock().get_mut(&self.name) {
            known.calls = known.calls.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn etc_hosts_counts() {
        let names = Arc::<Names>::default();
        let addresses = names.addresses("localhost").await.unwrap();
        assert!(addresses.iter().all(IpAddr::is_loopback), "{addresses:?}");
    }

    #[tokio::test]
    async fn a_name_that_is_lost_keeps_its_addresses() {
        let names = Arc::<Names>::default();
        let name = "no-such-host.invalid";
        let error = names.addresses(name).await.unwrap_err();
        assert!(matches!(error, LdapError::Connect(_)), "{error:?}");
        let address: IpAddr = "192.0.2.1".parse().unwrap();
        names.lock().get_mut(name).unwrap().addresses = vec![address];
        assert_eq!(names.addresses(name).await, Ok(vec![address]));
    }

    #[tokio::test]
    async fn those_who_ask_at_the_same_time_share_a_call() {
        let names = Arc::<Names>::default();
        let mut asked: Vec<_> = (0..10).map(|_| names.ask("localhost").0).collect();
        assert_eq!(names.lock()["localhost"].calls, 1);
        for told in &mut asked {
            told.changed().await.unwrap();
            assert!(told.borrow().is_ok());
        }
        assert_eq!(names.lock()["localhost"].calls, 0);
    }
}

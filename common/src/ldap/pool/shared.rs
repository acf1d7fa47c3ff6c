//! Connections that many requests share.
//!
//! One that has [`CROWDED`] requests under way gets no more. A server that is quick gives a place
//! free at once, so the next request waits for that ([`CROWD_PATIENCE`]) before another connection
//! is made: a hundred processes that start together need one handshake.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout_at;

use super::lock;
use crate::deadline::Deadline;
use crate::ldap::connect::Connection;

/// How many requests may be under way on a shared connection before another is wanted.
pub(super) const CROWDED: usize = 32;
/// How long a request waits for one of these to end before it is opened.
pub(super) const CROWD_PATIENCE: Duration = Duration::from_millis(50);
/// ldap3 remembers each search's id for ever; a connection is replaced after so many.
const MAX_OPERATIONS: usize = 1 << 20;

/// A set of connections that are bound as the reader.
#[derive(Debug)]
pub(super) struct Shared {
    connections: Mutex<Vec<Arc<Lane>>>,
    /// For the requests that may be under way: servers close a connection with
    /// too many (`conn_max_pending`, slapd.conf(5)).
    places: Arc<Semaphore>,
    /// Held while connecting, so that a hundred requests at a start make one connection.
    connecting: tokio::sync::Mutex<()>,
    /// Somebody gave a place back, or connected.
    given_back: Arc<Notify>,
}

#[derive(Debug)]
pub(super) struct Lane {
    connection: Connection,
    under_way: AtomicUsize,
    started: AtomicUsize,
}

/// A place on a shared connection; given back when dropped.
#[derive(Debug)]
pub struct Place {
    /// The connection.
    pub connection: Connection,
    lane: Arc<Lane>,
    given_back: Arc<Notify>,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.lane.under_way.fetch_sub(1, Ordering::Relaxed);
        self.given_back.notify_one();
    }
}

impl Shared {
    pub(super) fn new(max: usize) -> Self {
        Self {
            connections: Mutex::default(),
            places: Arc::new(Semaphore::new(max.saturating_mul(CROWDED))),
            connecting: tokio::sync::Mutex::default(),
            given_back: Arc::default(),
        }
    }

    /// What a request needs one of.
    pub(super) fn places(&self) -> &Arc<Semaphore> {
        &self.places
    }

    /// The right to make another connection.
    pub(super) async fn connecting(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.connecting.lock().await
    }

    /// The live connection with the fewest requests, if they are fewer than `limit`.
    pub(super) fn free_lane(&self, limit: usize) -> Option<Arc<Lane>> {
        let mut connections = lock(&self.connections);
        connections.retain(|lane| lane.connection.is_alive());
        let under_way = |lane: &&Arc<Lane>| lane.under_way.load(Ordering::Relaxed);
        connections.iter().min_by_key(under_way).filter(|lane| under_way(lane) < limit).cloned()
    }

    /// A connection with less than [`CROWDED`] requests, as soon as there is one. `None` at the
    /// deadline, and when there is no live connection to wait for.
    pub(super) async fn lane_soon(&self, deadline: Deadline) -> Option<Arc<Lane>> {
        let soon = async {
            loop {
                let given_back = self.given_back.notified();
                tokio::pin!(given_back);
                // Before the look, so that nothing is missed after it.
                given_back.as_mut().enable();
                if let Some(lane) = self.free_lane(CROWDED) {
                    return Some(lane);
                }
                if self.count() == 0 {
                    return None;
                }
                given_back.await;
            }
        };
        timeout_at(deadline.instant().into(), soon).await.ok().flatten()
    }

    pub(super) fn count(&self) -> usize {
        lock(&self.connections).len()
    }

    /// All connections in use.
    pub(super) fn connections(&self) -> Vec<Connection> {
        let connections = lock(&self.connections);
        let alive = connections.iter().map(|lane| &lane.connection);
        alive.filter(|connection| connection.is_alive()).cloned().collect()
    }

    pub(super) fn add(&self, connection: Connection) -> Arc<Lane> {
        let lane =
            Lane { connection, under_way: AtomicUsize::new(0), started: AtomicUsize::new(0) };
        let lane = Arc::new(lane);
        lock(&self.connections).push(Arc::clone(&lane));
        self.given_back.notify_waiters();
        lane
    }

    /// A place on one of them.
    pub(super) fn place(&self, lane: Arc<Lane>, permit: OwnedSemaphorePermit) -> Place {
        lane.under_way.fetch_add(1, Ordering::Relaxed);
        if lane.started.fetch_add(1, Ordering::Relaxed) >= MAX_OPERATIONS {
            lane.connection.retire();
        }
        let (connection, given_back) = (lane.connection.clone(), Arc::clone(&self.given_back));
        Place { connection, lane, given_back, _permit: permit }
    }
}

//! Connections that many requests share.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::lock;
use crate::ldap::connect::Connection;

/// From this many requests under way on each shared connection on, another is opened.
pub(super) const CROWDED: usize = 32;
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
    _permit: OwnedSemaphorePermit,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.lane.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Shared {
    pub(super) fn new(max: usize) -> Self {
        Self {
            connections: Mutex::default(),
            places: Arc::new(Semaphore::new(max.saturating_mul(CROWDED))),
            connecting: tokio::sync::Mutex::default(),
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
        lane
    }
}

impl Lane {
    /// A place on it.
    pub(super) fn place(self: Arc<Self>, permit: OwnedSemaphorePermit) -> Place {
        self.under_way.fetch_add(1, Ordering::Relaxed);
        if self.started.fetch_add(1, Ordering::Relaxed) >= MAX_OPERATIONS {
            self.connection.retire();
        }
        Place { connection: self.connection.clone(), lane: self, _permit: permit }
    }
}

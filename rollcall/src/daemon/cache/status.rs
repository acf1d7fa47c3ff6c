//! Tells how things stand.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use common::protocol::{Phase, Status, TableStatus};
use common::table::layout::{header, high, low};

use super::Cache;
use crate::daemon::table::TableThread;

/// What is counted from the daemon's start on, whatever the configuration.
#[derive(Debug)]
pub(in crate::daemon) struct Counters {
    started: Instant,
    pub(super) hits: AtomicU64,
    pub(super) searches: AtomicU64,
}

impl Default for Counters {
    fn default() -> Self {
        Self { started: Instant::now(), hits: AtomicU64::new(0), searches: AtomicU64::new(0) }
    }
}

impl Counters {
    /// The status of a daemon whose configuration can't be used.
    pub(in crate::daemon) fn status(&self, connections: u32) -> Status {
        Status {
            version: env!("CARGO_PKG_VERSION").into(),
            running: self.started.elapsed().as_secs(),
            mode: None,
            phase: Phase::Off,
            loaded: 0,
            in_step: 0,
            table: None,
            hits: self.hits.load(Ordering::Relaxed),
            searches: self.searches.load(Ordering::Relaxed),
            connections,
            servers: Vec::new(),
            following: Vec::new(),
            offline: Vec::new(),
            heard: 0,
            outage: None,
        }
    }
}

impl Cache {
    /// How things stand.
    pub(in crate::daemon) fn status(&self, connections: u32) -> Status {
        let table = self.table();
        let facts = table.and_then(|table| facts(table));
        let heard = facts.map_or(0, |(_, heard)| heard).max(self.heard());
        Status {
            mode: Some(self.config.mode),
            phase: self.replica.phase(),
            loaded: self.replica.loading(),
            in_step: self.replica.last_in_step(),
            table: facts.map(|(facts, _)| facts),
            servers: self.service.directories().iter().flat_map(|d| d.servers()).collect(),
            following: self.replica.following(),
            offline: Vec::new(),
            heard,
            outage: self
                .service
                .outage()
                .map(|why| why.to_string())
                .or_else(|| self.replica.failure()),
            ..self.counters.status(connections)
        }
    }
}

/// What is in the table, and when the directory was last heard of.
fn facts(table: &TableThread) -> Option<(TableStatus, u64)> {
    let keys = table.keys();
    table.with(|table| {
        let entries = table.word(header::ENTRIES)?;
        let facts = TableStatus {
            users: low(entries),
            groups: high(entries),
            keys,
            size: table.word(header::WORDS)? * 8,
            used: table.word(header::USED)?.saturating_sub(table.word(header::DEAD)?) * 8,
        };
        Some((facts, table.word(header::HEARD)?))
    })
}

//! Looks after the servers that failed or are doubted, until all are well.

use std::sync::{Arc, Weak};
use std::time::Instant;

use tokio::sync::Notify;
use tokio::time::sleep_until;

use super::Servers;
use super::verdict::Judge;
use crate::ldap::pool::health::Candidate;
use crate::ldap::pool::lock;

impl Servers {
    /// Has what failed, or is doubted, probed until it answers.
    pub(super) fn look_after_the_failed(self: &Arc<Self>) {
        if lock(&self.health).begin_probing() {
            tokio::spawn(Self::probe(Arc::downgrade(self), Arc::clone(&self.wake)));
        } else {
            self.wake.notify_one();
        }
    }

    /// Probes what is due, until all is well. Ends with the pool. There is one at a time.
    async fn probe(this: Weak<Self>, wake: Arc<Notify>) {
        loop {
            let Some(servers) = this.upgrade() else { return };
            let Some((due, next)) = lock(&servers.health).due(Instant::now()) else { return };
            for Candidate { id, server, .. } in due {
                let Some(judge) = Judge::begin(&servers, id) else { continue };
                let servers = Arc::clone(&servers);
                tokio::spawn(async move {
                    if let Ok(connection) = judge.run(server, true, true).await {
                        *lock(&servers.spare) = Some(connection);
                    }
                });
            }
            drop(servers);
            tokio::select! {
                () = sleep_until(next.into()) => {}
                () = wake.notified() => {}
            }
        }
    }
}

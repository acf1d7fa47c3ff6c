//! The connections that there are: which of them are asked whether anybody answers, and which
//! are taken out of use.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use tokio::task::{JoinHandle, JoinSet};
use tokio::time::sleep_until;

use super::{FAIR_TRIAL, Servers, chance};
use crate::deadline::Deadline;
use crate::ldap::connect::{Connection, Remote};
use crate::ldap::pool::{check, lock};

/// For how long a preferred server has to be well before readings go back to it; and up to
/// half as much again, so that the hosts of a site don't come all at once.
const SETTLED: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(super) struct Made {
    pub(super) remote: Remote,
    pub(super) server: usize,
    /// Whether it is bound as the reader, and not a user's.
    pub(super) reader: bool,
    /// Whether a map is read on it: to begin that anew costs more than a handshake.
    pub(super) reading: bool,
}

impl Servers {
    /// Asks on all connections to a server that are bound as the reader, and retires those
    /// on which nobody answers. Whether somebody does on one; `None` if there is none.
    /// A reading finds out by itself: it may have its answers wait. While it has, for this host
    /// to take them in, it says nothing against the server.
    pub(super) fn ask_the_living(&self, id: usize) -> Option<JoinHandle<bool>> {
        let living: Vec<_> = lock(&self.made)
            .iter()
            .filter(|made| made.reader && made.server == id)
            .filter_map(|made| Some((made.remote.connection()?, made.reading)))
            .collect();
        if living.is_empty() {
            return None;
        }
        let deadline = Deadline::after(FAIR_TRIAL.min(self.connect_limit));
        let mut asked = JoinSet::new();
        for (connection, reading) in living {
            asked.spawn(async move {
                let answers =
                    connection.is_stalled() || check::answers(&connection, deadline).await;
                if !answers && !reading {
                    connection.retire();
                }
                answers
            });
        }
        Some(tokio::spawn(async move {
            while let Some(answers) = asked.join_next().await {
                if answers.unwrap_or(false) {
                    asked.detach_all();
                    return true;
                }
            }
            false
        }))
    }

    /// Has the connections that are kept for logins asked. Nobody gets one of them until
    /// it has answered: a new one costs a login less than a silent one.
    pub(super) fn check_idle_binds(self: &Arc<Self>, which: impl Fn(&Connection) -> bool) {
        let idle: Vec<_> = lock(&self.idle_binds).extract_if(.., |idle| which(idle)).collect();
        let most = idle.len();
        for connection in idle {
            let this = Arc::clone(self);
            tokio::spawn(async move {
                if check::answers(&connection, Deadline::after(FAIR_TRIAL)).await
                    && this.is_preferred(connection.server)
                {
                    let mut home = lock(&this.idle_binds);
                    if home.len() < most {
                        home.push(connection);
                    }
                }
            });
        }
    }

    /// A preferred server is well: who is connected to another one finishes there,
    /// and goes to it next.
    pub(super) fn retire_the_less_preferred(self: &Arc<Self>) {
        self.retire(|made| made.reader && !made.reading && !self.is_preferred(made.server));
        lock(&self.idle_binds).retain(|idle| self.is_preferred(idle.server));
        let mut spare = lock(&self.spare);
        *spare = spare.take().filter(|spare| self.is_preferred(spare.server));
        drop(spare);
        if !self.moving.swap(true, Ordering::AcqRel) {
            let pause = SETTLED.mul_f64(1.0 + chance() / 2.0);
            match self.move_readings(pause) {
                Some(due) => drop(tokio::spawn(Self::moving(Arc::downgrade(self), pause, due))),
                None => self.moving.store(false, Ordering::Release),
            }
        }
    }

    /// Retires the readings to whose server another one is preferred that has been well for
    /// that long. When to do that again, if there are others.
    pub(in crate::ldap::pool) fn move_readings(&self, pause: Duration) -> Option<Instant> {
        let (now, mut next) = (Instant::now(), None::<Instant>);
        self.retire(|made| {
            let due = made.reading.then(|| lock(&self.health).better_since(made.server)).flatten();
            let Some(due) = due.map(|since| since + pause) else { return false };
            if due > now && made.remote.is_alive() {
                next = Some(next.map_or(due, |next| next.min(due)));
            }
            due <= now
        });
        next
    }

    async fn moving(this: Weak<Self>, pause: Duration, mut due: Instant) {
        loop {
            sleep_until(due.into()).await;
            let Some(servers) = this.upgrade() else { return };
            match servers.move_readings(pause) {
                Some(next) => due = next,
                None => return servers.moving.store(false, Ordering::Release),
            }
        }
    }

    /// Takes note of what a connection is used for: reading a map.
    pub(in crate::ldap::pool) fn is_for_reading(&self, connection: &Connection) {
        let mut made = lock(&self.made);
        if let Some(made) = made.iter_mut().find(|made| made.remote.is(connection)) {
            made.reading = true;
        }
    }

    pub(super) fn retire(&self, mut which: impl FnMut(&Made) -> bool) {
        lock(&self.made).retain(|made| {
            let retired = which(made);
            if retired {
                made.remote.retire();
            }
            !retired && made.remote.is_alive()
        });
    }
}

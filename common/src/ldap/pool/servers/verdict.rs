//! What an attempt to connect says about a server.

use std::sync::Arc;
use std::time::Instant;

use tokio::task::JoinHandle;
use tokio::time::{timeout, timeout_at};

use super::{FAIR_TRIAL, Servers, chance};
use crate::config::Server;
use crate::deadline::Deadline;
use crate::ldap::LdapError;
use crate::ldap::connect::Connection;
use crate::ldap::pool::health::{Candidate, Turn};
use crate::ldap::pool::{check, lock};

impl Servers {
    /// Connects to a server. The first attempt judges it, and goes on after its
    /// asker has left.
    pub(super) async fn attempt(
        self: Arc<Self>,
        to: Candidate,
        as_reader: bool,
        deadline: Deadline,
    ) -> Result<Connection, LdapError> {
        let id = to.id;
        let result = if let Some(judge) = Judge::begin(&self, id) {
            let judging = tokio::spawn(judge.run(to.server, as_reader, false));
            judging.await.unwrap_or(Err(LdapError::Busy)) // the runtime ends
        } else {
            self.attempt_beside(to, as_reader, deadline).await
        };
        if matches!(result, Err(LdapError::TimedOut)) {
            // Who is told that nobody answers may rely on it that this is known.
            let limit = deadline.at_most(FAIR_TRIAL).instant();
            let _ = timeout_at(limit.into(), self.end_of_judging(id)).await;
        }
        result
    }

    /// Returns when nobody is about to judge a server, or somebody just did.
    async fn end_of_judging(&self, id: usize) {
        let end = self.judged.notified();
        tokio::pin!(end);
        // Before the look, so that nothing is missed after it.
        end.as_mut().enable();
        if lock(&self.health).is_being_judged(id) {
            end.await;
        }
    }

    /// Connects to a server while another attempt judges it.
    async fn attempt_beside(
        self: &Arc<Self>,
        to: Candidate,
        as_reader: bool,
        deadline: Deadline,
    ) -> Result<Connection, LdapError> {
        let begun = Instant::now();
        let until = deadline.at_most(self.connect_limit);
        let result = self.connect_one(to.id, &to.server, as_reader, until).await;
        match &result {
            Err(LdapError::TimedOut) if begun.elapsed() < self.connect_limit => {}
            Err(error) => self.judge_by(to, error, begun, None, None),
            Ok(_) => self.note(to.id, &to.server, None, begun),
        }
        result
    }

    /// Takes note of an attempt that failed: that alone doesn't make a server failed that
    /// answers on a connection made earlier.
    fn judge_by(
        self: &Arc<Self>,
        to: Candidate,
        error: &LdapError,
        begun: Instant,
        asked: Option<JoinHandle<bool>>,
        judge: Option<Judge>,
    ) {
        if !matches!(error, LdapError::ReaderRefused(_)) {
            self.check_idle_binds(|idle| idle.server == to.id);
        }
        let Some(asked) = asked.or_else(|| self.ask_the_living(to.id)) else {
            return self.note(to.id, &to.server, Some(error), begun);
        };
        let (this, error) = (Arc::clone(self), error.clone());
        tokio::spawn(async move {
            if asked.await.unwrap_or(false) {
                this.note_beside_a_living(&to, &error, begun);
            } else {
                this.note(to.id, &to.server, Some(&error), begun);
            }
            drop(judge);
        });
    }

    fn note_beside_a_living(self: &Arc<Self>, to: &Candidate, error: &LdapError, begun: Instant) {
        let server = &to.server;
        tracing::debug!(%server, %error, "a server answers, but can't be connected to anew");
        let now = Instant::now();
        let turn = lock(&self.health).failed_beside_a_living(to.id, error, begun, now, chance());
        self.follow(turn, Some(server));
        self.look_after_the_failed();
    }

    /// Takes note of what an attempt has come to.
    fn note(
        self: &Arc<Self>,
        id: usize,
        server: &Server,
        error: Option<&LdapError>,
        begun: Instant,
    ) {
        let now = Instant::now();
        let turn = {
            let mut health = lock(&self.health);
            match error {
                None => health.answered(id, now.duration_since(begun), now),
                Some(error) => health.failed(id, error, begun, now, chance()),
            }
        };
        let changed = turn.changed;
        if changed && let Some(error) = error {
            tracing::warn!(%server, %error, "a server fails");
            // None of them answers. What users are bound on shows by itself whether it does.
            self.retire(|made| made.reader && made.server == id);
        }
        self.follow(turn, Some(server));
        if error.is_some() {
            self.look_after_the_failed();
        } else if changed {
            self.retire_the_less_preferred();
        }
    }

    /// Does what follows from something that was learned.
    pub(super) fn follow(self: &Arc<Self>, turn: Turn, server: Option<&Server>) {
        if let Some(error) = turn.began {
            tracing::warn!(error, "no server of the directory answers");
            // They may have moved.
            self.ask.notify_one();
        }
        if turn.ended {
            let server = server.map(ToString::to_string);
            tracing::info!(server, "the directory answers again");
        } else if turn.changed
            && let Some(server) = server
        {
            tracing::debug!(%server, "a server's state has changed");
        }
    }
}

/// An attempt whose end is the verdict over a server.
pub(super) struct Judge {
    servers: Arc<Servers>,
    id: usize,
}

impl Judge {
    pub(super) fn begin(servers: &Arc<Servers>, id: usize) -> Option<Self> {
        let judges = lock(&servers.health).judge(id, Instant::now());
        judges.then(|| Self { servers: Arc::clone(servers), id })
    }

    /// Connects, and has the server answer a question if it is nobody's request that
    /// comes next anyhow.
    pub(super) async fn run(
        self,
        server: Server,
        as_reader: bool,
        ask: bool,
    ) -> Result<Connection, LdapError> {
        let begun = Instant::now();
        let (servers, limit) = (Arc::clone(&self.servers), self.servers.connect_limit);
        let deadline = Deadline::after(limit);
        let mut attempt = Box::pin(async {
            let connection = servers.connect_one(self.id, &server, as_reader, deadline).await?;
            if ask {
                check::ask(&connection, deadline).await?;
            }
            Ok(connection)
        });
        // The others are asked so early that they don't put the verdict off.
        let mut asked = None;
        let early = timeout(limit.saturating_sub(FAIR_TRIAL), &mut attempt).await;
        let result = if let Ok(result) = early {
            result
        } else {
            asked = servers.ask_the_living(self.id);
            attempt.as_mut().await
        };
        drop(attempt);
        match &result {
            Ok(_) => servers.note(self.id, &server, None, begun),
            Err(error) => {
                let to = Candidate { id: self.id, server, connecting: None };
                servers.judge_by(to, error, begun, asked, Some(self));
            }
        }
        result
    }
}

impl Drop for Judge {
    fn drop(&mut self) {
        lock(&self.servers.health).judged(self.id);
        self.servers.judged.notify_waiters();
        self.servers.wake.notify_one();
    }
}

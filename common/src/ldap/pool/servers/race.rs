//! A race with head starts: one server after the other is begun with, and the first that can be
//! had wins.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{timeout, timeout_at};

use super::{FAIR_TRIAL, Servers};
use crate::deadline::Deadline;
use crate::ldap::LdapError;
use crate::ldap::connect::Connection;
use crate::ldap::pool::health::Candidate;
use crate::ldap::pool::{discovery, lock};

/// How long a server has before the next one is tried as well; one that usually
/// needs longer has thrice its time, up to [`FAIR_TRIAL`].
const HEAD_START: Duration = Duration::from_millis(250);

impl Servers {
    /// Connects to the first server that can be had, and binds as the reader if asked to.
    pub(in crate::ldap::pool) async fn connect_any(
        self: &Arc<Self>,
        as_reader: bool,
        deadline: Deadline,
    ) -> Result<Connection, LdapError> {
        self.wait_for_a_list(deadline).await;
        self.check_outage()?;
        if as_reader && let Some(connection) = self.take_spare() {
            return Ok(connection);
        }
        self.race(as_reader, deadline).await
    }

    /// Has the DNS asked, where that is needed, and waits for what it says: as long as
    /// there is time when no server is known, else a moment.
    async fn wait_for_a_list(self: &Arc<Self>, deadline: Deadline) {
        if *self.listed.borrow() {
            return;
        }
        if !self.asking.swap(true, Ordering::AcqRel) {
            discovery::begin(self);
        }
        let until = if self.count() == 0 { deadline } else { deadline.at_most(HEAD_START) };
        let mut listed = self.listed.subscribe();
        let _ = timeout_at(until.instant().into(), listed.wait_for(|listed| *listed)).await;
    }

    fn take_spare(&self) -> Option<Connection> {
        let spare = lock(&self.spare).take()?;
        (spare.is_alive() && self.is_preferred(spare.server)).then_some(spare)
    }

    async fn race(
        self: &Arc<Self>,
        as_reader: bool,
        deadline: Deadline,
    ) -> Result<Connection, LdapError> {
        let mut order = lock(&self.health).order().into_iter().peekable();
        let mut under_way: Vec<usize> = Vec::new();
        let mut attempts = JoinSet::new();
        let mut failure = LdapError::TimedOut;
        loop {
            if let Some(next) = order.next() {
                let (id, head_start) = (next.id, head_start(&next));
                under_way.push(id);
                let attempt = Arc::clone(self).attempt(next, as_reader, deadline);
                attempts.spawn(async move { (id, attempt.await) });
                // With little time left, every server has its turn all the same.
                let left = deadline.remaining().unwrap_or_default();
                let share = left / u32::try_from(order.len() + 1).unwrap_or(u32::MAX);
                let patience = if order.peek().is_some() { head_start.min(share) } else { left };
                match timeout(patience, self.first(&mut attempts, &mut under_way)).await {
                    Ok(Some(Ok(connection))) => return Ok(connection),
                    Ok(Some(Err(error))) => note(&mut failure, error),
                    Ok(None) | Err(_) => {}
                }
            } else {
                let first = self.first(&mut attempts, &mut under_way);
                match timeout_at(deadline.instant().into(), first).await {
                    Ok(Some(Ok(connection))) => return Ok(connection),
                    Ok(Some(Err(error))) => note(&mut failure, error),
                    Ok(None) => return Err(failure),
                    Err(_) => return Err(LdapError::TimedOut),
                }
            }
        }
    }

    /// What the next attempt to end has come to. Who was overtaken is doubted.
    async fn first(
        self: &Arc<Self>,
        attempts: &mut JoinSet<(usize, Result<Connection, LdapError>)>,
        under_way: &mut Vec<usize>,
    ) -> Option<Result<Connection, LdapError>> {
        let Ok((id, result)) = attempts.join_next().await? else {
            return Some(Err(LdapError::Busy)); // the runtime ends
        };
        let position = under_way.iter().position(|&other| other == id)?;
        if result.is_ok() {
            under_way[..position].iter().for_each(|&slower| self.suspect(slower));
        }
        under_way.remove(position);
        Some(result)
    }
}

/// What another server made impossible says more than "too late".
fn note(failure: &mut LdapError, error: LdapError) {
    if *failure == LdapError::TimedOut {
        *failure = error;
    }
}

fn head_start(candidate: &Candidate) -> Duration {
    let usual = candidate.connecting.unwrap_or_default() * 3;
    HEAD_START.max(usual).min(FAIR_TRIAL)
}

//! Whether a request that gets no answer is merely slow, or nobody answers it.

use std::time::{Duration, Instant};

use tokio::time::timeout;

use super::servers::FAIR_TRIAL;
use super::{Pool, check};
use crate::deadline::Deadline;
use crate::ldap::connect::Connection;

/// How long a request may stay without an answer before its connection is asked
/// something; four times what is usual, if that is more, but no longer than
/// [`FAIR_TRIAL`]. And how long that question may, where another server can be asked.
const SILENCE: Duration = Duration::from_millis(250);

/// How waiting for an answer has ended.
#[derive(Debug)]
pub enum Attended<T> {
    /// With the answer.
    Done(T),
    /// Nobody answers on the connection; the request may still be waited for.
    Silent,
}

impl Pool {
    /// Takes note that a server, connected before, said nothing to a request
    /// that gave it this long. The connection isn't used any more, the server is tried
    /// last for a while, and a probe, started at once, finds out whether there is
    /// an outage. One slow search on a healthy server costs no more than that.
    pub fn fell_silent(&self, connection: &Connection, waited: Duration) {
        if waited < FAIR_TRIAL {
            return;
        }
        self.give_up(connection);
    }

    fn give_up(&self, connection: &Connection) {
        connection.retire();
        self.servers.suspect(connection.server);
    }

    /// Waits for a request on a shared connection: for this long, or until it shows that
    /// nobody answers there. Then the connection is given up for others, the server is
    /// probed, and the request may go on while it is tried elsewhere.
    pub async fn attend<F: Future + Unpin>(
        &self,
        connection: &Connection,
        mut request: F,
        patience: Duration,
    ) -> Attended<F::Output> {
        let begun = Instant::now();
        let silence = (self.servers.latency(connection.server) * 4).clamp(SILENCE, FAIR_TRIAL);
        // With nowhere else to go, a loaded server isn't asked twice so soon.
        let hurry = if self.has_alternatives() { silence } else { FAIR_TRIAL };
        let mut pause = silence;
        loop {
            let left = patience.saturating_sub(begun.elapsed());
            if let Ok(done) = timeout(pause.min(left), &mut request).await {
                self.servers.took(connection.server, begun.elapsed());
                return Attended::Done(done);
            }
            let left = patience.saturating_sub(begun.elapsed());
            if left.is_zero() {
                self.fell_silent(connection, patience);
                return Attended::Silent;
            }
            let answers = Box::pin(check::answers(connection, Deadline::after(hurry.min(left))));
            tokio::select! {
                biased;
                done = &mut request => return Attended::Done(done),
                // An asker in a hurry has found out nothing.
                answers = answers => if !answers && left >= hurry {
                    self.give_up(connection);
                    return Attended::Silent;
                }
            }
            pause = FAIR_TRIAL;
        }
    }
}

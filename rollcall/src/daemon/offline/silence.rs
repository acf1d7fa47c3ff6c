//! Whether any server answers, and a login's attempt to find one.
//!
//! A login is often the first to notice an outage. Its own attempt then ends before it is known
//! of each server whether it is silent: another attempt judges that, which has to give the
//! server its full time, and asks on the other connections, too. So the login waits for that
//! verdict; it has the time, as its own deadline is longer.

use std::time::{Duration, Instant};

use common::account::Name;
use common::deadline::{Deadline, LOOKUP};
use common::handle::Service;
use common::login::Trace;
use common::protocol::{Request, Response, Unavailable};
use tokio::time::sleep;

use super::Offline;
use super::online::Asking;

/// How long a login waits for a server before somebody looks whether any answers: for users
/// who have an alternative. A quarter of its time, if that is less.
const PATIENCE: Duration = Duration::from_secs(3);
/// How often it is looked at then.
const GLANCE: Duration = Duration::from_millis(100);
/// How long a verdict is waited for when the attempt has ended: a server has at most a lookup's
/// time to be connected to, and a second to answer on another connection.
const VERDICT: Duration = LOOKUP.saturating_add(Duration::from_secs(1));

impl Offline {
    /// Asks the directory. For somebody who is kept it is given up as soon as it is known that
    /// all servers of the user's directory are silent; and if nobody has answered when it ends,
    /// it is known by then whether they are.
    pub(super) async fn online(
        &self,
        asking: &Asking<'_>,
        name: &Name,
        request: Request,
        trace: &mut Trace,
    ) -> Response {
        let Asking { cache, peer, deadline, .. } = asking;
        let service = cache.service();
        let kept_in = self.queue.directory_of(name);
        let answered = tokio::select! {
            biased;
            response = cache.attend(*peer, request, *deadline, trace) => Some(response),
            () = falls_silent(service, kept_in, *deadline) => None,
        };
        let Some(response) = answered else {
            trace.is_without_answer = true;
            return Response::Unavailable(Unavailable::TimedOut);
        };
        // At a start what is kept may have been read only meanwhile.
        if trace.is_without_answer
            && let Some(directory) = kept_in.or_else(|| self.queue.directory_of(name))
        {
            verdict(service, directory, *deadline).await;
        }
        response
    }
}

/// Returns when it is known that no server of this directory answers.
async fn falls_silent(service: &Service, directory: Option<usize>, deadline: Deadline) {
    let Some(directory) = directory.and_then(|which| service.directories().get(which)) else {
        return std::future::pending().await;
    };
    let quarter = deadline.remaining().unwrap_or_default() / 4;
    let patience = quarter.clamp(GLANCE, PATIENCE);
    loop {
        let look = Instant::now() + patience;
        while Instant::now() < look {
            // At the beginning the attempt itself finds out at once.
            sleep(GLANCE).await;
            if directory.is_silent() {
                return;
            }
        }
        directory.look();
    }
}

/// Returns when it is known whether any server of this directory answers, or at the deadline.
async fn verdict(service: &Service, directory: usize, deadline: Deadline) {
    let Some(directory) = service.directories().get(directory) else { return };
    let (began, deadline) = (Instant::now(), deadline.at_most(VERDICT));
    directory.look();
    while directory.is_silent_since(began).is_none() && !deadline.is_over() {
        sleep(GLANCE).await;
    }
}

/// Which directories don't answer.
pub(super) fn silent(service: &Service) -> Vec<bool> {
    service.directories().iter().map(|directory| directory.is_silent()).collect()
}

//! One connection: one request, one response.

use std::sync::Arc;
use std::time::{Duration, Instant};

use common::config::Timeouts;
use common::deadline::Deadline;
use common::frame;
use common::handle::Peer;
use common::protocol::{Flush, Proof, Refused, Request, Response, Status, Unavailable, Verdict};
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tracing::{Instrument, Span, debug, enabled, info, warn};

use super::accept::Shared;
use super::cache::Answer;
use super::describe::{Login, kind, outcome};
use super::limits::Slot;
use super::receive::{ReceiveError, receive};
use super::reload::Active;

/// How long a peer may take to read its response.
const DELIVERY: Duration = Duration::from_secs(5);
/// How long a flush may take: a replica reads all of the directory for it.
const FLUSH: Duration = Duration::from_secs(600);
/// By how much handling may miss its deadline before it is given up.
const GRACE: Duration = Duration::from_millis(500);

/// The process at the other end, as the kernel tells it (`SO_PEERCRED`).
#[derive(Debug, Clone, Copy)]
pub(super) struct Caller {
    pub(super) uid: u32,
    /// For the log only: it may be another process's by now.
    pub(super) pid: i32,
}

/// Reads a request, has it answered, replies.
pub(super) async fn serve(mut stream: UnixStream, caller: Caller, shared: Arc<Shared>, slot: Slot) {
    let (request, ms_left) = match receive(&mut stream).await {
        Ok(received) => received,
        Err(why) => return refuse(stream, caller, &why).await,
    };
    let started = Instant::now();
    let kind = kind(&request);
    let login = Login::of(&request);
    let slot = Arc::new(slot);

    let in_use = shared.configuration.in_use();
    let cache = in_use.as_ref().ok().map(|active| Arc::clone(&active.cache));
    let answer = match in_use {
        _ if matches!(request, Request::Status) => {
            Response::Status(status(caller, &shared).await).into()
        }
        // What is kept needs no configuration to be removed.
        _ if matches!(request, Request::Flush(Flush::Offline)) && caller.uid == 0 => {
            let flush = tokio::time::timeout(FLUSH, shared.offline.flush()).await;
            flush.unwrap_or(Response::Unavailable(Unavailable::TimedOut)).into()
        }
        Ok(active) => {
            let deadline = deadline(&request, ms_left, &active.timeouts);
            tokio::select! {
                biased;
                answer = answer(request, caller, deadline, active, shared, &slot) => answer,
                () = peer_is_gone(&stream) => {
                    return debug!(kind, caller.uid, caller.pid, "the asker hung up");
                }
            }
        }
        Err(why) => Response::Unavailable(why).into(),
    };
    let response = &answer.response;

    if let Some(login) = login {
        report(&login, response);
    }
    if enabled!(tracing::Level::DEBUG) {
        let (outcome, elapsed) = (outcome(response), started.elapsed());
        debug!(kind, caller.uid, caller.pid, outcome, ?elapsed);
    }
    reply(stream, response).await;
    drop(slot);
    // Nobody waits for this.
    if let Some(cache) = cache {
        cache.remember(answer);
    }
}

/// How things stand; whose logins are kept is for root.
async fn status(caller: Caller, shared: &Shared) -> Status {
    let mut status = shared.configuration.status(shared.limits.in_use());
    if caller.uid == 0
        && let Ok(active) = shared.configuration.in_use()
    {
        status.offline = shared.offline.list(active.offline.clone()).await;
    }
    status
}

/// What the asker's patience and the configuration allow, whichever is less.
fn deadline(request: &Request, ms_left: u32, timeouts: &Timeouts) -> Deadline {
    let cap = match request {
        Request::Authenticate { .. }
        | Request::Authorize { .. }
        | Request::ChangePassword { .. }
        | Request::ResetPassword { .. } => timeouts.login,
        Request::Flush(_) => FLUSH,
        _ => timeouts.lookup,
    };
    Deadline::after(Duration::from_millis(ms_left.into()).min(cap))
}

/// Whether a request must not be given up half-way: nobody could say whether
/// the password was changed. A password check of an unprivileged user is
/// carried through as well, so that hanging up early is no way around [`super::guesses`].
fn runs_to_the_end(request: &Request, caller: Caller) -> bool {
    match request {
        Request::ChangePassword { .. } | Request::ResetPassword { .. } => true,
        Request::Authenticate { .. } => caller.uid != 0,
        _ => false,
    }
}

async fn answer(
    request: Request,
    caller: Caller,
    deadline: Deadline,
    active: Arc<Active>,
    shared: Arc<Shared>,
    slot: &Arc<Slot>,
) -> Answer {
    let limit = tokio::time::Instant::from(deadline.instant() + GRACE);
    let answered = if runs_to_the_end(&request, caller) {
        // The slot goes with it: a graceful stop waits for it, too.
        let slot = Arc::clone(slot);
        let handling = async move {
            let _slot = slot;
            handle(request, caller, deadline, &active, &shared).await
        };
        let handling = tokio::spawn(handling.instrument(Span::current()));
        tokio::time::timeout_at(limit, handling).await.map(|joined| {
            joined.unwrap_or_else(|_| {
                Response::Unavailable(Unavailable::Daemon("it failed".into())).into()
            })
        })
    } else {
        let handling = handle(request, caller, deadline, &active, &shared);
        tokio::time::timeout_at(limit, handling).await
    };
    answered.unwrap_or_else(|_| Response::Unavailable(Unavailable::TimedOut).into())
}

async fn handle(
    request: Request,
    caller: Caller,
    deadline: Deadline,
    active: &Active,
    shared: &Shared,
) -> Answer {
    let peer = Peer { uid: caller.uid };
    let checks_a_password = matches!(
        request,
        Request::Authenticate { .. } | Request::ChangePassword { proof: Proof::Old(_), .. }
    );
    if !checks_a_password {
        let Some(_place) = shared.places.admit(caller.uid, deadline).await else {
            return Response::Unavailable(Unavailable::Busy).into();
        };
        return decide(peer, request, deadline, active, shared).await.0;
    }
    let Some(guess) = shared.guesses.admit(caller.uid, deadline).await else {
        return Response::Unavailable(Unavailable::Busy).into();
    };
    let (answer, was_in_vain) = decide(peer, request, deadline, active, shared).await;
    let is_wrong = matches!(&answer.response, Response::Login(answer) if answer.verdict == Verdict::WrongPassword);
    if is_wrong || was_in_vain {
        guess.was_wrong();
    }
    answer
}

/// Has it answered; whether a password was tried in vain while no server answers.
async fn decide(
    peer: Peer,
    request: Request,
    deadline: Deadline,
    active: &Active,
    shared: &Shared,
) -> (Answer, bool) {
    let is_about_a_login = matches!(
        request,
        Request::Authenticate { .. }
            | Request::Authorize { .. }
            | Request::ChangePassword { .. }
            | Request::ResetPassword { .. }
    );
    match &active.offline {
        Some(policy) if is_about_a_login => {
            let offline = &shared.offline;
            let decision = offline.decide(&active.cache, policy, peer, request, deadline);
            let decision = Box::pin(decision).await;
            (decision.response.into(), decision.was_in_vain)
        }
        _ => (active.cache.answer(peer, request, deadline).await, false),
    }
}

/// Returns when the peer hangs up, for instance since the program was
/// interrupted. A peer that sends more than its request doesn't follow the
/// protocol, and is treated the same.
async fn peer_is_gone(stream: &UnixStream) {
    loop {
        if stream.readable().await.is_err() {
            return;
        }
        match stream.try_read(&mut [0]) {
            Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => {}
            _ => return,
        }
    }
}

/// A line for each login. In an outage, for each that fails by it.
fn report(login: &Login, response: &Response) {
    let line = login.line(&outcome(response));
    if matches!(response, Response::Login(_)) {
        info!("{line}");
    } else {
        warn!("{line}");
    }
}

async fn refuse(stream: UnixStream, caller: Caller, why: &ReceiveError) {
    match why {
        // Who connects and leaves only wanted to know whether somebody listens.
        ReceiveError::Incomplete(_) => debug!(caller.uid, caller.pid, "no request: {why}"),
        ReceiveError::Slow => warn!(caller.uid, caller.pid, "no request: {why}"),
        ReceiveError::Frame(_) => {
            warn!(caller.uid, caller.pid, "no request: {why}");
            reply(stream, &Response::Refused(Refused::Malformed)).await;
        }
    }
}

async fn reply(mut stream: UnixStream, response: &Response) {
    let frame = frame::encode_response(response).or_else(|why| {
        warn!("a response can't be sent: {why}");
        frame::encode_response(&Response::Unavailable(Unavailable::Protocol(why.to_string())))
    });
    let Ok(frame) = frame else { return };
    match tokio::time::timeout(DELIVERY, stream.write_all(&frame)).await {
        Ok(Ok(())) => {}
        Ok(Err(why)) => debug!("the asker doesn't want the response: {why}"),
        Err(_) => debug!("the asker is too slow for the response"),
    }
}

//! Takes connections in. Nothing here waits for a peer.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use common::frame;
use common::protocol::{Response, Unavailable};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tracing::{Instrument, debug, error, info_span, warn};

use super::connection::{self, Caller};
use super::guesses::Guesses;
use super::limits::Limits;
use super::log::Seldom;
use super::offline::Offline;
use super::places::Places;
use super::reload::Configuration;

/// How long to wait when the system can't take another connection in.
const BACK_OFF: Duration = Duration::from_millis(100);
/// How many peers are told at a time that there are too many of them.
const TURNED_AWAY: usize = 128;
/// How long a peer that was turned away may take to read that.
const FAREWELL: Duration = Duration::from_secs(1);
/// How many requests of one user are put to the directory at a time. More wait
/// for their turn here, and not in front of those of other users.
const AT_ONCE: usize = 64;

/// What all connections share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) configuration: Configuration,
    pub(super) limits: Limits,
    pub(super) places: Places,
    pub(super) guesses: Guesses,
    pub(super) offline: Arc<Offline>,
    turned_away: Arc<Semaphore>,
    too_many: Seldom,
    cannot_accept: Seldom,
    requests: AtomicU64,
}

impl Shared {
    pub(super) fn new(configuration: Configuration, offline: Offline, connections: u32) -> Self {
        Self {
            configuration,
            limits: Limits::new(connections),
            places: Places::new(AT_ONCE),
            guesses: Guesses::default(),
            offline: Arc::new(offline),
            turned_away: Arc::new(Semaphore::new(TURNED_AWAY)),
            too_many: Seldom::default(),
            cannot_accept: Seldom::default(),
            requests: AtomicU64::new(1),
        }
    }
}

/// Accepts connections for ever.
pub(super) async fn accept(listener: &UnixListener, shared: &Arc<Shared>) -> Infallible {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => admit(stream, shared),
            Err(failure) => survive(&failure, shared).await,
        }
    }
}

/// Accepting fails when descriptors or memory run out. What is open will be
/// closed again, and those who wait are still in the backlog then.
async fn survive(failure: &io::Error, shared: &Shared) {
    if failure.kind() == io::ErrorKind::ConnectionAborted {
        return;
    }
    if shared.cannot_accept.is_due() {
        error!("can't accept connections for the moment: {failure}");
    }
    tokio::time::sleep(BACK_OFF).await;
}

fn admit(stream: UnixStream, shared: &Arc<Shared>) {
    let caller = match stream.peer_cred() {
        Ok(credentials) => Caller { uid: credentials.uid(), pid: credentials.pid().unwrap_or(0) },
        Err(failure) => return debug!("a peer without credentials: {failure}"),
    };
    let Some(slot) = shared.limits.admit(caller.uid) else {
        return turn_away(stream, caller, shared);
    };
    let id = shared.requests.fetch_add(1, Ordering::Relaxed);
    let serving = connection::serve(stream, caller, Arc::clone(shared), slot);
    tokio::spawn(serving.instrument(info_span!("request", id)));
}

/// Tells a peer that there are too many connections, as long as there are not
/// too many of those as well.
fn turn_away(mut stream: UnixStream, caller: Caller, shared: &Shared) {
    if shared.too_many.is_due() {
        warn!("too many connections; the last one is of uid {} (pid {})", caller.uid, caller.pid);
    }
    let Ok(place) = Arc::clone(&shared.turned_away).try_acquire_owned() else { return };
    let Ok(frame) = frame::encode_response(&Response::Unavailable(Unavailable::Busy)) else {
        return;
    };
    tokio::spawn(async move {
        let _place = place;
        let _ = tokio::time::timeout(FAREWELL, async {
            stream.write_all(&frame).await?;
            // A peer that is still sending would get an error instead of the
            // answer if this end were closed now.
            while stream.read(&mut [0; 512]).await? > 0 {}
            io::Result::Ok(())
        })
        .await;
    });
}

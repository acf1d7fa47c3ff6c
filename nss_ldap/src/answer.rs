//! One lookup, and the answer that is kept for a bigger buffer.
//!
//! glibc finds the right size for a buffer by trying: it doubles it until the
//! answer fits. The answer that didn't fit is kept, so that all these tries cost
//! one lookup. One answer a thread and database, for a moment, and it is let go
//! by the next call: nothing here is a cache.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::LocalKey;
use std::time::{Duration, Instant};

use common::client::Client;
use common::deadline::{self, Deadline};
use common::protocol::{Batch, Map, Request, Response};

use crate::buffer::{Buffer, Short, Target};
use crate::enumerate::Enumeration;
use crate::status::Failure;

/// How long an answer waits for its bigger buffer, from when it came.
const PATIENCE: Duration = Duration::from_secs(2);

/// An entry of a database.
pub(crate) trait Record: Sized + 'static {
    /// glibc's struct for it.
    type C;
    /// The database.
    const MAP: Map;

    /// The entry in a response to a lookup.
    fn one(response: Response) -> Result<Self, Failure>;
    /// The entries in a response to an enumeration.
    fn batch(response: Response) -> Result<Batch<Self>, Failure>;
    /// The struct, with its strings in the buffer. Fails before the first
    /// byte is written when they don't fit.
    fn to_c(&self, buffer: &mut Buffer) -> Result<Self::C, Short>;
    /// What this thread holds of the database.
    fn local() -> &'static LocalKey<Local<Self>>;
}

/// What a thread holds of a database between two calls. It is in the
/// thread, not in the process: threads don't disturb each other, and a fork
/// copies it without a lock that could be held.
pub(crate) struct Local<R> {
    /// Where the enumeration stands.
    pub(crate) enumeration: Enumeration<R>,
    kept: Cell<Option<Kept<R>>>,
}

/// Whether this process ever kept an answer. Most never do, and are spared the
/// making of a thread's `Local`.
static KEPT: AtomicBool = AtomicBool::new(false);

struct Kept<R> {
    request: Request,
    entry: R,
    since: Instant,
}

impl<R> Local<R> {
    /// Holds nothing.
    pub(crate) const fn new() -> Self {
        Self { enumeration: Enumeration::new(), kept: Cell::new(None) }
    }
}

/// Puts a request to this host's daemon.
pub(crate) fn host(request: &Request, deadline: Deadline) -> Response {
    Client::Host.ask(request, deadline)
}

/// Looks one entry up, by whatever the request says.
pub(crate) fn lookup<R: Record>(
    request: Request,
    target: Target<R::C>,
    ask: impl FnOnce(&Request, Deadline) -> Response,
) -> Result<(), Failure> {
    let (entry, since) = if let Some(kept) = take(&request) {
        kept
    } else {
        let response = ask(&request, Deadline::after(deadline::LOOKUP));
        (R::one(response)?, Instant::now())
    };
    target.fill(|buffer| entry.to_c(buffer)).map_err(|Short| {
        KEPT.store(true, Ordering::Relaxed);
        // A thread that is ending has no place to keep it; it will ask again.
        let _ = R::local().try_with(|l| l.kept.set(Some(Kept { request, entry, since })));
        Failure::ShortBuffer
    })
}

/// Takes what is kept, if it answers this request. Whatever it is, it is let go.
fn take<R: Record>(request: &Request) -> Option<(R, Instant)> {
    if !KEPT.load(Ordering::Relaxed) {
        return None;
    }
    let kept = R::local().try_with(|local| local.kept.take()).ok()??;
    (is_same(&kept.request, request) && kept.since.elapsed() < PATIENCE)
        .then_some((kept.entry, kept.since))
}

/// Whether two lookups ask for the same.
fn is_same(a: &Request, b: &Request) -> bool {
    match (a, b) {
        (Request::UserByName(a), Request::UserByName(b))
        | (Request::GroupByName(a), Request::GroupByName(b))
        | (Request::ShadowByName(a), Request::ShadowByName(b)) => a == b,
        (Request::UserById(a), Request::UserById(b)) => a == b,
        (Request::GroupById(a), Request::GroupById(b)) => a == b,
        _ => false,
    }
}

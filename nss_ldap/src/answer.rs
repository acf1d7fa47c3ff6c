//! One lookup, and the answer that is kept for a bigger buffer.
//!
//! glibc finds the right size for a buffer by trying: it doubles it until the
//! answer fits. The answer that didn't fit is kept, so that all these tries cost
//! one lookup. It is the only one of its thread, whatever the database, and the
//! thread's next lookup lets it go: nothing here is a cache.

use std::any::Any;
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
    /// This thread's enumeration of the database. It is in the thread, not in
    /// the process: threads don't disturb each other, and a fork copies it
    /// without a lock that could be held.
    fn enumeration() -> &'static LocalKey<Enumeration<Self>>;
}

thread_local! {
    /// The answer that didn't fit.
    static KEPT: Cell<Option<Kept>> = const { Cell::new(None) };
}

/// Whether this process ever kept an answer. Most never do, and are spared the
/// making of a thread's [`KEPT`].
static EVER_KEPT: AtomicBool = AtomicBool::new(false);

struct Kept {
    request: Request,
    entry: Box<dyn Any>,
    since: Instant,
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
        EVER_KEPT.store(true, Ordering::Relaxed);
        let kept = Kept { request, entry: Box::new(entry), since };
        // A thread that is ending has no place to keep it; it will ask again.
        let _ = KEPT.try_with(|slot| slot.set(Some(kept)));
        Failure::ShortBuffer
    })
}

/// Takes what is kept, if it answers this request. Whatever it is, it is let go.
fn take<R: Record>(request: &Request) -> Option<(R, Instant)> {
    if !EVER_KEPT.load(Ordering::Relaxed) {
        return None;
    }
    let kept = KEPT.try_with(Cell::take).ok()??;
    if !is_same(&kept.request, request) || kept.since.elapsed() >= PATIENCE {
        return None;
    }
    Some((*kept.entry.downcast().ok()?, kept.since))
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

//! One lookup: the table, then the daemon, and the answer that is kept for a
//! bigger buffer.
//!
//! What the table knows is answered before anything else is done: no request is made, no
//! memory allocated, no thread-local touched. Whoever the table can't help asks the daemon; and where
//! the daemon is gone or hangs, what the table knew when it lived is better than nothing. How long
//! each of these steps waits, and why, is on the page of [`common::client::wait`].
//!
//! glibc finds the right size for a buffer by trying: it doubles it until the
//! answer fits. The daemon's answer that didn't fit is kept, so that all these tries cost
//! one request. It is the only one of its thread, whatever the database, and the
//! thread's next lookup lets it go: nothing here is a cache.

use std::any::Any;
use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::LocalKey;
use std::time::{Duration, Instant};

use common::client::{Client, Wait};
use common::deadline::{self, Deadline};
use common::guest;
use common::protocol::{Batch, Map, Request, Response};
use common::table::shared::{self, Shared};
use common::table::{Heart, View};
use libc::c_int;

use crate::buffer::{Buffer, Short, Target};
use crate::entry::{self, Errno};
use crate::enumerate::Enumeration;
use crate::status::{self, Failure};
use crate::table::{self, Asked, Miss};

/// How long an answer waits for its bigger buffer, from when it came.
const PATIENCE: Duration = Duration::from_secs(2);

/// An entry of a database.
pub(crate) trait Record: Sized + 'static {
    /// glibc's struct for it.
    type C;
    /// The database.
    const MAP: Map;
    /// Whether the table has it.
    const IN_TABLE: bool;

    /// The request for an entry.
    fn request(asked: Asked<'_>) -> Result<Request, Failure>;
    /// The entry in a response to a lookup.
    fn one(response: Response) -> Result<Self, Failure>;
    /// The entries in a response to an enumeration.
    fn batch(response: Response) -> Result<Batch<Self>, Failure>;
    /// The struct, with its strings in the buffer. Fails before the first
    /// byte is written when they don't fit.
    fn to_c(&self, buffer: &mut Buffer) -> Result<Self::C, Short>;
    /// The struct, from the table.
    fn find(_: &View<'_>, _: Asked<'_>, _: &mut Buffer) -> Result<Self::C, Miss> {
        Err(Miss::Unknown)
    }
    /// The struct of the next entry in the table from a slot on, and the slot after it.
    fn next(_: &View<'_>, _: usize, _: &mut Buffer) -> Result<(Self::C, usize), Miss> {
        Err(Miss::Unknown)
    }
    /// This thread's enumeration of the database. It is in the thread, not in
    /// the process: threads don't disturb each other, and a fork copies it
    /// without a lock that could be held.
    fn enumeration() -> &'static LocalKey<Enumeration<Self>>;
}

thread_local! {
    /// The answer that didn't fit.
    static KEPT: Cell<Option<Kept>> = const { Cell::new(None) };
}

/// How many answers this process keeps. Mostly none, and then no thread's [`KEPT`]
/// is looked at. After a fork it may count those of threads that aren't there any more.
static ALL_KEPT: AtomicUsize = AtomicUsize::new(0);

struct Kept {
    request: Request,
    what: What,
    since: Instant,
    _one: One,
}

enum What {
    /// The daemon's answer.
    Entry(Box<dyn Any>),
    /// There was none, and the table of any age has one, which didn't fit.
    Outage(Failure),
}

/// One in [`ALL_KEPT`].
struct One;

impl One {
    fn new() -> Self {
        ALL_KEPT.fetch_add(1, Ordering::Relaxed);
        Self
    }
}

impl Drop for One {
    fn drop(&mut self) {
        ALL_KEPT.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Puts a request to this host's daemon.
pub(crate) fn host(request: &Request, wait: Wait<'_>) -> Response {
    Client::Host.look_up(request, wait)
}

/// An entry point that looks one entry up.
#[inline]
pub(crate) fn call<R: Record>(errno: &Errno, asked: Asked<'_>, mut target: Target<R::C>) -> c_int {
    let glance = guest::glance(|| glance::<R>(asked, &mut target, &shared::HOST));
    entry::enter_after(glance, errno, || lookup::<R>(asked, &mut target, &shared::HOST, host))
}

/// What can be answered at once.
#[inline]
pub(crate) fn glance<R: Record>(
    asked: Asked<'_>,
    target: &mut Target<R::C>,
    table: &Shared,
) -> Option<Result<(), Failure>> {
    if !R::IN_TABLE || !asked.may_be_there() {
        return None;
    }
    let outcome = table.glance(|view| table::find::<R>(&view, asked, target))??;
    let_go();
    Some(outcome)
}

/// Looks one entry up.
pub(crate) fn lookup<R: Record>(
    asked: Asked<'_>,
    target: &mut Target<R::C>,
    table: &Shared,
    ask: impl FnOnce(&Request, Wait<'_>) -> Response,
) -> Result<(), Failure> {
    let request = R::request(asked)?;
    if R::IN_TABLE
        && let Some(outcome) =
            table.with_fresh(|view| table::find::<R>(&view, asked, target)).flatten()
    {
        let_go();
        return outcome;
    }
    let (failure, since) = match take(&request) {
        Some((Ok(entry), since)) => return give::<R>(request, entry, since, target),
        Some((Err(failure), since)) => (failure, since),
        None => {
            let deadline = Deadline::after(deadline::LOOKUP);
            let heart = table.heart();
            let mut can_do_without = || {
                let knew = |view: View<'_>| {
                    let is_over = heart == Heart::Unknown && view.had_everything();
                    is_over || table::find::<R>(&view, asked, target).is_some()
                };
                R::IN_TABLE && table.of_any_age(knew).unwrap_or(false)
            };
            let wait = Wait { deadline, heart, can_do_without: &mut can_do_without };
            let response = ask(&request, wait);
            let since = Instant::now();
            if !status::is_nobody(&response) {
                return give::<R>(request, R::one(response)?, since, target);
            }
            (status::failure(&response), since)
        }
    };
    if !R::IN_TABLE {
        return Err(failure);
    }
    match table.of_any_age(|view| table::find::<R>(&view, asked, target)).flatten() {
        Some(Err(Failure::ShortBuffer)) => {
            keep(request, What::Outage(failure), since);
            Err(Failure::ShortBuffer)
        }
        outcome => outcome.unwrap_or(Err(failure)),
    }
}

/// Gives an answer of the daemon, or keeps it.
fn give<R: Record>(
    request: Request,
    entry: R,
    since: Instant,
    target: &mut Target<R::C>,
) -> Result<(), Failure> {
    target.fill(|buffer| entry.to_c(buffer)).map_err(|Short| {
        keep(request, What::Entry(Box::new(entry)), since);
        Failure::ShortBuffer
    })
}

fn keep(request: Request, what: What, since: Instant) {
    let kept = Kept { request, what, since, _one: One::new() };
    // A thread that is ending has no place to keep it; it will ask again.
    let _ = KEPT.try_with(|slot| slot.set(Some(kept)));
}

/// Takes what is kept, if it answers this request: the entry, or why there is none.
/// Whatever it is, it is let go.
fn take<R: Record>(request: &Request) -> Option<(Result<R, Failure>, Instant)> {
    if ALL_KEPT.load(Ordering::Relaxed) == 0 {
        return None;
    }
    let kept = KEPT.try_with(Cell::take).ok()??;
    if !is_same(&kept.request, request) || kept.since.elapsed() >= PATIENCE {
        return None;
    }
    let answer = match kept.what {
        What::Entry(entry) => Ok(*entry.downcast().ok()?),
        What::Outage(failure) => Err(failure),
    };
    Some((answer, kept.since))
}

/// Lets go of what is kept.
#[inline]
fn let_go() {
    if ALL_KEPT.load(Ordering::Relaxed) != 0 {
        let _ = KEPT.try_with(Cell::take);
    }
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

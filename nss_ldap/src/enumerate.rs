//! Where a thread's enumeration stands.
//!
//! One batch of entries is held at a time, so an enumeration takes the same
//! memory however many entries there are.

use std::cell::Cell;
use std::vec;

use common::deadline::{self, Deadline};
use common::protocol::{Cursor, Request, Response};

use crate::answer::Record;
use crate::buffer::{Short, Target};
use crate::status::Failure;

/// An enumeration of one database.
pub(crate) struct Enumeration<R>(Cell<State<R>>);

enum State<R> {
    /// Nothing has been asked for yet.
    Start,
    /// The entries at hand, the current one first, and where the next ones are.
    Within(vec::IntoIter<R>, Option<Cursor>),
    /// It is over, or broken. It stays so until it is started anew: an
    /// enumeration that began again by itself would give entries twice.
    Over(Failure),
}

impl<R> Enumeration<R> {
    /// At the start.
    pub(crate) const fn new() -> Self {
        Self(Cell::new(State::Start))
    }
}

/// Goes back to the start. Asks for nothing: glibc does this to services that
/// are never enumerated then.
#[expect(clippy::unnecessary_wraps, reason = "the body of an entry point")]
pub(crate) fn reset<R: Record>() -> Result<(), Failure> {
    // A thread that is ending holds nothing any more.
    let _ = R::enumeration().try_with(|cell| cell.0.set(State::Start));
    Ok(())
}

/// Gives the current entry and goes on to the next one. An entry that doesn't
/// fit stays the current one.
pub(crate) fn next<R: Record>(
    target: Target<R::C>,
    ask: impl Fn(&Request, Deadline) -> Response,
) -> Result<(), Failure> {
    R::enumeration()
        .try_with(|Enumeration(cell)| {
            // If this panics the enumeration is broken, and says so.
            let mut state = cell.replace(State::Over(Failure::Unavailable));
            let outcome = step(&mut state, target, ask);
            cell.set(state);
            outcome
        })
        // The thread is ending, and its state is gone.
        .unwrap_or(Err(Failure::Unavailable))
}

fn step<R: Record>(
    state: &mut State<R>,
    target: Target<R::C>,
    ask: impl Fn(&Request, Deadline) -> Response,
) -> Result<(), Failure> {
    let deadline = Deadline::after(deadline::LOOKUP);
    loop {
        let cursor = match state {
            State::Over(why) => return Err(*why),
            State::Start => None,
            State::Within(entries, next) => {
                if let Some(entry) = entries.as_slice().first() {
                    target
                        .fill(|buffer| entry.to_c(buffer))
                        .map_err(|Short| Failure::ShortBuffer)?;
                    entries.next();
                    return Ok(());
                }
                if next.is_none() {
                    *state = State::Over(Failure::NotFound);
                    continue;
                }
                *next
            }
        };
        *state = if deadline.is_over() {
            // Batch after batch with nothing in it.
            State::Over(Failure::Unavailable)
        } else {
            match R::batch(ask(&Request::Enumerate(R::MAP, cursor), deadline)) {
                Ok(batch) => State::Within(batch.entries.into_iter(), batch.next),
                Err(failure) => State::Over(failure),
            }
        };
    }
}

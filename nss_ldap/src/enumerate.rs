//! Where a thread's enumeration stands.
//!
//! Where the table has everything, an enumeration walks through it: through a mapping
//! of its own, that of the file which was there at the beginning, so that each
//! entry comes once whatever file takes its place meanwhile. Nothing
//! expires on the way. Otherwise the daemon gives batches, of which one is held at a
//! time. Either way an enumeration takes the same memory however many entries there are.

use std::cell::Cell;
use std::vec;

use common::client::Wait;
use common::deadline::{self, Deadline};
use common::protocol::{Cursor, Request, Response};
use common::table::clock::Moment;
use common::table::map::Mapping;
use common::table::shared::Shared;
use common::table::{Now, Table};

use crate::answer::Record;
use crate::buffer::{Short, Target};
use crate::status::Failure;
use crate::table::Miss;

/// An enumeration of one database.
pub(crate) struct Enumeration<R>(Cell<State<R>>);

enum State<R> {
    /// Nothing has been asked for yet.
    Start,
    /// The entries at hand, the current one first, and where the next ones are.
    Within(vec::IntoIter<R>, Option<Cursor>),
    /// In the table.
    Walking(Walk),
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

/// A way through the table.
struct Walk {
    mapping: Mapping,
    /// The slot from which on the current entry is found.
    slot: usize,
    /// The moment in which the file's length was looked at.
    looked: Moment,
    /// How many entries were given since the pages behind were let go of.
    given: u32,
}

/// After so many entries the pages behind are let go of: half a megabyte of users.
const PAGES_WORTH: u32 = 4096;

impl Walk {
    /// At the beginning, if the table has everything.
    fn begin(table: &Shared) -> Option<Self> {
        let looked = Now::with_moment().1;
        Some(Self { mapping: table.complete()?, slot: 0, looked, given: 0 })
    }

    /// Gives the current entry, and goes on to the next one.
    fn step<R: Record>(&mut self, target: &mut Target<R::C>, table: &Shared) -> Result<(), Miss> {
        let moment = Now::with_moment().1;
        // A program may have done something else since the entry before.
        if moment != self.looked {
            if self.mapping.was_cut(table.path()) {
                return Err(Miss::Unknown);
            }
            self.looked = moment;
        }
        let view = self.mapping.table().and_then(Table::timeless).ok_or(Miss::Unknown)?;
        let mut next = self.slot;
        target.fill(|buffer| {
            let (entry, slot) = R::next(&view, self.slot, buffer)?;
            next = slot;
            Ok::<_, Miss>(entry)
        })?;
        self.slot = next;
        self.given += 1;
        if self.given == PAGES_WORTH {
            self.given = 0;
            self.mapping.let_go_of_pages();
        }
        Ok(())
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
    mut target: Target<R::C>,
    table: &Shared,
    ask: impl Fn(&Request, Wait<'_>) -> Response,
) -> Result<(), Failure> {
    R::enumeration()
        .try_with(|Enumeration(cell)| {
            // If this panics the enumeration is broken, and says so.
            let mut state = cell.replace(State::Over(Failure::Unavailable));
            let outcome = step(&mut state, &mut target, table, ask);
            cell.set(state);
            outcome
        })
        // The thread is ending, and its state is gone.
        .unwrap_or(Err(Failure::Unavailable))
}

fn step<R: Record>(
    state: &mut State<R>,
    target: &mut Target<R::C>,
    table: &Shared,
    ask: impl Fn(&Request, Wait<'_>) -> Response,
) -> Result<(), Failure> {
    let deadline = Deadline::after(deadline::LOOKUP);
    loop {
        let cursor = match state {
            State::Over(why) => return Err(*why),
            State::Start => {
                if R::IN_TABLE
                    && let Some(walk) = Walk::begin(table)
                {
                    *state = State::Walking(walk);
                    continue;
                }
                None
            }
            State::Walking(walk) => match walk.step::<R>(target, table) {
                Ok(()) => return Ok(()),
                Err(Miss::Short) => return Err(Failure::ShortBuffer),
                Err(Miss::NotFound) => {
                    *state = State::Over(Failure::NotFound);
                    continue;
                }
                Err(Miss::Unknown) => {
                    *state = State::Over(Failure::Unavailable);
                    continue;
                }
            },
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
            // No old table tells of everybody.
            let wait = Wait { deadline, heart: table.heart(), can_do_without: &mut || false };
            match R::batch(ask(&Request::Enumerate(R::MAP, cursor), wait)) {
                Ok(batch) => State::Within(batch.entries.into_iter(), batch.next),
                Err(failure) => State::Over(failure),
            }
        };
    }
}

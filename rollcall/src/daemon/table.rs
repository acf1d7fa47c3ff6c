//! The thread that owns the table.
//!
//! There is one writer of the table, and it has a thread of its own: building a
//! file, or a large change, takes milliseconds in which the thread of the
//! requests answers others. Work comes to it as closures, in a queue of bounded
//! length, and is done one by one, so each of them sees a table that nobody else
//! is changing.
//!
//! The requests read the table through its memory, as every other process does, and
//! don't ask this thread.
//!
//! | file | idea |
//! |---|---|
//! | `keeper.rs` | what the thread owns |
//! | `begin.rs` | how a table begins |
//! | `heart.rs` | what is looked after once a second |

mod begin;
mod heart;
mod keeper;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use common::table::Table;
use tokio::sync::{mpsc, oneshot};
use tracing::error;

pub(super) use heart::{no_later_than_now, wall};
pub(super) use keeper::{Files, Keeper};

use super::ffi;
use keeper::Shown;

/// How much work may wait. Who has more waits until there is room.
const QUEUE: usize = 256;

type Work = Box<dyn FnOnce(&mut Keeper) + Send>;

/// The way to the thread that owns the table. The thread ends when it is dropped.
#[derive(Debug)]
pub(super) struct TableThread {
    queue: mpsc::Sender<Work>,
    shown: Arc<Shown>,
}

impl TableThread {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system has no thread left.
    pub(super) fn start(mut keeper: Keeper) -> std::io::Result<Arc<Self>> {
        let (queue, mut work) = mpsc::channel::<Work>(QUEUE);
        let shown = Arc::clone(&keeper.shown);
        std::thread::Builder::new().name("table".into()).spawn(move || {
            while let Some(work) = work.blocking_recv() {
                if catch_unwind(AssertUnwindSafe(|| work(&mut keeper))).is_err() {
                    error!("an error in the code of the table, or of its file; it is made anew");
                    keeper.give_up();
                    keeper.show();
                }
            }
        })?;
        Ok(Arc::new(Self { queue, shown }))
    }

    /// Has work done, and waits for what comes of it. Once it is in the queue it is
    /// done even if nobody waits any more. `None`: the work failed (the log says why).
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Keeper) -> T + Send + 'static,
    ) -> Option<T> {
        let (answer, answered) = oneshot::channel();
        let work = Box::new(move |keeper: &mut Keeper| {
            let done = work(keeper);
            // Who waits for a change sees it as soon as it goes on.
            keeper.show();
            // Nobody may be waiting any more.
            let _ = answer.send(done);
        });
        self.queue.send(work).await.ok()?;
        answered.await.ok()
    }

    /// Has work done that can be left undone when there is too much.
    pub(super) fn try_run(&self, work: impl FnOnce(&mut Keeper) + Send + 'static) {
        let work = Box::new(move |keeper: &mut Keeper| {
            work(keeper);
            keeper.show();
        });
        // It is full, or there is no thread any more.
        let _ = self.queue.try_send(work);
    }

    /// Reads the table as it is now, if there is one.
    pub(super) fn with<T>(&self, read: impl FnOnce(Table<'_>) -> Option<T>) -> Option<T> {
        let memory = self.shown.memory()?;
        let answer = read(Table::new(memory.words())?);
        // Zeros in the place of what was cut off look like "no such entry". The page in
        // which a file was cut can be read on; the last one can't.
        let _ = memory.words().last().map(|word| word.load(Ordering::Relaxed));
        if ffi::was_cut(memory.words()) { None } else { answer }
    }

    /// How many keys lead somewhere.
    pub(super) fn keys(&self) -> u64 {
        self.shown.keys()
    }

    /// Whether an answer is worth being kept shows by this number: it must be the same
    /// when the question is put and when the answer is kept.
    pub(super) fn epoch(&self) -> u64 {
        self.shown.epoch()
    }
}

#[cfg(test)]
mod tests;

//! Keeps a subscription from piling up in memory.
//!
//! ldap3 takes whatever comes and keeps it in a queue without a bound until somebody
//! asks for it. With a paged search that is a page at most, with a subscription everything
//! that a server tells while its reader is busy. So the guard counts what it lets
//! through of a subscription, the reader what it takes, and the guard reads on only when
//! there is room; the rest waits in the server.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// How many bytes of messages may wait for the reader. A message that has begun is let
/// through whatever its length.
const MOST: usize = 4 << 20;

/// What waits for the reader of a connection's subscription.
#[derive(Debug, Default)]
pub(super) struct Flow {
    waiting: Mutex<Waiting>,
    taken: Notify,
}

/// How long each waiting message is, and all of them together.
#[derive(Debug, Default)]
struct Waiting {
    lengths: VecDeque<usize>,
    bytes: usize,
}

impl Flow {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A message of this length was let through.
    pub(super) fn let_through(&self, length: usize) {
        let mut waiting = self.lock();
        waiting.lengths.push_back(length);
        waiting.bytes += length;
    }

    /// The reader took a message.
    pub(super) fn take(&self) {
        let mut waiting = self.lock();
        let length = waiting.lengths.pop_front().unwrap_or_default();
        waiting.bytes -= length;
        self.taken.notify_one();
    }

    /// Waits until there is room.
    pub(super) async fn room(&self) {
        loop {
            if self.lock().bytes < MOST {
                return;
            }
            self.taken.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn there_is_room_until_the_bytes_are_too_many_and_again_when_some_were_taken() {
        let flow = Flow::default();
        let second = std::time::Duration::from_secs(1);
        for _ in 0..2 {
            flow.room().await;
            flow.let_through(MOST / 2);
        }
        assert!(tokio::time::timeout(second, flow.room()).await.is_err());
        flow.take();
        flow.room().await;
    }

    #[test]
    fn more_taken_than_let_through_counts_as_nothing() {
        let flow = Flow::default();
        flow.take();
        assert_eq!(flow.lock().bytes, 0);
    }
}

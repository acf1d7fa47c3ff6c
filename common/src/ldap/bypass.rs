//! The way past ldap3, for searches that find a whole map: page by page, or as a subscription.
//!
//! ldap3 makes a tree of each message, with an allocation for each value, and keeps
//! whatever comes in a queue without a bound until somebody asks for it. So of such a
//! search it is shown the request and the result. What comes in between the guard
//! puts here, in the order in which it came, whole and checked; and it reads on only when
//! there is room, so the rest waits in the server.
//!
//! A connection has one reader at a time, and is used for nothing else that has
//! much to say. Without a reader nothing is kept, and nothing waits for room. What comes late of
//! a search that was given up is told from its successor's by the number of the request.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::message::Kind;

/// How many bytes of messages may wait for the reader. A message that has begun is taken
/// whatever its length.
const MOST: usize = 4 << 20;
/// What an allocation takes besides its bytes.
const ALLOCATION: usize = 16;

/// What waits for the reader of a connection.
#[derive(Debug, Default)]
pub(super) struct Bypass {
    waiting: Mutex<Waiting>,
    came: Notify,
    taken: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    messages: VecDeque<Message>,
    /// The bytes of all of them together.
    bytes: usize,
    /// How many readers there have been, and whether the last one is still there.
    readers: u64,
    is_read: bool,
}

/// A message that came.
#[derive(Debug)]
pub(super) struct Message {
    /// Which request it answers.
    pub(super) id: i32,
    pub(super) kind: Kind,
    /// All of it (RFC 4511 section 4.1.1).
    pub(super) bytes: Box<[u8]>,
}

impl Message {
    /// About how many bytes of memory it takes.
    fn cost(&self) -> usize {
        self.bytes.len() + size_of::<Self>() + ALLOCATION
    }
}

impl Bypass {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whoever is about to ask takes this first. It takes the place of an earlier one.
    pub(super) fn reader(self: &Arc<Self>) -> Reader {
        let mut waiting = self.lock();
        waiting.clear();
        waiting.readers += 1;
        waiting.is_read = true;
        self.taken.notify_one();
        Reader { bypass: Arc::clone(self), number: waiting.readers }
    }

    /// Takes a message that came.
    pub(super) fn put(&self, id: i32, kind: Kind, message: &[u8]) {
        let mut waiting = self.lock();
        if waiting.is_read {
            let message = Message { id, kind, bytes: message.into() };
            waiting.bytes += message.cost();
            waiting.messages.push_back(message);
            drop(waiting);
            self.came.notify_one();
        }
    }

    /// Whether something waits until the reader has taken some, so that nothing else is heard either.
    pub(super) fn is_full(&self) -> bool {
        self.lock().bytes >= MOST
    }

    /// Waits until there is room for more.
    pub(super) async fn room(&self) {
        loop {
            if !self.is_full() {
                return;
            }
            self.taken.notified().await;
        }
    }
}

impl Waiting {
    fn clear(&mut self) {
        self.messages.clear();
        self.bytes = 0;
    }
}

/// Who reads. Dropped: nobody does.
#[derive(Debug)]
pub(super) struct Reader {
    bypass: Arc<Bypass>,
    number: u64,
}

impl Reader {
    /// The next message that answers one of these requests, if it has come.
    pub(super) fn take(&self, ids: [i32; 2]) -> Option<Message> {
        let mut waiting = self.bypass.lock();
        while waiting.readers == self.number
            && let Some(message) = waiting.messages.pop_front()
        {
            let was_full = waiting.bytes >= MOST;
            waiting.bytes -= message.cost();
            if was_full {
                self.bypass.taken.notify_one();
            }
            if ids.contains(&message.id) {
                return Some(message);
            }
        }
        None
    }

    /// Waits until something may have come since the last [`Reader::take`]. Cancel safe.
    pub(super) async fn came(&self) {
        self.bypass.came.notified().await;
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut waiting = self.bypass.lock();
        if waiting.readers == self.number {
            waiting.clear();
            waiting.is_read = false;
            self.bypass.taken.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn put(bypass: &Bypass, id: i32, length: usize) {
        bypass.put(id, Kind::SearchEntry, &vec![0; length]);
    }

    async fn has_room(bypass: &Bypass) -> bool {
        tokio::time::timeout(Duration::from_secs(1), bypass.room()).await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn there_is_room_until_the_bytes_are_too_many_and_again_when_some_were_taken() {
        let bypass = Arc::new(Bypass::default());
        let reader = bypass.reader();
        for _ in 0..2 {
            assert!(has_room(&bypass).await);
            put(&bypass, 1, MOST / 2);
        }
        assert!(!has_room(&bypass).await);
        reader.take([1; 2]).unwrap();
        assert!(has_room(&bypass).await);
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_reader_nothing_is_kept() {
        let bypass = Arc::new(Bypass::default());
        put(&bypass, 1, MOST);
        assert!(has_room(&bypass).await);
        let reader = bypass.reader();
        assert!(reader.take([1; 2]).is_none());
        put(&bypass, 1, MOST);
        assert!(!has_room(&bypass).await);
        drop(reader);
        assert!(has_room(&bypass).await, "nobody is going to take it");
    }

    #[test]
    fn a_reader_gets_the_answers_to_its_own_request_in_their_order() {
        let bypass = Arc::new(Bypass::default());
        let reader = bypass.reader();
        for (id, length) in [(1, 1), (2, 2), (1, 3), (2, 4)] {
            put(&bypass, id, length);
        }
        let next = || reader.take([2; 2]).map(|message| message.bytes.len());
        assert_eq!([next(), next(), next()], [Some(2), Some(4), None]);
        assert_eq!(bypass.lock().bytes, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_takes_the_place_of_an_earlier_one() {
        let bypass = Arc::new(Bypass::default());
        let first = bypass.reader();
        put(&bypass, 1, MOST);
        let waits = Arc::clone(&bypass);
        let waits = tokio::spawn(async move { waits.room().await });
        tokio::task::yield_now().await;
        assert!(!waits.is_finished());
        let second = bypass.reader();
        assert!(tokio::time::timeout(Duration::from_secs(1), waits).await.is_ok());
        assert!(second.take([1; 2]).is_none(), "it was for the first");
        drop(first);
        put(&bypass, 1, 1);
        assert!(second.take([1; 2]).is_some(), "the end of the first is not its end");
    }
}

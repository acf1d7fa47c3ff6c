//! Waiting for an event, never for a time.

use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long a test waits for what must happen, before it fails. Long, so that
/// a slow machine fails no test; nothing ever waits for it to pass.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Asks again and again until there is an answer; `None` when the time is over.
pub fn until<T>(limit: Duration, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + limit;
    loop {
        if let Some(answer) = ask() {
            return Some(answer);
        }
        if Instant::now() >= end {
            return None;
        }
        sleep(Duration::from_millis(5));
    }
}

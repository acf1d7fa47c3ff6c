//! Times without the cost of taking them.

use std::time::{Duration, Instant};

/// How long a measurement of repeated calls goes on.
const LONG_ENOUGH: Duration = Duration::from_millis(400);
/// How long the clock isn't read, so that its reading doesn't count.
const BATCH: Duration = Duration::from_micros(20);

/// What reading the clock adds to a measured time, in nanoseconds.
fn overhead() -> f64 {
    let times = (0..10_001).map(|_| nanoseconds(Instant::now().elapsed())).collect();
    quantile(times, 0.5)
}

fn nanoseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e9
}

/// The value below which this fraction of them lies.
pub(super) fn quantile(mut values: Vec<f64>, fraction: f64) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let last = values.len().checked_sub(1).expect("something was measured");
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a valid index")]
    #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52")]
    let index = (fraction * last as f64).round() as usize;
    values[index]
}

/// The time of each of them alone, in nanoseconds.
pub(super) fn each<T>(keys: &[T], mut call: impl FnMut(&T)) -> Vec<f64> {
    let overhead = overhead();
    let mut times = Vec::with_capacity(keys.len());
    for key in keys {
        let started = Instant::now();
        call(key);
        times.push(started.elapsed());
    }
    times.into_iter().map(|time| (nanoseconds(time) - overhead).max(0.0)).collect()
}

/// The median time of one of them in nanoseconds, when they are called again
/// and again: the clock is read so rarely that it doesn't count.
pub(super) fn again<T>(keys: &[T], mut call: impl FnMut(&T)) -> f64 {
    let started = Instant::now();
    keys.iter().for_each(&mut call);
    let one = started.elapsed() / u32::try_from(keys.len()).expect("not that many");
    let batch = BATCH.as_nanos() / one.as_nanos().max(1);
    let batch = usize::try_from(batch).unwrap_or(1).clamp(1, keys.len());
    let mut times = Vec::new();
    let end = Instant::now() + LONG_ENOUGH;
    while Instant::now() < end {
        for keys in keys.chunks_exact(batch) {
            let started = Instant::now();
            keys.iter().for_each(&mut call);
            #[expect(clippy::cast_precision_loss, reason = "a batch is small")]
            times.push(nanoseconds(started.elapsed()) / batch as f64);
            if Instant::now() > end && times.len() > 2 {
                break;
            }
        }
    }
    quantile(times, 0.5)
}

//! The lines that are printed.

use std::time::Duration;

/// The line above the others.
pub(crate) fn heading() {
    println!("{:<68} {:>10} {:>10} {:>6}  aim", "what", "ours", "theirs", "ratio");
}

/// One comparison of medians. Without an aim it is there for information.
pub(crate) fn line(what: &str, ours: Option<Duration>, theirs: Option<Duration>, aim: Option<f64>) {
    let aim = aim.map_or_else(|| "-".into(), |aim| format!("<= {aim:.1}"));
    let (Some(ours), Some(theirs)) = (ours, theirs) else {
        return missing(what, "not measured");
    };
    let ratio = ours.as_secs_f64() / theirs.as_secs_f64();
    println!("{what:<68} {:>10} {:>10} {ratio:>6.2}  {aim}", micros(ours), micros(theirs));
}

/// A comparison that could not be made.
pub(crate) fn missing(what: &str, why: &str) {
    println!("{what:<68} {why}");
}

fn micros(time: Duration) -> String {
    format!("{:.1} us", time.as_secs_f64() * 1e6)
}

//! Numbers that nobody can guess.

use rustix::rand::{GetRandomFlags, getrandom};

/// A number that names something its owner alone may use (`getrandom(2)`).
pub(crate) fn token() -> u64 {
    let mut bytes = [0; 8];
    // 8 bytes are never cut short, and fail only on a kernel without the call.
    match getrandom(&mut bytes, GetRandomFlags::empty()) {
        Ok(8) => u64::from_ne_bytes(bytes),
        _ => std::process::abort(),
    }
}

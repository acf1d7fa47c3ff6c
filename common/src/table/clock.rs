//! The time that freshness is counted in.
//!
//! Seconds since the machine was started, from `CLOCK_MONOTONIC_COARSE`: reading it
//! is no system call, takes a few nanoseconds, and no `date(1)` sets it back.

/// A time, in seconds since the machine was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Now(pub u32);

impl Now {
    /// The time that it is.
    pub fn read() -> Self {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: `time` can be written; glibc and the kernel know this clock since
        // Linux 2.6.32. Where it fails it writes nothing, and 0 is "long ago".
        unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC_COARSE, &raw mut time) };
        // 136 years after its start a machine would count from 0 again.
        Self(u32::try_from(time.tv_sec).unwrap_or(u32::MAX))
    }
}

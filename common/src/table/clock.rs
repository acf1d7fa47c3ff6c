//! The time that freshness is counted in.
//!
//! Seconds since the machine was started, from `CLOCK_MONOTONIC_COARSE`: reading it
//! is no system call, takes a few nanoseconds, and no `date(1)` sets it back. It stands
//! still while the machine is suspended: what was fresh before is as fresh afterwards,
//! until the daemon doubts it. The clock that goes on is a system call.

/// A time, in seconds since the machine was started, without those of suspension.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Now(pub u32);

/// A moment: a 64th of a second. Counts on from 2^32 at 0, so of two moments nobody can
/// tell which one is the later; they are the same or they aren't.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment(pub u32);

impl Now {
    /// The time that it is.
    pub fn read() -> Self {
        Self::with_moment().0
    }

    /// The time that it is, and the moment in it.
    pub fn with_moment() -> (Self, Moment) {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: `time` can be written; glibc and the kernel know this clock since
        // Linux 2.6.32. Where it fails it writes nothing, and 0 is "long ago".
        unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC_COARSE, &raw mut time) };
        // 136 years after its start a machine would count from 0 again.
        let seconds = u32::try_from(time.tv_sec).unwrap_or(u32::MAX);
        // 2^24 ns are a 60th of a second: nearly all of the 64 numbers are used.
        let part = u32::try_from(time.tv_nsec >> 24).unwrap_or(0);
        (Self(seconds), Moment(seconds.wrapping_shl(6) | part))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_goes_on() {
        let (now, moment) = Now::with_moment();
        assert!(now > Now(0) && Now::read() >= now);
        while Now::with_moment().1 == moment {
            std::hint::spin_loop();
        }
    }
}

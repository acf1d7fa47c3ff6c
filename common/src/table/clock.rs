//! The time that freshness is counted in.
//!
//! Seconds since the machine was started, from `CLOCK_MONOTONIC_COARSE`: reading it
//! is no system call, takes a few nanoseconds, and no `date(1)` sets it back.

/// A time, in seconds since the machine was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Now(pub u32);

/// A moment: a 64th of a second. Counts on from 2^32 at 0.
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

impl Moment {
    /// Whether this moment lies behind the other one.
    pub fn is_after(self, other: Self) -> bool {
        let ahead = self.0.wrapping_sub(other.0);
        ahead != 0 && ahead <= u32::MAX / 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_goes_on() {
        let (now, moment) = Now::with_moment();
        assert!(now > Now(0) && Now::read() >= now);
        while !Now::with_moment().1.is_after(moment) {
            std::hint::spin_loop();
        }
    }

    #[test]
    fn moments_are_in_order_where_they_count_from_0_again() {
        assert!(Moment(0).is_after(Moment(u32::MAX)));
        assert!(!Moment(u32::MAX).is_after(Moment(0)));
        assert!(!Moment(7).is_after(Moment(7)));
    }
}

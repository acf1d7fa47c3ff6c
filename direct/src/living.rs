//! Which of our threads still exist, to the kernel.
//!
//! A thread that has run its last instruction is still one of the process's:
//! glibc lists it, `setuid(2)` reaches it, and `unshare(2)` counts it, for some
//! microseconds after `pthread_join(3)` as well. So the kernel is asked. Joining
//! wouldn't do for another reason: it has no time limit, and only one can join.

/// Our threads: those that were asked for, and those that have begun.
#[derive(Default)]
pub(crate) struct Living {
    expected: usize,
    begun: Vec<Thread>,
}

/// A thread's place in the kernel's list. Its process is noted with it, because
/// a child of `vfork(2)` shares this memory and is another process.
struct Thread {
    process: libc::pid_t,
    number: libc::pid_t,
}

impl Living {
    /// A thread is about to be started.
    pub(crate) fn expect(&mut self) {
        self.expected += 1;
    }

    /// It couldn't be started.
    pub(crate) fn expect_no_longer(&mut self) {
        self.expected = self.expected.saturating_sub(1);
    }

    /// The calling thread is the one that was expected.
    pub(crate) fn as_expected(&mut self) {
        self.expect_no_longer();
        self.add_this();
    }

    /// Adds the calling thread.
    pub(crate) fn add_this(&mut self) {
        self.forget_the_dead();
        self.begun.push(Thread::this());
    }

    /// Whether there is any.
    pub(crate) fn any(&mut self) -> bool {
        self.forget_the_dead();
        self.expected > 0 || !self.begun.is_empty()
    }

    fn forget_the_dead(&mut self) {
        self.begun.retain(Thread::exists);
    }
}

impl Thread {
    fn this() -> Self {
        // SAFETY: it has no arguments and can't fail.
        let process = unsafe { libc::getpid() };
        // SAFETY: as above.
        let number = unsafe { libc::gettid() };
        Self { process, number }
    }

    fn exists(&self) -> bool {
        // SAFETY: signal 0 is none; it is only looked whether it could be sent (tgkill(2)).
        unsafe { libc::syscall(libc::SYS_tgkill, self.process, self.number, 0) == 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_lives_until_the_kernel_has_forgotten_it() {
        let mut living = Living::default();
        living.expect();
        assert!(living.any());
        std::thread::scope(|scope| {
            scope.spawn(|| {
                living.as_expected();
                assert!(living.any());
            });
        });
        while living.any() {
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_thread_that_could_not_be_started_does_not_live() {
        let mut living = Living::default();
        living.expect();
        living.expect_no_longer();
        assert!(!living.any());
    }
}

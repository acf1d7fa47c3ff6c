//! Runs a command and says on standard error, as its last line, how much
//! memory it held at most: `peak: 1234 KiB`.
//!
//! A process of its own, since what a test process held itself counts for the
//! processes that it starts (`getrusage(2)`, `ru_maxrss`).

use std::mem::MaybeUninit;
use std::process::{Command, ExitCode};

fn main() -> ExitCode {
    let mut words = std::env::args_os().skip(1);
    let program = words.next().expect("the command's name");
    let status = Command::new(program).args(words).status().expect("the command can be started");
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: there is room for the struct.
    let done = unsafe { libc::getrusage(libc::RUSAGE_CHILDREN, usage.as_mut_ptr()) };
    assert_eq!(done, 0, "getrusage(2) fails only for wrong arguments");
    // SAFETY: the kernel filled it in; zeros would be a valid struct, too.
    let usage = unsafe { usage.assume_init() };
    eprintln!("peak: {} KiB", usage.ru_maxrss);
    status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, Into::into)
}

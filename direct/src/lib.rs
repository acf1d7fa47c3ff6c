//! `direct.so`: the directory in the calling process, for hosts with no daemon.
//!
//! One C function answers the same requests as the daemon, with the same code
//! (`common::handle`). All that is in this crate is what keeps that code from
//! disturbing the process it is loaded into; `worker.rs` says how and why.
//!
//! | file | idea |
//! |---|---|
//! | `lib.rs` | the C function |
//! | `job.rs` | a request on its way, and where its answer is waited for |
//! | `worker.rs` | the threads: why there are two, when they start and end |
//! | `living.rs` | which threads of ours still exist |
//! | `outages.rs` | what is remembered where no thread may stay |
//! | `process.rs` | one worker per process, also after a fork |
//! | `rights.rs` | whether the host is privileged |
//! | `descriptors.rs` | a descriptor table of our own |
//! | `signals.rs` | threads that no signal of the host's reaches |
//! | `runtime.rs` | the second thread: the async runtime |
//! | `services.rs` | configurations and their connections, kept between requests |

#![deny(unsafe_code)]

#[allow(unsafe_code)] // FFI: close_range, pipe
mod descriptors;
mod job;
#[allow(unsafe_code)] // FFI: tgkill
mod living;
mod outages;
#[allow(unsafe_code)] // FFI: mmap, madvise
mod process;
#[allow(unsafe_code)] // FFI: geteuid, capget
mod rights;
mod runtime;
mod services;
#[allow(unsafe_code)] // FFI: pthread_sigmask
mod signals;
mod worker;

use std::ffi::{CStr, OsStr, c_char, c_void};
use std::os::unix::ffi::OsStrExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::Duration;

use common::deadline::Deadline;
use common::direct::{Handle, Reply};
use common::frame::{MAX_REQUEST, REQUEST_HEADER, RESPONSE_HEADER, request_header};
use common::handle::Peer;
use common::protocol::{Response, Unavailable};

/// The function is what the modules take it for.
const _: Handle = rollcall_direct_handle_3;

/// What the function returns when it can't be used.
const FAILED: i32 = 1;

/// Answers one request; see [`Handle`] for what the arguments mean.
///
/// It may be called by any thread of any process, also after a fork. It waits
/// no longer than the frame says is left. It returns 0 after calling `reply`
/// once, and 1 without calling it if the frame can't be read.
///
/// # Safety
/// `request` points to `request_length` readable bytes, `config` to a
/// NUL-terminated path, and `reply` may be called with `context`.
#[unsafe(no_mangle)]
#[allow(unsafe_code)] // FFI: the entry point
pub unsafe extern "C" fn rollcall_direct_handle_3(
    request: *const u8,
    request_length: usize,
    config: *const c_char,
    reply: Reply,
    context: *mut c_void,
) -> i32 {
    if request.is_null() || config.is_null() || request_length > REQUEST_HEADER + MAX_REQUEST {
        return FAILED;
    }
    // SAFETY: the caller promises this many readable bytes, for the time of this call.
    let frame = unsafe { std::slice::from_raw_parts(request, request_length) };
    // SAFETY: the caller promises a NUL-terminated path, for the time of this call.
    let config = unsafe { CStr::from_ptr(config) };
    let answer = catch_unwind(AssertUnwindSafe(|| {
        answer(frame, Path::new(OsStr::from_bytes(config.to_bytes())))
    }));
    let Ok(Some(answer)) = answer else { return FAILED };
    let payload = answer.get(RESPONSE_HEADER..).unwrap_or_default();
    // SAFETY: the caller promises that `reply` may be called with `context`;
    // the payload lives until it returns.
    unsafe { reply(context, payload.as_ptr(), payload.len()) };
    0
}

/// The frame of the response; `None` if the request's frame can't be read.
/// This is all of our code that a thread of the host's ever runs: it must not
/// panic (the message would go to the host's stderr), and it opens nothing.
fn answer(frame: &[u8], config: &Path) -> Option<Vec<u8>> {
    let (header, payload) = frame.split_first_chunk::<REQUEST_HEADER>()?;
    let (length, ms_left) = request_header(header).ok()?;
    if length != payload.len() {
        return None;
    }
    if ms_left == 0 {
        return job::encode(&Response::Unavailable(Unavailable::TimedOut));
    }
    let deadline = Deadline::after(Duration::from_millis(ms_left.into()));
    let Some(worker) = process::worker() else {
        let why = Unavailable::Directory("no memory for a worker".into());
        return job::encode(&Response::Unavailable(why));
    };
    let privileged = rights::are_privileged();
    if privileged && let Some(why) = worker.outages.known(config) {
        return job::encode(&Response::Unavailable(why));
    }
    let (job, pending) = job::new(payload, config, Peer { uid: rights::euid() }, deadline);
    worker.submit(job, privileged);
    let until = pending.until();
    let answer = pending.wait();
    worker.see_off(until);
    answer
}

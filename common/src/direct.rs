//! Loads `direct.so`, for hosts with no daemon.
//!
//! Only the modules' side is here: finding the library and calling its one
//! function. What keeps LDAP code from disturbing the process it is loaded into
//! is in the crate `direct`.

use std::ffi::{CStr, CString, OsStr, c_char, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicPtr, Ordering};

use crate::deadline::Deadline;
use crate::frame::{self, REQUEST_HEADER};
use crate::protocol::{Request, Response, Unavailable};

/// The function's name in `direct.so`. It changes with the protocol's version,
/// so that a module never calls a library of another version.
pub const SYMBOL: &CStr = c"rollcall_direct_handle_1";

/// Takes the bytes of a response; called at most once, before [`Handle`] returns.
pub type Reply = unsafe extern "C" fn(context: *mut c_void, response: *const u8, length: usize);

/// `direct.so`'s function. Takes a request frame ([`frame::encode_request`])
/// and the path of the configuration, hands a response's payload to `reply` and
/// returns 0; returns non-zero, and doesn't call `reply`, if it can't be used at all.
pub type Handle = unsafe extern "C" fn(
    request: *const u8,
    request_length: usize,
    config: *const c_char,
    reply: Reply,
    context: *mut c_void,
) -> i32;

/// The function, once found. Never unloaded, so it stays valid.
static HANDLE: AtomicPtr<c_void> = AtomicPtr::new(std::ptr::null_mut());

/// Puts a request to `direct.so` with this configuration.
///
/// # Errors
/// [`Unavailable::NoDaemon`] when it isn't installed.
pub fn ask(config: &str, request: &Request, deadline: Deadline) -> Result<Response, Unavailable> {
    let handle = find().ok_or(Unavailable::NoDaemon)?;
    let broken = |what: &str| Unavailable::Daemon(format!("direct.so: {what}"));
    let config = CString::new(config).map_err(|_| broken("bad path of the configuration"))?;
    let frame = frame::encode_request(request, deadline.remaining_ms())
        .map_err(|e| broken(&e.to_string()))?;
    debug_assert!(frame.len() >= REQUEST_HEADER);
    let mut response: Option<Vec<u8>> = None;
    // SAFETY: `handle` is `direct.so`'s function of this type (its name carries
    // the version); frame, config and response live until it returns, and
    // `take` gets back the pointer to `response` that is passed here.
    let code = unsafe {
        handle(frame.as_ptr(), frame.len(), config.as_ptr(), take, (&raw mut response).cast())
    };
    match response {
        Some(payload) if code == 0 => frame::decode(&payload).map_err(|e| broken(&e.to_string())),
        _ => Err(broken("it failed; see the log")),
    }
}

/// The [`Reply`] of [`ask`].
unsafe extern "C" fn take(context: *mut c_void, response: *const u8, length: usize) {
    if context.is_null() || response.is_null() || length > frame::MAX_RESPONSE {
        return;
    }
    // SAFETY: `direct.so` passes on the context that `ask` gave it, which
    // points to its local `response`.
    let slot = unsafe { &mut *context.cast::<Option<Vec<u8>>>() };
    // SAFETY: `direct.so` gives `length` readable bytes.
    let bytes = unsafe { std::slice::from_raw_parts(response, length) };
    *slot = Some(bytes.to_vec());
}

fn find() -> Option<Handle> {
    let mut symbol = HANDLE.load(Ordering::Acquire);
    if symbol.is_null() {
        symbol = candidates()?.iter().find_map(|path| open(path))?;
        HANDLE.store(symbol, Ordering::Release);
    }
    // SAFETY: the symbol of this name in direct.so is a function of this type.
    Some(unsafe { std::mem::transmute::<*mut c_void, Handle>(symbol) })
}

fn open(path: &Path) -> Option<*mut c_void> {
    // dlopen of a missing file writes an error text that a later dlerror() of
    // the host would see; looking first avoids it.
    if !path.exists() {
        return None;
    }
    let path = CString::new(path.as_os_str().as_bytes()).ok()?;
    let flags = libc::RTLD_NOW | libc::RTLD_LOCAL | libc::RTLD_NODELETE;
    // SAFETY: the path is NUL-terminated; loading it runs only Rust's own
    // initializers, and it is never unloaded.
    let library = unsafe { libc::dlopen(path.as_ptr(), flags) };
    if library.is_null() {
        return None;
    }
    // SAFETY: the library is open and the name NUL-terminated.
    let symbol = unsafe { libc::dlsym(library, SYMBOL.as_ptr()) };
    (!symbol.is_null()).then_some(symbol)
}

/// Where `direct.so` may lie, seen from the module that this code is linked
/// into. Its folder is as trusted as the module itself; no environment variable
/// has a say.
fn candidates() -> Option<[PathBuf; 3]> {
    // SAFETY: Dl_info is plain data that dladdr fills.
    let mut info: libc::Dl_info = unsafe { std::mem::zeroed() };
    // SAFETY: the address is one of this library; dladdr only reads it.
    let found = unsafe { libc::dladdr((&raw const HANDLE).cast(), &raw mut info) };
    if found == 0 || info.dli_fname.is_null() {
        return None;
    }
    // SAFETY: dladdr gave a NUL-terminated path that lives as long as this library.
    let module = unsafe { CStr::from_ptr(info.dli_fname) };
    let folder = Path::new(OsStr::from_bytes(module.to_bytes())).parent()?;
    if !folder.is_absolute() {
        return None;
    }
    Some(["direct.so", "rollcall/direct.so", "../rollcall/direct.so"].map(|name| folder.join(name)))
}

//! Loads `direct.so`, for hosts with no daemon.
//!
//! Only the modules' side is here: finding the library and calling its one
//! function. What keeps LDAP code from disturbing the process it is loaded into
//! is in the crate `direct`.
//!
//! It is looked for late, when a daemon doesn't answer, and by its path. A
//! program of root's may have gone into a container by then (`chroot(2)`,
//! `setns(2)`), where somebody else decides what lies under that path (Docker's
//! CVE-2019-14271). So it is loaded only under the root folder that the module
//! was called under first, and only as a file that nobody but root, or the owner
//! of the module, can write to.

use std::ffi::{CStr, CString, OsStr, c_char, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

use rustix::fs::{FileType, Mode, Stat, stat};

use crate::deadline::Deadline;
use crate::frame::{self, REQUEST_HEADER};
use crate::protocol::{Request, Response, Unavailable};

/// The function's name in `direct.so`. It changes with the protocol's version,
/// so that a module never calls a library of another version.
pub const SYMBOL: &CStr = c"rollcall_direct_handle_3";

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

/// The root folder under which this code was called first: its device and,
/// written after it, its inode; 0 until then.
static ROOT: (AtomicU64, AtomicU64) = (AtomicU64::new(0), AtomicU64::new(0));

/// Notes the root folder, at the first call of this code.
pub(crate) fn remember_root() {
    if ROOT.1.load(Ordering::Acquire) == 0
        && let Ok(root) = stat("/")
    {
        ROOT.0.store(root.st_dev, Ordering::Relaxed);
        ROOT.1.store(root.st_ino, Ordering::Release);
    }
}

/// Whether the root folder is still the one of the first call.
pub(crate) fn is_same_root() -> bool {
    remember_root();
    let inode = ROOT.1.load(Ordering::Acquire);
    stat("/").is_ok_and(|root| {
        (root.st_dev, root.st_ino) == (ROOT.0.load(Ordering::Relaxed), inode) && inode != 0
    })
}

/// Puts a request to `direct.so` with this configuration.
///
/// # Errors
/// [`Unavailable::NoDaemon`] when it isn't installed.
pub fn ask(config: &str, request: &Request, deadline: Deadline) -> Result<Response, Unavailable> {
    let handle = find().ok_or(Unavailable::NoDaemon)?;
    let broken = |what: &str| Unavailable::Protocol(format!("direct.so: {what}"));
    let config = CString::new(config).map_err(|_| broken("bad path of the configuration"))?;
    let frame = frame::encode_request(request, deadline.remaining_ms())
        .map_err(|e| broken(&e.to_string()))?;
    debug_assert!(frame.len() >= REQUEST_HEADER);
    let mut taken = Taken { max: frame::max_response(request), payload: None };
    // SAFETY: `handle` is `direct.so`'s function of this type (its name carries
    // the version); frame, config and `taken` live until it returns, and
    // `take` gets back the pointer to `taken` that is passed here.
    let code = unsafe {
        handle(frame.as_ptr(), frame.len(), config.as_ptr(), take, (&raw mut taken).cast())
    };
    match taken.payload {
        Some(payload) if code == 0 => frame::decode(&payload).map_err(|e| broken(&e.to_string())),
        _ => Err(broken("it failed; see the log")),
    }
}

/// Where the payload of a response goes, and how long it may be.
struct Taken {
    max: usize,
    payload: Option<Vec<u8>>,
}

/// The [`Reply`] of [`ask`]. An answer that is too long, or for which there is
/// no memory, isn't taken.
unsafe extern "C" fn take(context: *mut c_void, response: *const u8, length: usize) {
    if context.is_null() || response.is_null() {
        return;
    }
    // SAFETY: `direct.so` passes on the context that `ask` gave it, which
    // points to its local `taken`.
    let taken = unsafe { &mut *context.cast::<Taken>() };
    let mut payload = Vec::new();
    if length > taken.max || payload.try_reserve_exact(length).is_err() {
        return;
    }
    // SAFETY: `direct.so` gives `length` readable bytes.
    let bytes = unsafe { std::slice::from_raw_parts(response, length) };
    payload.extend_from_slice(bytes);
    taken.payload = Some(payload);
}

fn find() -> Option<Handle> {
    let mut symbol = HANDLE.load(Ordering::Acquire);
    if symbol.is_null() {
        if !is_same_root() {
            return None;
        }
        let module = module()?;
        let owner = stat(module).ok()?.st_uid;
        symbol = candidates(module)?.iter().find_map(|path| open(path, owner))?;
        HANDLE.store(symbol, Ordering::Release);
    }
    // SAFETY: the symbol of this name in direct.so is a function of this type.
    Some(unsafe { std::mem::transmute::<*mut c_void, Handle>(symbol) })
}

fn open(path: &Path, owner: u32) -> Option<*mut c_void> {
    // dlopen of a missing file writes an error text that a later dlerror() of
    // the host would see; looking first avoids it.
    if !is_trusted(&stat(path).ok()?, owner) {
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

/// Whether nobody but root and the module's owner can have written this file.
fn is_trusted(file: &Stat, owner: u32) -> bool {
    FileType::from_raw_mode(file.st_mode).is_file()
        && [0, owner].contains(&file.st_uid)
        && !Mode::from_raw_mode(file.st_mode).intersects(Mode::WGRP | Mode::WOTH)
}

/// The module that this code is linked into.
fn module() -> Option<&'static Path> {
    // SAFETY: Dl_info is plain data that dladdr fills.
    let mut info: libc::Dl_info = unsafe { std::mem::zeroed() };
    // SAFETY: the address is one of this library; dladdr only reads it.
    let found = unsafe { libc::dladdr((&raw const HANDLE).cast(), &raw mut info) };
    if found == 0 || info.dli_fname.is_null() {
        return None;
    }
    // SAFETY: dladdr gave a NUL-terminated path that lives as long as this library.
    let module = unsafe { CStr::from_ptr(info.dli_fname) };
    Some(Path::new(OsStr::from_bytes(module.to_bytes()))).filter(|path| path.is_absolute())
}

/// Where `direct.so` may lie, seen from the module. Its folder is as trusted as
/// the module itself; no environment variable has a say.
fn candidates(module: &Path) -> Option<[PathBuf; 3]> {
    let folder = module.parent()?;
    Some(["direct.so", "rollcall/direct.so", "../rollcall/direct.so"].map(|name| folder.join(name)))
}

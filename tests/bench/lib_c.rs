//! libc, as a C program calls it.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::mem::MaybeUninit;
use std::ptr;

/// Whether `getpwnam_r(3)` knows this user.
pub(crate) fn getpwnam(user: &str) -> bool {
    let user = CString::new(user).expect("a name has no NUL");
    let mut entry = MaybeUninit::<libc::passwd>::uninit();
    let mut buffer = [0; 4096];
    let mut found = ptr::null_mut();
    // SAFETY: a string, a struct, a buffer of this length and a place for the result.
    let code = unsafe {
        libc::getpwnam_r(
            user.as_ptr(),
            entry.as_mut_ptr(),
            buffer.as_mut_ptr(),
            buffer.len(),
            &raw mut found,
        )
    };
    code == 0 && !found.is_null()
}

/// The shell of a user, if `getpwnam_r(3)` knows it.
pub(crate) fn shell_of(user: &str) -> Option<String> {
    let user = CString::new(user).expect("a name has no NUL");
    let mut entry = MaybeUninit::<libc::passwd>::uninit();
    let mut buffer = [0; 4096];
    let mut found = ptr::null_mut();
    // SAFETY: a string, a struct, a buffer of this length and a place for the result.
    let code = unsafe {
        libc::getpwnam_r(
            user.as_ptr(),
            entry.as_mut_ptr(),
            buffer.as_mut_ptr(),
            buffer.len(),
            &raw mut found,
        )
    };
    if code != 0 || found.is_null() {
        return None;
    }
    // SAFETY: it was found, so `getpwnam_r` has filled the struct in.
    let entry = unsafe { entry.assume_init() };
    // SAFETY: its strings end with NUL, and lie in the buffer, which is still there.
    let shell = unsafe { CStr::from_ptr(entry.pw_shell) };
    shell.to_str().ok().map(str::to_owned)
}

/// `getpwnam_r` of an NSS module: glibc's `nss_action`.
type Lookup = unsafe extern "C" fn(
    *const c_char,
    *mut libc::passwd,
    *mut c_char,
    libc::size_t,
    *mut c_int,
) -> c_int;

/// An NSS module's `getpwnam_r`.
pub(crate) struct Module(Lookup);

impl Module {
    /// Loads a module as glibc does.
    ///
    /// # Errors
    /// What `dlerror(3)` says.
    pub(crate) fn load(path: &CStr, function: &CStr) -> Result<Self, String> {
        // SAFETY: a string; the module's constructors are as safe here as in any process.
        let handle = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW) };
        if handle.is_null() {
            return Err(last_error());
        }
        // SAFETY: a handle that is open, and a string.
        let address: *mut c_void = unsafe { libc::dlsym(handle, function.as_ptr()) };
        if address.is_null() {
            return Err(last_error());
        }
        // SAFETY: NSS defines the type of a function of this name; it is never unloaded.
        Ok(Self(unsafe { std::mem::transmute::<*mut c_void, Lookup>(address) }))
    }

    /// Looks a user up, and gives NSS's status.
    pub(crate) fn look_up(&self, user: &CStr) -> c_int {
        let mut entry = MaybeUninit::<libc::passwd>::uninit();
        let mut buffer = [0; 1024];
        let mut errno = 0;
        let length = buffer.len();
        // SAFETY: a string, a struct, a buffer of this length and a place for errno.
        unsafe {
            (self.0)(user.as_ptr(), entry.as_mut_ptr(), buffer.as_mut_ptr(), length, &raw mut errno)
        }
    }
}

fn last_error() -> String {
    // SAFETY: it has no precondition.
    let text = unsafe { libc::dlerror() };
    if text.is_null() {
        return "unknown".into();
    }
    // SAFETY: the C library's own string, until the next call of this thread.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}

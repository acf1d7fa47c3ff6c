//! The six functions that libpam looks up. Each runs under the guard of
//! `common::guest`: what isn't decided because of a fault of ours is an error of
//! the service, never a success.

use std::ffi::{CStr, c_char, c_int, c_void};

use common::guest;
use pamsm::{LogLvl, PamError};

use crate::args::Args;
use crate::handle::Handle;
use crate::libpam::Pam;
use crate::login::{Flags, Login};
use crate::{account, auth, password};

/// More options than these, or a negative number of them, are not libpam's.
const MAX_OPTIONS: usize = 1024;

/// Checks the password, `pam_sm_authenticate(3)`.
///
/// # Safety
/// To be called by libpam, as that page says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pam_sm_authenticate(
    pam: *mut c_void,
    flags: c_int,
    count: c_int,
    words: *const *const c_char,
) -> c_int {
    // SAFETY: libpam's own arguments, passed on.
    unsafe { enter(pam, flags, count, words, auth::authenticate) }
}

/// Decides about the login, `pam_sm_acct_mgmt(3)`.
///
/// # Safety
/// To be called by libpam, as that page says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pam_sm_acct_mgmt(
    pam: *mut c_void,
    flags: c_int,
    count: c_int,
    words: *const *const c_char,
) -> c_int {
    // SAFETY: libpam's own arguments, passed on.
    unsafe { enter(pam, flags, count, words, account::authorize) }
}

/// Changes the password, `pam_sm_chauthtok(3)`.
///
/// # Safety
/// To be called by libpam, as that page says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pam_sm_chauthtok(
    pam: *mut c_void,
    flags: c_int,
    count: c_int,
    words: *const *const c_char,
) -> c_int {
    // SAFETY: libpam's own arguments, passed on.
    unsafe { enter(pam, flags, count, words, password::change) }
}

/// `pam_sm_setcred(3)`: a password login has no credentials beyond the
/// process's ids. Success, and not `PAM_IGNORE`: libpam runs the same way
/// through the stack as it did for the authentication, and whoever came in by
/// this module alone must find one module that agrees.
#[unsafe(no_mangle)]
pub extern "C" fn pam_sm_setcred(
    _: *mut c_void,
    _: c_int,
    _: c_int,
    _: *const *const c_char,
) -> c_int {
    PamError::SUCCESS as c_int
}

/// `pam_sm_open_session(3)`: there is nothing to open. Success, so that a stack
/// of this module alone works: one in which all modules ignore is refused.
#[unsafe(no_mangle)]
pub extern "C" fn pam_sm_open_session(
    _: *mut c_void,
    _: c_int,
    _: c_int,
    _: *const *const c_char,
) -> c_int {
    PamError::SUCCESS as c_int
}

/// `pam_sm_close_session(3)`: there is nothing to close.
#[unsafe(no_mangle)]
pub extern "C" fn pam_sm_close_session(
    _: *mut c_void,
    _: c_int,
    _: c_int,
    _: *const *const c_char,
) -> c_int {
    PamError::SUCCESS as c_int
}

/// What all entries do: options, handle, guard.
///
/// # Safety
/// The arguments are libpam's, of one call of an entry.
unsafe fn enter(
    pam: *mut c_void,
    flags: c_int,
    count: c_int,
    words: *const *const c_char,
    phase: impl FnOnce(&mut Login<'_>) -> PamError,
) -> c_int {
    // SAFETY: libpam's handle, and libpam calls one module at a time.
    let Some(mut handle) = (unsafe { Pam::new(pam) }) else {
        return PamError::SERVICE_ERR as c_int;
    };
    let code = guest::enter(|| {
        // SAFETY: libpam's arguments, passed on.
        let options = unsafe { options(count, words) };
        let args = Args::parse(options.iter().map(String::as_str));
        let mut login =
            Login { handle: &mut handle, source: &args, args: &args, flags: Flags(flags) };
        phase(&mut login)
    });
    let code = code.unwrap_or_else(|place| {
        let line = format!("internal error at {place}; please report it");
        let _ = guest::enter(|| handle.log(LogLvl::CRIT, &line));
        PamError::SERVICE_ERR
    });
    code as c_int
}

/// The words behind the module's name in its line.
///
/// # Safety
/// `words` is NULL or has `count` pointers, each NULL or to a NUL-terminated string.
unsafe fn options(count: c_int, words: *const *const c_char) -> Vec<String> {
    let count = usize::try_from(count).unwrap_or(0).min(MAX_OPTIONS);
    if words.is_null() || count == 0 {
        return Vec::new();
    }
    // SAFETY: by this function's contract.
    let pointers = unsafe { std::slice::from_raw_parts(words, count) };
    let strings = pointers.iter().filter(|pointer| !pointer.is_null());
    strings
        // SAFETY: by this function's contract, and not NULL.
        .map(|pointer| unsafe { CStr::from_ptr(*pointer) }.to_string_lossy().into_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ptr;

    #[test]
    fn without_a_handle_nothing_succeeds() {
        for entry in [pam_sm_authenticate, pam_sm_acct_mgmt, pam_sm_chauthtok] {
            // SAFETY: NULL is checked for.
            let code = unsafe { entry(ptr::null_mut(), 0, 0, ptr::null()) };
            assert_eq!(code, PamError::SERVICE_ERR as c_int);
        }
    }

    #[test]
    fn options_survive_a_null() {
        let words = [c"debug".as_ptr(), ptr::null(), c"no_warn".as_ptr()];
        // SAFETY: three pointers, as said.
        assert_eq!(unsafe { options(3, words.as_ptr()) }, ["debug", "no_warn"]);
        // SAFETY: none, as said.
        assert!(unsafe { options(-1, ptr::null()) }.is_empty());
    }
}

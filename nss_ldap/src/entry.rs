//! What surrounds every call: the guard of `common::guest`, and errno.

use std::ffi::CStr;

use common::account::Name;
use common::guest;
use libc::{c_char, c_int};
use libnss::interop::NssStatus;

use crate::report;
use crate::status::Failure;

/// Where a call's errno goes: glibc's own, or the caller's.
pub(crate) struct Errno(*mut c_int);

impl Errno {
    /// A call that has none.
    pub(crate) const NONE: Self = Self(std::ptr::null_mut());

    /// Takes glibc's argument.
    ///
    /// # Safety
    /// `errnop` is null or can be written as long as this value lives.
    pub(crate) unsafe fn new(errnop: *mut c_int) -> Self {
        Self(errnop)
    }
}

/// A name, as a C string.
pub(crate) struct Text(*const c_char);

impl Text {
    /// Takes glibc's argument.
    ///
    /// # Safety
    /// `text` is null or a NUL-terminated string as long as this value lives.
    pub(crate) unsafe fn new(text: *const c_char) -> Self {
        Self(text)
    }

    /// Its bytes, without NUL.
    #[inline]
    pub(crate) fn bytes(&self) -> Option<&[u8]> {
        if self.0.is_null() {
            return None;
        }
        // SAFETY: `new`'s caller says that it is a string.
        Some(unsafe { CStr::from_ptr(self.0) }.to_bytes())
    }
}

/// The name in these bytes. What can't be a name is nobody's, and nobody is asked.
pub(crate) fn name(bytes: Option<&[u8]>) -> Result<Name, Failure> {
    bytes.and_then(|bytes| Name::from_bytes(bytes).ok()).ok_or(Failure::NotFound)
}

/// Runs the body of an entry point and gives its status to glibc.
pub(crate) fn enter(errno: &Errno, body: impl FnOnce() -> Result<(), Failure>) -> c_int {
    give(errno, run(body))
}

/// The same, after a [`guest::glance`] that may have spared it.
#[inline]
pub(crate) fn enter_after(
    glance: Option<Result<(), Failure>>,
    errno: &Errno,
    body: impl FnOnce() -> Result<(), Failure>,
) -> c_int {
    match glance {
        Some(Ok(())) => NssStatus::Success as c_int,
        Some(outcome) => give(errno, outcome),
        None => enter(errno, body),
    }
}

/// A panic is a fault of this module, so the answer is "unavailable".
fn run(body: impl FnOnce() -> Result<(), Failure>) -> Result<(), Failure> {
    // After a panic: state that lives longer is taken out while it is worked with.
    guest::enter(body).unwrap_or_else(|place| {
        let _ = guest::enter(|| {
            report::rarely(&format_args!("fault in libnss_ldap.so.2 at {place}"));
        });
        Err(Failure::Unavailable)
    })
}

fn give(errno: &Errno, outcome: Result<(), Failure>) -> c_int {
    let Err(failure) = outcome else { return NssStatus::Success as c_int };
    let (status, code) = failure.codes();
    if !errno.0.is_null() {
        // SAFETY: `new`'s caller says that it can be written.
        unsafe { errno.0.write(code) };
    }
    status as c_int
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(errno: &mut c_int, body: impl FnOnce() -> Result<(), Failure>) -> c_int {
        // SAFETY: a reference can be written.
        enter(&unsafe { Errno::new(errno) }, body)
    }

    #[test]
    fn a_panic_is_an_outage_and_does_not_leave() {
        let mut errno = 0;
        assert_eq!(run(&mut errno, || panic!("on purpose")), -1);
        assert_eq!(errno, libc::EAGAIN);
    }

    #[test]
    fn success_leaves_errno_alone() {
        let mut errno = 7;
        assert_eq!(run(&mut errno, || Ok(())), 1);
        assert_eq!(errno, 7);
    }

    #[test]
    fn a_call_without_errno_gets_its_status() {
        assert_eq!(enter(&Errno::NONE, || Err(Failure::NotFound)), 0);
    }

    #[test]
    fn what_cannot_be_a_name_is_not_found() {
        for text in [c"", c"1000", c"-x", c"a:b", c"a\nb", c"\xff"] {
            // SAFETY: a C string.
            let text = unsafe { Text::new(text.as_ptr()) };
            assert_eq!(name(text.bytes()), Err(Failure::NotFound));
        }
        // SAFETY: null is allowed.
        let text = unsafe { Text::new(std::ptr::null()) };
        assert_eq!(name(text.bytes()), Err(Failure::NotFound));
    }
}

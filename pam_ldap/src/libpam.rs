//! The handle that libpam gives, behind the trait [`Handle`].

use std::ffi::{CStr, CString, c_char, c_int, c_uint, c_void};
use std::ptr::{self, NonNull};

use common::guest;
use common::secret::Secret;
use pamsm::{LogLvl, PamError, PamMsgStyle};
use zeroize::Zeroizing;

use crate::conversation::Conversation;
use crate::handle::{Flaw, Handle, Memory, Text, Token, Tone, judge};

/// Under this name the [`Memory`] lies in the handle.
const DATA: &CStr = c"rollcall_login";

// security/_pam_types.h
const PAM_SERVICE: c_int = 1;
const PAM_TTY: c_int = 3;
const PAM_RHOST: c_int = 4;
const PAM_CONV: c_int = 5;
const PAM_AUTHTOK: c_int = 6;
const PAM_OLDAUTHTOK: c_int = 7;
const PAM_RUSER: c_int = 8;

/// `pam_set_data(3)`'s cleanup.
type Cleanup = unsafe extern "C" fn(*mut c_void, *mut c_void, c_int);

#[link(name = "pam")]
unsafe extern "C" {
    fn pam_get_user(pam: *mut c_void, user: *mut *const c_char, prompt: *const c_char) -> c_int;
    fn pam_get_item(pam: *const c_void, item: c_int, value: *mut *const c_void) -> c_int;
    fn pam_set_item(pam: *mut c_void, item: c_int, value: *const c_void) -> c_int;
    fn pam_get_data(pam: *const c_void, name: *const c_char, data: *mut *const c_void) -> c_int;
    fn pam_set_data(
        pam: *mut c_void,
        name: *const c_char,
        data: *mut c_void,
        cleanup: Option<Cleanup>,
    ) -> c_int;
    fn pam_fail_delay(pam: *mut c_void, microseconds: c_uint) -> c_int;
    fn pam_syslog(pam: *const c_void, priority: c_int, format: *const c_char, ...);
}

/// A `pam_handle_t`, for the time of one call of the module.
pub(crate) struct Pam(NonNull<c_void>);

impl Pam {
    /// Takes the handle that an entry was called with; `None` for NULL.
    ///
    /// # Safety
    /// libpam's handle, used by no other thread while this value lives.
    pub(crate) unsafe fn new(handle: *mut c_void) -> Option<Self> {
        NonNull::new(handle).map(Self)
    }

    fn item(&self, item: c_int) -> Option<NonNull<c_void>> {
        let mut value = ptr::null();
        // SAFETY: the handle is libpam's, by the contract of `new`.
        let code = unsafe { pam_get_item(self.0.as_ptr(), item, &raw mut value) };
        if code == PamError::SUCCESS as c_int { NonNull::new(value.cast_mut()) } else { None }
    }

    /// A string item's bytes. They are libpam's, and valid until the item is set again.
    fn string(&self, item: c_int) -> Option<&[u8]> {
        let value = self.item(item)?;
        // SAFETY: libpam keeps these items as NUL-terminated strings; the
        // borrow of self keeps this module from setting them meanwhile.
        Some(unsafe { CStr::from_ptr(value.as_ptr().cast()) }.to_bytes())
    }

    fn say<T>(
        &self,
        style: PamMsgStyle,
        text: &str,
        take: impl FnOnce(&[u8]) -> T,
    ) -> Result<Option<T>, PamError> {
        let conversation = self.item(PAM_CONV).ok_or(PamError::CONV_ERR)?;
        // SAFETY: libpam keeps a `struct pam_conv` under PAM_CONV.
        let conversation = unsafe { *conversation.as_ptr().cast::<Conversation>() };
        // SAFETY: it comes from this living handle.
        unsafe { conversation.say(style, text, take) }
    }
}

impl Handle for Pam {
    fn user(&mut self) -> Result<Vec<u8>, PamError> {
        let mut user = ptr::null();
        // SAFETY: the handle is libpam's; a NULL prompt means libpam's own.
        let code = unsafe { pam_get_user(self.0.as_ptr(), &raw mut user, ptr::null()) };
        if code == PamError::CONV_AGAIN as c_int {
            return Err(PamError::INCOMPLETE);
        }
        if code != PamError::SUCCESS as c_int || user.is_null() {
            return Err(PamError::USER_UNKNOWN);
        }
        // SAFETY: after success it is a NUL-terminated string of libpam's.
        Ok(unsafe { CStr::from_ptr(user) }.to_bytes().to_vec())
    }

    fn text(&self, item: Text) -> String {
        let item = match item {
            Text::Service => PAM_SERVICE,
            Text::Tty => PAM_TTY,
            Text::Rhost => PAM_RHOST,
            Text::Ruser => PAM_RUSER,
        };
        String::from_utf8_lossy(self.string(item).unwrap_or_default()).into_owned()
    }

    fn token(&self, token: Token) -> Option<Result<Secret, Flaw>> {
        self.string(number(token)).map(judge)
    }

    fn set_token(&mut self, token: Token, password: &Secret) -> Result<(), PamError> {
        let text = password.expose().as_bytes();
        if text.contains(&0) {
            return Err(PamError::SERVICE_ERR);
        }
        // Exact from the start: growing would leave a copy behind.
        let mut copy = Zeroizing::new(vec![0; text.len() + 1]);
        copy[..text.len()].copy_from_slice(text);
        // SAFETY: the handle is libpam's; it copies the NUL-terminated string.
        let code = unsafe { pam_set_item(self.0.as_ptr(), number(token), copy.as_ptr().cast()) };
        if code == PamError::SUCCESS as c_int { Ok(()) } else { Err(PamError::SYSTEM_ERR) }
    }

    fn prompt(&mut self, text: &str) -> Result<Result<Secret, Flaw>, PamError> {
        self.say(PamMsgStyle::PROMPT_ECHO_OFF, text, judge)?.ok_or(PamError::CONV_ERR)
    }

    fn tell(&mut self, tone: Tone, text: &str) {
        let style = match tone {
            Tone::Info => PamMsgStyle::TEXT_INFO,
            Tone::Error => PamMsgStyle::ERROR_MSG,
        };
        let _ = self.say(style, text, |_| ());
    }

    fn memory(&self) -> Option<Memory> {
        let mut data = ptr::null();
        // SAFETY: the handle is libpam's, and the name is NUL-terminated.
        let code = unsafe { pam_get_data(self.0.as_ptr(), DATA.as_ptr(), &raw mut data) };
        if code != PamError::SUCCESS as c_int {
            return None;
        }
        // SAFETY: only `remember` stores under this name: NULL or a Memory.
        unsafe { data.cast::<Memory>().as_ref() }.cloned()
    }

    fn remember(&mut self, memory: Option<Memory>) -> Result<(), PamError> {
        let data = memory.map_or(ptr::null_mut(), |memory| Box::into_raw(Box::new(memory)));
        // SAFETY: the handle is libpam's; it hands `data` to `forget`, once.
        let code =
            unsafe { pam_set_data(self.0.as_ptr(), DATA.as_ptr(), data.cast(), Some(forget)) };
        if code == PamError::SUCCESS as c_int {
            return Ok(());
        }
        // SAFETY: libpam didn't take it.
        unsafe { forget(ptr::null_mut(), data.cast(), 0) };
        Err(PamError::SYSTEM_ERR)
    }

    fn log(&self, level: LogLvl, line: &str) {
        let Ok(line) = CString::new(line) else { return };
        // SAFETY: the format takes one NUL-terminated string, and that is what it gets.
        unsafe {
            pam_syslog(self.0.as_ptr(), level as c_int, c"%s".as_ptr(), line.as_ptr());
        }
    }

    fn delay_failure(&mut self, microseconds: u32) {
        // SAFETY: the handle is libpam's. It is a wish, so the code has no use.
        let _ = unsafe { pam_fail_delay(self.0.as_ptr(), microseconds) };
    }

    fn asker_is_root(&self) -> bool {
        // SAFETY: always allowed, getuid(2).
        unsafe { libc::getuid() == 0 }
    }
}

fn number(token: Token) -> c_int {
    match token {
        Token::Password => PAM_AUTHTOK,
        Token::Old => PAM_OLDAUTHTOK,
    }
}

/// Frees a [`Memory`] when it is replaced and when the transaction ends; its
/// password zeroes itself. The module is linked with `-z nodelete`, so this
/// code is still there at `pam_end(3)`.
unsafe extern "C" fn forget(_: *mut c_void, data: *mut c_void, _: c_int) {
    if !data.is_null() {
        // SAFETY: `remember` made it of a Box, and libpam gives it back once.
        let memory = unsafe { Box::from_raw(data.cast::<Memory>()) };
        let _ = guest::enter(|| drop(memory));
    }
}

//! libpam, as a login program calls it (`pam(3)`).

use std::ffi::{CStr, CString, c_char, c_int, c_uint, c_void};
use std::ptr;

/// `PAM_PROMPT_ECHO_OFF`
const PROMPT_ECHO_OFF: c_int = 1;
/// `PAM_ERROR_MSG`
const ERROR_MSG: c_int = 3;
/// `PAM_TEXT_INFO`
const TEXT_INFO: c_int = 4;
/// The item `PAM_FAIL_DELAY`.
const FAIL_DELAY: c_int = 10;
/// `PAM_CONV_ERR`
const CONV_ERR: c_int = 19;

#[repr(C)]
struct Message {
    style: c_int,
    /// For people; never read here.
    _text: *const c_char,
}

#[repr(C)]
struct Answer {
    text: *mut c_char,
    _code: c_int,
}

#[repr(C)]
struct Conversation {
    call: unsafe extern "C" fn(c_int, *mut *const Message, *mut *mut Answer, *mut c_void) -> c_int,
    password: *mut c_void,
}

#[link(name = "pam")]
unsafe extern "C" {
    fn pam_start(
        service: *const c_char,
        user: *const c_char,
        conversation: *const Conversation,
        pam: *mut *mut c_void,
    ) -> c_int;
    fn pam_set_item(pam: *mut c_void, item: c_int, value: *const c_void) -> c_int;
    fn pam_end(pam: *mut c_void, status: c_int) -> c_int;
    fn pam_authenticate(pam: *mut c_void, flags: c_int) -> c_int;
    fn pam_acct_mgmt(pam: *mut c_void, flags: c_int) -> c_int;
}

/// A transaction of one user, who types one password.
pub(crate) struct Transaction {
    pam: *mut c_void,
    /// What the conversation reads; freed after libpam is done with it.
    password: *mut c_char,
}

impl Transaction {
    /// Begins one. The modules of the service are loaded with it.
    pub(crate) fn start(service: &CStr, user: &str, password: &str) -> Self {
        let user = CString::new(user).expect("a name has no NUL");
        let password = CString::new(password).expect("a password has no NUL").into_raw();
        let conversation = Conversation { call: converse, password: password.cast() };
        let mut pam = ptr::null_mut();
        // SAFETY: NUL-terminated strings; libpam copies them and the conversation.
        let code = unsafe {
            pam_start(service.as_ptr(), user.as_ptr(), &raw const conversation, &raw mut pam)
        };
        assert_eq!(code, 0, "pam_start");
        Self { pam, password }
    }

    /// Leaves out the seconds by which libpam delays a failure so that nobody tries many
    /// passwords (`pam_fail_delay(3)`): what is measured is how soon it was decided.
    pub(crate) fn wait_for_nothing(&mut self) {
        let delay: unsafe extern "C" fn(c_int, c_uint, *mut c_void) = no_delay;
        // SAFETY: a transaction that was started; the item is a function of this type.
        let code = unsafe { pam_set_item(self.pam, FAIL_DELAY, delay as *const c_void) };
        assert_eq!(code, 0, "pam_set_item");
    }

    /// Logs the user in: the password, and then whether they may. Gives libpam's two codes.
    pub(crate) fn log_in(&mut self) -> (c_int, c_int) {
        // SAFETY: a transaction that was started.
        let authenticated = unsafe { pam_authenticate(self.pam, 0) };
        // SAFETY: as above.
        (authenticated, unsafe { pam_acct_mgmt(self.pam, 0) })
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        // SAFETY: a transaction that was started, and isn't used after this.
        unsafe { pam_end(self.pam, 0) };
        // SAFETY: `start` made it of a CString, and libpam is done with it.
        drop(unsafe { CString::from_raw(self.password) });
    }
}

/// What libpam calls instead of sleeping.
unsafe extern "C" fn no_delay(_: c_int, _: c_uint, _: *mut c_void) {}

/// Answers one prompt with the password, and nothing to what is only said.
unsafe extern "C" fn converse(
    count: c_int,
    messages: *mut *const Message,
    answers: *mut *mut Answer,
    password: *mut c_void,
) -> c_int {
    // SAFETY: libpam passes `count` messages; there is at least one.
    let message = unsafe { *messages };
    // SAFETY: as above.
    let style = unsafe { (*message).style };
    if count != 1 || ![PROMPT_ECHO_OFF, ERROR_MSG, TEXT_INFO].contains(&style) {
        return CONV_ERR;
    }
    // SAFETY: calloc has no precondition.
    let answer = unsafe { libc::calloc(1, size_of::<Answer>()) }.cast::<Answer>();
    if answer.is_null() {
        return CONV_ERR;
    }
    if style == PROMPT_ECHO_OFF {
        // SAFETY: the password is a string as long as the transaction lives.
        let text = unsafe { libc::strdup(password.cast()) };
        // SAFETY: it was just allocated.
        unsafe { (*answer).text = text };
    }
    // SAFETY: libpam passes a place for the answers, and frees them.
    unsafe { answers.write(answer) };
    0
}

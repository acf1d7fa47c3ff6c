//! A program that logs somebody in through libpam and prints what libpam says.
//!
//! `pam_probe SERVICE USER WORD…` does the words in their order:
//!
//! | word | what it does |
//! |---|---|
//! | `confdir=PATH` | before the others: reads the stack from this folder (`pam_start_confdir(3)`) |
//! | `answer=TEXT` | answers the next prompt that has no answer yet; without one it gets none |
//! | `user=NAME` | sets `PAM_USER` |
//! | `rhost=NAME` | sets `PAM_RHOST` |
//! | `auth`, `account`, `cred`, `open`, `close` | the phase of this name |
//! | `change` | `pam_chauthtok(3)` |
//! | `change-expired` | the same as a login does it, with `PAM_CHANGE_EXPIRED_AUTHTOK` |
//!
//! One line of output for each phase (`= auth 7`) and for each message of the
//! conversation (`? Password: `, `- a text`, `! an error`). No waiting after a
//! failure: an application may take that over.

use std::collections::VecDeque;
use std::ffi::{CStr, CString, c_char, c_int, c_uint, c_void};
use std::process::ExitCode;
use std::ptr;

const PAM_USER: c_int = 2;
const PAM_RHOST: c_int = 4;
const PAM_FAIL_DELAY: c_int = 10;
const PROMPT_ECHO_OFF: c_int = 1;
const PROMPT_ECHO_ON: c_int = 2;
const ERROR_MSG: c_int = 3;
const ESTABLISH_CRED: c_int = 2;
const CHANGE_EXPIRED: c_int = 0x20;
const CONV_ERR: c_int = 19;

#[repr(C)]
struct Message {
    style: c_int,
    text: *const c_char,
}

#[repr(C)]
struct Answer {
    text: *mut c_char,
    code: c_int,
}

type Converse =
    unsafe extern "C" fn(c_int, *mut *const Message, *mut *mut Answer, *mut c_void) -> c_int;

type Phase = unsafe extern "C" fn(*mut c_void, c_int) -> c_int;

#[repr(C)]
struct Conversation {
    call: Converse,
    context: *mut c_void,
}

#[link(name = "pam")]
unsafe extern "C" {
    fn pam_start_confdir(
        service: *const c_char,
        user: *const c_char,
        conversation: *const Conversation,
        folder: *const c_char,
        pam: *mut *mut c_void,
    ) -> c_int;
    fn pam_end(pam: *mut c_void, status: c_int) -> c_int;
    fn pam_authenticate(pam: *mut c_void, flags: c_int) -> c_int;
    fn pam_acct_mgmt(pam: *mut c_void, flags: c_int) -> c_int;
    fn pam_setcred(pam: *mut c_void, flags: c_int) -> c_int;
    fn pam_open_session(pam: *mut c_void, flags: c_int) -> c_int;
    fn pam_close_session(pam: *mut c_void, flags: c_int) -> c_int;
    fn pam_chauthtok(pam: *mut c_void, flags: c_int) -> c_int;
    fn pam_set_item(pam: *mut c_void, item: c_int, value: *const c_void) -> c_int;
}

/// The person at the keyboard: what they will type.
type Person = VecDeque<CString>;

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let (Some(service), Some(user)) = (words.next(), words.next()) else {
        eprintln!("usage: pam_probe SERVICE USER WORD...");
        return ExitCode::FAILURE;
    };
    let words: Vec<String> = words.collect();
    let person: Person = values(&words, "answer=").collect();
    let folder = values(&words, "confdir=").next();
    let person = Box::into_raw(Box::new(person));
    let conversation = Conversation { call: converse, context: person.cast() };
    let (service, user) = (text(&service), text(&user));
    let folder = folder.as_ref().map_or(ptr::null(), |folder| folder.as_ptr());
    let mut pam = ptr::null_mut();
    // SAFETY: the strings are NUL-terminated or NULL, which means the system's
    // folder; libpam copies them and the conversation.
    let code = unsafe {
        pam_start_confdir(
            service.as_ptr(),
            user.as_ptr(),
            &raw const conversation,
            folder,
            &raw mut pam,
        )
    };
    if code != 0 {
        eprintln!("pam_start_confdir: {code}");
        return ExitCode::FAILURE;
    }
    let delay: unsafe extern "C" fn(c_int, c_uint, *mut c_void) = no_delay;
    // SAFETY: libpam's handle, and a function of the type that this item has.
    unsafe { pam_set_item(pam, PAM_FAIL_DELAY, delay as *const c_void) };
    let status = words.iter().fold(0, |status, word| carry_out(pam, word).unwrap_or(status));
    // SAFETY: libpam's handle, used no more.
    unsafe { pam_end(pam, status) };
    // SAFETY: the pointer of the Box above, which libpam uses no more.
    drop(unsafe { Box::from_raw(person) });
    ExitCode::SUCCESS
}

/// What stands behind this name in the words.
fn values(words: &[String], name: &'static str) -> impl Iterator<Item = CString> {
    words.iter().filter_map(move |word| word.strip_prefix(name)).map(text)
}

/// Does one word; gives the code of a phase.
fn carry_out(pam: *mut c_void, word: &str) -> Option<c_int> {
    let (phase, flags): (Phase, c_int) = match word {
        "auth" => (pam_authenticate, 0),
        "account" => (pam_acct_mgmt, 0),
        "cred" => (pam_setcred, ESTABLISH_CRED),
        "open" => (pam_open_session, 0),
        "close" => (pam_close_session, 0),
        "change" => (pam_chauthtok, 0),
        "change-expired" => (pam_chauthtok, CHANGE_EXPIRED),
        _ => {
            match word.split_once('=') {
                Some(("answer" | "confdir", _)) => {}
                Some(("user", name)) => set_item(pam, PAM_USER, name),
                Some(("rhost", name)) => set_item(pam, PAM_RHOST, name),
                _ => panic!("unknown word: {word}"),
            }
            return None;
        }
    };
    // SAFETY: libpam's own function with its handle.
    let code = unsafe { phase(pam, flags) };
    println!("= {word} {code}");
    Some(code)
}

fn set_item(pam: *mut c_void, item: c_int, value: &str) {
    let value = text(value);
    // SAFETY: libpam's handle; it copies the string.
    let code = unsafe { pam_set_item(pam, item, value.as_ptr().cast()) };
    assert_eq!(code, 0, "pam_set_item");
}

/// An argument of a program has no NUL in it.
fn text(text: &str) -> CString {
    CString::new(text).unwrap_or_default()
}

unsafe extern "C" fn no_delay(_: c_int, _: c_uint, _: *mut c_void) {}

/// `pam_conv(3)`. Our modules ask one thing at a time; others are refused.
unsafe extern "C" fn converse(
    count: c_int,
    messages: *mut *const Message,
    answers: *mut *mut Answer,
    context: *mut c_void,
) -> c_int {
    if count != 1 {
        return CONV_ERR;
    }
    // SAFETY: libpam passes on one pointer to a message.
    let message = unsafe { *messages };
    // SAFETY: libpam's message lives as long as this call.
    let message = unsafe { &*message };
    // SAFETY: the context that `main` gave to libpam; no other thread is here.
    let person = unsafe { &mut *context.cast::<Person>() };
    // SAFETY: a message's text is NUL-terminated.
    let text = unsafe { CStr::from_ptr(message.text) };
    let prompt = matches!(message.style, PROMPT_ECHO_OFF | PROMPT_ECHO_ON);
    let sign = match message.style {
        _ if prompt => '?',
        ERROR_MSG => '!',
        _ => '-',
    };
    println!("{sign} {}", text.to_string_lossy());
    // SAFETY: plain allocation; zeroes are a valid answer. libpam frees it.
    let answer: *mut Answer = unsafe { libc::calloc(1, size_of::<Answer>()) }.cast();
    if answer.is_null() {
        return CONV_ERR;
    }
    if prompt && let Some(text) = person.pop_front() {
        // SAFETY: a NUL-terminated string; libpam frees the copy.
        let copy = unsafe { libc::strdup(text.as_ptr()) };
        // SAFETY: allocated above.
        unsafe { (*answer).text = copy };
    }
    // SAFETY: libpam's place for the answers.
    unsafe { *answers = answer };
    0
}

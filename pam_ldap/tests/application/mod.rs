//! A program that logs somebody in through libpam.

use std::collections::VecDeque;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::ptr;
use std::sync::LazyLock;

use tempfile::TempDir;

pub(crate) const PAM_USER: c_int = 2;
pub(crate) const PAM_RHOST: c_int = 4;
pub(crate) const CHANGE_EXPIRED: c_int = 0x20;
const ESTABLISH_CRED: c_int = 2;
const PROMPT_ECHO_OFF: c_int = 1;
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
    fn pam_acct_mgmt(pam: *mut c_void, flags: c_int) -> c_int;
    fn pam_setcred(pam: *mut c_void, flags: c_int) -> c_int;
    fn pam_open_session(pam: *mut c_void, flags: c_int) -> c_int;
    fn pam_close_session(pam: *mut c_void, flags: c_int) -> c_int;
    fn pam_chauthtok(pam: *mut c_void, flags: c_int) -> c_int;
    fn pam_set_item(pam: *mut c_void, item: c_int, value: *const c_void) -> c_int;
}

#[link(name = "pam")]
unsafe extern "C-unwind" {
    // A cancellation unwinds it, once it has left the module.
    fn pam_authenticate(pam: *mut c_void, flags: c_int) -> c_int;
}

unsafe extern "C" {
    fn pthread_cancel(thread: libc::pthread_t) -> c_int;
    fn pthread_create(
        thread: *mut libc::pthread_t,
        attributes: *const libc::pthread_attr_t,
        start: unsafe extern "C-unwind" fn(*mut c_void) -> *mut c_void,
        argument: *mut c_void,
    ) -> c_int;
}

/// An application may take over the waiting after a failure; a test doesn't wait.
const PAM_FAIL_DELAY: c_int = 10;

unsafe extern "C" fn no_delay(_: c_int, _: u32, _: *mut c_void) {}

/// The person at the keyboard.
#[derive(Default)]
struct Person {
    answers: VecDeque<String>,
    heard: Vec<String>,
    /// Whether the next prompt cancels the thread that it comes from.
    cancels: bool,
}

/// One transaction.
pub(crate) struct Application {
    pam: *mut c_void,
    person: *mut Person,
    status: c_int,
    _folder: TempDir,
}

impl Application {
    /// Begins a transaction. `MODULE` in the stack stands for the built module
    /// that asks behind this socket; a prompt after the last answer gets NULL.
    pub(crate) fn start(stack: &str, socket: &Path, user: &str, answers: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = format!("socket={}", socket.display());
        let mut lines = String::new();
        for line in stack.lines() {
            let line = line.replace("MODULE", module().to_str().unwrap());
            lines.extend([&line, " ", &socket, "\n"]);
        }
        fs::write(folder.path().join("login"), lines).unwrap();
        let answers = answers.iter().map(ToString::to_string).collect();
        let person = Box::into_raw(Box::new(Person { answers, ..Person::default() }));
        let conversation = Conversation { call: converse, context: person.cast() };
        let user = CString::new(user).unwrap();
        let path = CString::new(folder.path().to_str().unwrap()).unwrap();
        let mut pam = ptr::null_mut();
        // SAFETY: all strings are NUL-terminated; libpam copies them and the conversation.
        let code = unsafe {
            pam_start_confdir(
                c"login".as_ptr(),
                user.as_ptr(),
                &raw const conversation,
                path.as_ptr(),
                &raw mut pam,
            )
        };
        assert_eq!(code, 0, "pam_start_confdir");
        let delay: unsafe extern "C" fn(c_int, u32, *mut c_void) = no_delay;
        // SAFETY: a function of the type that PAM_FAIL_DELAY asks for.
        let code = unsafe { pam_set_item(pam, PAM_FAIL_DELAY, delay as *const c_void) };
        assert_eq!(code, 0, "PAM_FAIL_DELAY");
        Self { pam, person, status: 0, _folder: folder }
    }

    pub(crate) fn set_item(&mut self, item: c_int, value: &str) {
        let value = CString::new(value).unwrap();
        // SAFETY: libpam's handle, and it copies the string.
        assert_eq!(unsafe { pam_set_item(self.pam, item, value.as_ptr().cast()) }, 0);
    }

    pub(crate) fn authenticate(&mut self) -> c_int {
        // SAFETY: libpam's own function with its handle.
        self.status = unsafe { pam_authenticate(self.pam, 0) };
        self.status
    }

    /// Authenticates in a thread that is cancelled while it asks for the password.
    pub(crate) fn authenticate_cancelled(&mut self) {
        // SAFETY: made by `start`; libpam isn't running now.
        unsafe { (*self.person).cancels = true };
        let mut thread = 0;
        let (attributes, pam) = (ptr::null(), self.pam);
        // SAFETY: `work` takes libpam's handle, which nobody else uses until the join.
        let code = unsafe { pthread_create(&raw mut thread, attributes, work, pam) };
        assert_eq!(code, 0);
        // SAFETY: the thread that was just made.
        assert_eq!(unsafe { libc::pthread_join(thread, ptr::null_mut()) }, 0);
    }

    pub(crate) fn account(&mut self) -> c_int {
        self.call(pam_acct_mgmt, 0)
    }

    pub(crate) fn setcred(&mut self) -> c_int {
        self.call(pam_setcred, ESTABLISH_CRED)
    }

    pub(crate) fn open_session(&mut self) -> c_int {
        self.call(pam_open_session, 0)
    }

    pub(crate) fn close_session(&mut self) -> c_int {
        self.call(pam_close_session, 0)
    }

    pub(crate) fn change_password(&mut self, flags: c_int) -> c_int {
        self.call(pam_chauthtok, flags)
    }

    /// What was prompted and told, in its order.
    pub(crate) fn heard(&self) -> Vec<String> {
        // SAFETY: made by `start`, freed by `drop`; libpam isn't running now.
        unsafe { &*self.person }.heard.clone()
    }

    fn call(
        &mut self,
        function: unsafe extern "C" fn(*mut c_void, c_int) -> c_int,
        flags: c_int,
    ) -> c_int {
        // SAFETY: libpam's own function with its handle.
        self.status = unsafe { function(self.pam, flags) };
        self.status
    }
}

impl Drop for Application {
    fn drop(&mut self) {
        // SAFETY: libpam's handle, used no more.
        unsafe { pam_end(self.pam, self.status) };
        // SAFETY: a Box's pointer, used no more.
        drop(unsafe { Box::from_raw(self.person) });
    }
}

/// The life of a thread that may be cancelled; no frame of Rust's has anything to drop.
unsafe extern "C-unwind" fn work(pam: *mut c_void) -> *mut c_void {
    // SAFETY: the handle that `authenticate_cancelled` gave.
    unsafe { pam_authenticate(pam, 0) };
    ptr::null_mut()
}

unsafe extern "C" fn converse(
    count: c_int,
    messages: *mut *const Message,
    answers: *mut *mut Answer,
    context: *mut c_void,
) -> c_int {
    if count != 1 {
        return CONV_ERR;
    }
    // SAFETY: libpam passes on one message.
    let message = unsafe { *messages };
    // SAFETY: the same.
    let message = unsafe { &*message };
    // SAFETY: the context that `start` gave to libpam.
    let person = unsafe { &mut *context.cast::<Person>() };
    // SAFETY: a message's text is NUL-terminated.
    let text = unsafe { CStr::from_ptr(message.text) };
    if person.cancels {
        // SAFETY: no arguments.
        let this = unsafe { libc::pthread_self() };
        // SAFETY: the calling thread, which lives.
        unsafe { pthread_cancel(this) };
    }
    person.heard.push(text.to_str().unwrap().to_owned());
    // SAFETY: plain allocation; zeroes are a valid answer.
    let answer: *mut Answer = unsafe { libc::calloc(1, size_of::<Answer>()) }.cast();
    if message.style == PROMPT_ECHO_OFF
        && let Some(text) = person.answers.pop_front()
    {
        let text = CString::new(text).unwrap();
        // SAFETY: a NUL-terminated string.
        let copy = unsafe { libc::strdup(text.as_ptr()) };
        // SAFETY: allocated above.
        unsafe { (*answer).text = copy };
    }
    // SAFETY: libpam's place for the answers.
    unsafe { *answers = answer };
    0
}

/// The module, built anew if need be: Cargo doesn't build a cdylib for its tests.
/// Built alone, so that no other package's features get into it.
pub(crate) fn module() -> &'static Path {
    static MODULE: LazyLock<PathBuf> = LazyLock::new(|| {
        let test = std::env::current_exe().unwrap();
        let profile = test.ancestors().nth(2).unwrap();
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--quiet", "--package", "pam_ldap", "--target-dir"]);
        cargo.arg(profile.parent().unwrap()).current_dir(env!("CARGO_MANIFEST_DIR"));
        if profile.ends_with("release") {
            cargo.arg("--release");
        }
        assert!(cargo.status().unwrap().success());
        profile.join("libpam_ldap.so")
    });
    &MODULE
}

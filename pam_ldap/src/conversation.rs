//! The conversation with the user, `pam_conv(3)`: its structures and one call.
//!
//! The answer is the application's allocation, handed over to be freed here. It
//! is zeroed first, and each pointer on the way to it is checked: applications
//! answer NULL, or nothing at all, when the user gives up.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ptr;

use pamsm::{PamError, PamMsgStyle};
use zeroize::Zeroize;

/// `struct pam_message`
#[repr(C)]
pub(crate) struct Message {
    pub(crate) style: c_int,
    pub(crate) text: *const c_char,
}

/// `struct pam_response`
#[repr(C)]
pub(crate) struct Answer {
    pub(crate) text: *mut c_char,
    /// Always 0 on Linux, and of no meaning.
    pub(crate) code: c_int,
}

/// `struct pam_conv`
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Conversation {
    pub(crate) call: Option<
        unsafe extern "C" fn(c_int, *mut *const Message, *mut *mut Answer, *mut c_void) -> c_int,
    >,
    pub(crate) context: *mut c_void,
}

impl Conversation {
    /// Says one thing, and hands the answer's bytes to `take` before they are
    /// zeroed. `None` when there is no answer.
    ///
    /// # Errors
    /// [`PamError::INCOMPLETE`] when the application wants to come back with
    /// the answer (`PAM_CONV_AGAIN`), else [`PamError::CONV_ERR`].
    ///
    /// # Safety
    /// `call` and `context` are what the application of a living PAM handle gave to libpam.
    pub(crate) unsafe fn say<T>(
        self,
        style: PamMsgStyle,
        text: &str,
        take: impl FnOnce(&[u8]) -> T,
    ) -> Result<Option<T>, PamError> {
        let call = self.call.ok_or(PamError::CONV_ERR)?;
        let text = CString::new(text).map_err(|_| PamError::CONV_ERR)?;
        let message = Message { style: style as c_int, text: text.as_ptr() };
        let mut messages = &raw const message;
        let mut answers = ptr::null_mut();
        // SAFETY: the application's function, by this function's contract; the
        // message and the place for the answer outlive the call.
        let code = unsafe { call(1, &raw mut messages, &raw mut answers, self.context) };
        if code == PamError::CONV_AGAIN as c_int {
            return Err(PamError::INCOMPLETE);
        }
        if code != PamError::SUCCESS as c_int {
            // After a failure nothing was handed over: freeing what the
            // pointer shows could free twice.
            return Err(PamError::CONV_ERR);
        }
        // SAFETY: after success the application has handed over NULL or an
        // array of one answer (one message was given), made with malloc.
        Ok(unsafe { consume(answers, take) })
    }
}

/// Takes an array of one answer: reads it, zeroes it, frees it.
///
/// # Safety
/// NULL, or `malloc`'s, as is the text in it, which is NUL-terminated; nobody else uses them.
unsafe fn consume<T>(answers: *mut Answer, take: impl FnOnce(&[u8]) -> T) -> Option<T> {
    if answers.is_null() {
        return None;
    }
    // SAFETY: not NULL, so an answer, by this function's contract.
    let text = unsafe { (*answers).text };
    let taken = (!text.is_null()).then(|| {
        // SAFETY: not NULL, so NUL-terminated, by this function's contract.
        let length = unsafe { CStr::from_ptr(text) }.count_bytes();
        // SAFETY: `length` bytes before the NUL, and nobody else uses them.
        let bytes = unsafe { std::slice::from_raw_parts_mut(text.cast::<u8>(), length) };
        let taken = take(bytes);
        bytes.zeroize();
        taken
    });
    // SAFETY: malloc's or NULL, and not used any more.
    unsafe { libc::free(text.cast()) };
    // SAFETY: malloc's, and not used any more.
    unsafe { libc::free(answers.cast()) };
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers with a copy of the text that the context points to; none for NULL.
    unsafe extern "C" fn echo(
        count: c_int,
        messages: *mut *const Message,
        answers: *mut *mut Answer,
        context: *mut c_void,
    ) -> c_int {
        assert_eq!(count, 1);
        // SAFETY: the test's caller passes one message.
        let message = unsafe { *messages };
        // SAFETY: the test's caller points to a message that lives during the call.
        let style = unsafe { (*message).style };
        assert_eq!(style, 1, "PAM_PROMPT_ECHO_OFF");
        let text = if context.is_null() {
            ptr::null_mut()
        } else {
            // SAFETY: the test's context is a C string.
            unsafe { libc::strdup(context.cast()) }
        };
        // SAFETY: plain allocation.
        let answer: *mut Answer = unsafe { libc::calloc(1, size_of::<Answer>()) }.cast();
        // SAFETY: allocated above.
        unsafe { (*answer).text = text };
        // SAFETY: the caller's place for the answer.
        unsafe { *answers = answer };
        0
    }

    unsafe extern "C" fn silence(
        _: c_int,
        _: *mut *const Message,
        _: *mut *mut Answer,
        _: *mut c_void,
    ) -> c_int {
        0
    }

    /// Fails with the code in the context, and leaves a wild pointer behind.
    unsafe extern "C" fn failure(
        _: c_int,
        _: *mut *const Message,
        answers: *mut *mut Answer,
        context: *mut c_void,
    ) -> c_int {
        // SAFETY: the caller's place for the answer.
        unsafe { *answers = ptr::without_provenance_mut(8) };
        c_int::try_from(context.addr()).unwrap()
    }

    fn ask(conversation: Conversation) -> Result<Option<Vec<u8>>, PamError> {
        // SAFETY: the functions above keep the contract of a conversation.
        unsafe { conversation.say(PamMsgStyle::PROMPT_ECHO_OFF, "Password: ", <[u8]>::to_vec) }
    }

    #[test]
    fn an_answer_arrives_as_bytes() {
        let context = c"p\xe4ss".as_ptr().cast_mut().cast();
        let answer = ask(Conversation { call: Some(echo), context });
        assert_eq!(answer, Ok(Some(b"p\xe4ss".to_vec())));
    }

    #[test]
    fn a_null_answer_is_no_answer() {
        let none = ptr::null_mut();
        assert_eq!(ask(Conversation { call: Some(echo), context: none }), Ok(None));
        assert_eq!(ask(Conversation { call: Some(silence), context: none }), Ok(None));
    }

    #[test]
    fn after_a_failure_no_pointer_is_touched() {
        for (code, error) in [(19, PamError::CONV_ERR), (30, PamError::INCOMPLETE)] {
            let context = ptr::without_provenance_mut(code);
            assert_eq!(ask(Conversation { call: Some(failure), context }), Err(error));
        }
    }

    #[test]
    fn an_application_without_a_conversation_is_an_error() {
        let answer = ask(Conversation { call: None, context: ptr::null_mut() });
        assert_eq!(answer, Err(PamError::CONV_ERR));
    }
}

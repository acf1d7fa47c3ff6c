//! What there is to know about a login besides the answer: for whoever decides
//! those that come while no server answers.

use std::time::{Duration, SystemTime};

use super::lock::ENTRY_UUID;
use crate::account::{Shadow, User};
use crate::directory::Found;
use crate::ldap::ppolicy::PolicyState;

/// What was noticed on the way to an answer.
#[derive(Debug, Default)]
pub struct Trace {
    /// The answer is "unavailable", and it may be that no server said a word. Whether
    /// all are silent, [`Directory::is_silent`](crate::directory::Directory::is_silent) knows.
    pub is_without_answer: bool,
    /// The entry that was found.
    pub dn: Option<String>,
    /// Who may log in, with [`Verdict::Accepted`](crate::protocol::Verdict) to
    /// [`Request::Authorize`](crate::protocol::Request).
    pub account: Option<Account>,
    /// The password is right but has expired, and lets its user in a few more times.
    pub is_grace: bool,
    /// When the server says that the password expires.
    pub password_ends: Option<SystemTime>,
    /// A new password was sent, and it isn't known that it was refused.
    pub may_have_changed: bool,
}

/// Who may log in, as the directory had it.
#[derive(Debug, Clone)]
pub struct Account {
    /// Which of the directories has it, by its place in their order.
    pub directory: usize,
    /// The user.
    pub user: User,
    /// The entry's name.
    pub dn: String,
    /// The entry's identity, if the server tells it.
    pub uuid: Option<String>,
    /// The ages that were read with it.
    pub shadow: Option<Shadow>,
}

impl Trace {
    pub(super) fn note_password(&mut self, policy: &PolicyState, now: SystemTime) {
        self.is_grace = policy.grace_left.is_some();
        let left = policy.expires_in.map(|seconds| Duration::from_secs(seconds.into()));
        self.password_ends = left.and_then(|left| now.checked_add(left));
    }
}

impl Account {
    pub(super) fn new(directory: usize, found: Found, shadow: Option<Shadow>) -> Self {
        let uuid = found.entry.value(ENTRY_UUID).map(str::to_owned);
        Self { directory, user: found.user, dn: found.dn, uuid, shadow }
    }
}

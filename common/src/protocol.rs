//! The requests and responses, defined once.
//!
//! The daemon answers them over its socket, `direct.so` answers the same ones
//! by a function call. A new field or a new request is added here, and
//! [`VERSION`] is raised.
//!
//! Not found, unavailable and refused are three different answers everywhere;
//! no code below a [`Response`] may turn one into another.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::account::{Gid, Group, Name, Shadow, Uid, User};
use crate::secret::Secret;

mod status;

pub use status::{
    CacheMode, Following, OfflineStatus, Phase, ServerState, ServerStatus, Status, TableStatus, Way,
};

/// The version of this vocabulary. Both ends must have the same; an upgrade
/// replaces modules and daemon together, and a process that still has the old
/// module loaded is answered "unavailable".
pub const VERSION: u16 = 3;

/// What a module or a command asks for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Request {
    /// A user by name: [`Response::User`].
    UserByName(Name),
    /// A user by id: [`Response::User`].
    UserById(Uid),
    /// A group by name: [`Response::Group`].
    GroupByName(Name),
    /// A group by id: [`Response::Group`].
    GroupById(Gid),
    /// The ids of the groups that have this user as a member: [`Response::Gids`].
    /// The user need not be in the directory: local users may be members, too.
    GroupsOf(Name),
    /// The ageing of a password: [`Response::Shadow`]. Only for uid 0.
    ShadowByName(Name),
    /// The first (`None`) or next entries of an enumeration: [`Response::Users`],
    /// [`Response::Groups`] or [`Response::Shadows`].
    Enumerate(Map, Option<Cursor>),
    /// Is this the user's password? [`Response::Login`].
    Authenticate {
        /// Who logs in.
        name: Name,
        /// With which password.
        password: Secret,
        /// Where.
        context: Context,
    },
    /// May this user log in here, now? Says nothing about passwords: [`Response::Login`].
    Authorize {
        /// Who logs in.
        name: Name,
        /// Where.
        context: Context,
        /// Whether the password was checked by [`Request::Authenticate`] in
        /// this same login, so that the server has already judged locks and ages.
        authenticated: bool,
    },
    /// Change the user's own password (RFC 3062): [`Response::Login`].
    ChangePassword {
        /// Whose.
        name: Name,
        /// What shows that the user may.
        proof: Proof,
        /// The password to set.
        new: Secret,
    },
    /// Set a user's password with the configured identity: [`Response::Login`].
    /// Only for uid 0.
    ResetPassword {
        /// Whose.
        name: Name,
        /// The password to set.
        new: Secret,
    },
    /// How is the daemon doing? [`Response::Status`]. Anybody may ask: it is about
    /// nobody.
    Status,
    /// Forget what the table says, and see the directory as it is: [`Response::Done`].
    /// Only for uid 0.
    Flush(Flush),
}

/// What is forgotten.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Flush {
    /// A user, under each name and id, and the groups that the user is in.
    User(Name),
    /// A group, under its name and id.
    Group(Name),
    /// Everything.
    All,
    /// What is kept for logins while no server answers.
    Offline,
}

/// A database that can be enumerated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Map {
    /// `passwd`
    Users,
    /// `group`
    Groups,
    /// `shadow`, only for uid 0
    Shadows,
}

/// Where an enumeration stands. It is the daemon's, not the process's: no
/// descriptor is held between two calls, so nothing survives a fork or a
/// closed descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Cursor {
    /// Names the enumeration; not to be guessed.
    pub session: u64,
    /// The number of the next batch. A batch is handed out once.
    pub batch: u32,
}

/// What shows that a user may change their password.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Proof {
    /// The old password.
    Old(Secret),
    /// The right that came with [`LoginAnswer::ticket`].
    Ticket(Ticket),
}

/// The right to change the password once without binding again, handed out
/// with a login that must change it: a last grace login cannot be repeated.
/// It names a connection that is bound as the user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Ticket(pub u64);

/// Where a login happens, as PAM tells it. For access rules and the log.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the PAM items of these names, pam_get_item(3)")]
pub struct Context {
    pub service: String,
    pub tty: String,
    pub rhost: String,
    pub ruser: String,
}

/// The longest text of a [`Context`], in bytes; what is longer is cut.
pub const MAX_CONTEXT: usize = 256;

impl Context {
    /// Makes a context of texts of any length.
    pub fn new(service: &str, tty: &str, rhost: &str, ruser: &str) -> Self {
        let cut = |text: &str| text[..text.floor_char_boundary(MAX_CONTEXT)].to_owned();
        Self { service: cut(service), tty: cut(tty), rhost: cut(rhost), ruser: cut(ruser) }
    }
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Response {
    /// To [`Request::UserByName`] and [`Request::UserById`].
    User(User),
    /// To [`Request::GroupByName`] and [`Request::GroupById`].
    Group(Group),
    /// To [`Request::GroupsOf`].
    Gids(Vec<Gid>),
    /// To [`Request::ShadowByName`].
    Shadow(Shadow),
    /// To [`Request::Enumerate`] of [`Map::Users`].
    Users(Batch<User>),
    /// To [`Request::Enumerate`] of [`Map::Groups`].
    Groups(Batch<Group>),
    /// To [`Request::Enumerate`] of [`Map::Shadows`].
    Shadows(Batch<Shadow>),
    /// To the requests about logins and passwords.
    Login(LoginAnswer),
    /// To [`Request::Status`].
    Status(Status),
    /// To [`Request::Flush`]: from now on lookups see the directory as it is.
    Done,
    /// The directory was asked, and there is no such entry.
    NotFound,
    /// Nobody knows: the question could not be put to the directory.
    Unavailable(Unavailable),
    /// The asker may not ask this.
    Refused(Refused),
}

/// Some entries of an enumeration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch<T> {
    /// The entries; may be empty before the end.
    pub entries: Vec<T>,
    /// How to get the next ones; `None` at the end.
    pub next: Option<Cursor>,
}

/// What was decided about a login or a password change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoginAnswer {
    /// The decision.
    pub verdict: Verdict,
    /// What the user should read, in this order.
    pub messages: Vec<String>,
    /// With [`Verdict::MustChange`] after a last grace login.
    pub ticket: Option<Ticket>,
}

impl From<Verdict> for LoginAnswer {
    fn from(verdict: Verdict) -> Self {
        Self { verdict, messages: Vec::new(), ticket: None }
    }
}

/// A decision. Only [`Verdict::Accepted`] lets anybody in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// The password is right; the user may log in; the password was changed.
    Accepted,
    /// The password is right and has to be changed before anything else.
    MustChange,
    /// No such user in the directory, or more than one.
    UnknownUser,
    /// The password is wrong (or empty).
    WrongPassword,
    /// The directory has locked the account.
    Locked,
    /// The account's last day has passed.
    AccountExpired,
    /// The password is too old to be used, and can't be changed by its user any more.
    PasswordExpired,
    /// An access rule keeps the user out.
    Denied,
    /// The server refuses the new password; its reason is in the messages.
    NewPasswordRefused,
    /// This host has no identity that may reset passwords, or its identity may not.
    ResetNotAllowed,
}

/// Why nobody knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Unavailable {
    /// No daemon listens, and there is no `direct.so`.
    NoDaemon,
    /// The daemon can't be reached, or went away.
    Daemon(String),
    /// What answered doesn't speak this protocol, or another version of it.
    Protocol(String),
    /// The time was over.
    TimedOut,
    /// The daemon has too much to do for this asker.
    Busy,
    /// The configuration can't be used.
    Configuration(String),
    /// No server of the directory answers, or it answers an error.
    Directory(String),
    /// To [`Request::Flush`]: it didn't take place, for this reason.
    Flush(String),
}

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoDaemon => {
                f.write_str("no rollcall daemon is running (see \"systemctl status rollcall\")")
            }
            Self::Daemon(what) => write!(f, "the rollcall daemon can't be asked: {what}"),
            Self::Protocol(what) => write!(f, "the rollcall daemon isn't understood: {what}"),
            Self::TimedOut => f.write_str("no answer in time"),
            Self::Busy => f.write_str("the rollcall daemon has too many requests of this user"),
            Self::Configuration(what) | Self::Flush(what) => write!(f, "{what}"),
            Self::Directory(what) => write!(f, "the directory can't be asked: {what}"),
        }
    }
}

/// Why an asker may not ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refused {
    /// Only root may ask this.
    NotRoot,
    /// The request can't be understood.
    Malformed,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotRoot => "only root may ask this",
            Self::Malformed => "the request can't be understood",
        })
    }
}

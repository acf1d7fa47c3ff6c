//! What can go wrong between this host and a server.

use std::fmt;

use crate::protocol::Unavailable;

/// Why a server, or all servers of a directory, could not answer. "No such
/// entry" is not an error, and neither is a refused password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LdapError {
    /// A server can't be reached: no such name, refused, unreachable, hung up.
    Connect(String),
    /// TLS can't be set up: usually a certificate that isn't signed by a known
    /// authority or is for another name.
    Tls(String),
    /// The server spoke something that isn't LDAP, or too much of it.
    Protocol(&'static str),
    /// The same, so that the connection was ended here; another one may serve.
    Broken(&'static str),
    /// The server refuses the reader's DN or password.
    ReaderRefused(String),
    /// The server answered a result code that says nothing about the question
    /// (RFC 4511 appendix A).
    Result(u32, String),
    /// There are more entries than can be looked at, so some of them are no answer.
    TooMany(&'static str),
    /// The request's time is over.
    TimedOut,
    /// Too many requests are under way.
    Busy,
    /// All servers failed a moment ago, for this reason; the next attempt is due later.
    Down(String),
    /// The configuration can't be used.
    Configuration(String),
}

impl fmt::Display for LdapError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(what) | Self::Tls(what) | Self::Configuration(what) => f.write_str(what),
            Self::Protocol(what) | Self::Broken(what) => {
                write!(f, "the server doesn't speak LDAP as it should: {what}")
            }
            Self::ReaderRefused(what) => {
                write!(f, "the server refuses bind_dn or its password: {what}")
            }
            Self::Result(code, text) => {
                let (name, gap) = (result_name(*code), if text.is_empty() { "" } else { ": " });
                write!(f, "the server answers {name} ({code}){gap}{text}")
            }
            Self::TooMany(what) => write!(f, "the directory holds too much: {what}"),
            Self::TimedOut => f.write_str("no answer in time"),
            Self::Busy => f.write_str("too many requests are under way"),
            Self::Down(what) => write!(f, "no server answers ({what})"),
        }
    }
}

impl LdapError {
    /// Whether the server says that the base of a search isn't there.
    pub fn is_no_such_object(&self) -> bool {
        matches!(self, Self::Result(NO_SUCH_OBJECT, _))
    }

    /// Whether it may be that nobody answered at all. A server that refuses, that can't prove
    /// who it is, or that speaks something else than LDAP has answered. One that closes the
    /// connection hasn't.
    pub fn is_silence(&self) -> bool {
        matches!(self, Self::Connect(_) | Self::TimedOut | Self::Down(_))
    }

    /// Whether a connection, once made, is of no use any more, and another one may be.
    pub fn ends_a_connection(&self) -> bool {
        matches!(self, Self::Connect(_) | Self::Broken(_) | Self::Tls(_))
    }
}

impl std::error::Error for LdapError {}

impl From<LdapError> for Unavailable {
    fn from(error: LdapError) -> Self {
        match error {
            LdapError::TimedOut => Self::TimedOut,
            LdapError::Busy => Self::Busy,
            LdapError::Configuration(what) => Self::Configuration(what),
            other => Self::Directory(other.to_string()),
        }
    }
}

impl From<ldap3::LdapError> for LdapError {
    fn from(error: ldap3::LdapError) -> Self {
        match error {
            ldap3::LdapError::Timeout { .. } => Self::TimedOut,
            ldap3::LdapError::Io { source } => Self::Connect(source.to_string()),
            // The rest is this side's ends of channels to a connection that is gone.
            _ => Self::Connect("the server closed the connection".into()),
        }
    }
}

/// There is more than was asked for, or than the server gives.
pub(super) const SIZE_LIMIT_EXCEEDED: u32 = 4;
/// What was asked for is on another server.
pub(crate) const REFERRAL: u32 = 10;
/// Something else went wrong.
pub(super) const OTHER: u32 = 80;
/// The base or entry of an operation does not exist.
pub(super) const NO_SUCH_OBJECT: u32 = 32;
/// The server is too busy just now.
pub(crate) const BUSY: u32 = 51;
/// The server is about to end, or in the middle of a change.
pub(crate) const UNAVAILABLE: u32 = 52;
/// A bind needs more protection than it had.
pub(crate) const STRONGER_AUTH_REQUIRED: u32 = 8;
/// An operation needs a confidential connection.
pub(crate) const CONFIDENTIALITY_REQUIRED: u32 = 13;

/// The name that RFC 4511 gives a result code.
fn result_name(code: u32) -> &'static str {
    match code {
        1 => "operationsError",
        2 => "protocolError",
        3 => "timeLimitExceeded",
        4 => "sizeLimitExceeded",
        8 => "strongerAuthRequired",
        10 => "referral",
        11 => "adminLimitExceeded",
        13 => "confidentialityRequired",
        32 => "noSuchObject",
        34 => "invalidDNSyntax",
        48 => "inappropriateAuthentication",
        49 => "invalidCredentials",
        50 => "insufficientAccessRights",
        51 => "busy",
        52 => "unavailable",
        53 => "unwillingToPerform",
        _ => "an error",
    }
}

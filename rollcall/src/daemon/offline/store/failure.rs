//! What goes wrong with the file, and what that means: whether it is none of ours, or can't be
//! used at the moment.

use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

use redb::{Error, StorageError};

/// Why nothing can be kept or read.
#[derive(Debug)]
pub(in super::super) enum Trouble {
    /// Another daemon has the file.
    InUse,
    /// It can't be read or written, usually for want of room or permission.
    Failed(String),
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InUse => f.write_str("another daemon has the file"),
            Self::Failed(why) => f.write_str(why),
        }
    }
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

/// How an attempt ended that wasn't as it should be.
pub(super) enum Failure {
    /// The file is none of ours, or damaged.
    Unreadable(String),
    /// It is of a program with another form of records, by its number.
    OtherForm(u64),
    Trouble(Trouble),
}

/// redb may panic over a file that was changed by others.
pub(super) fn caught<T>(work: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|_| Err(Failure::Unreadable("it is damaged".into())))
}

impl From<Trouble> for Failure {
    fn from(trouble: Trouble) -> Self {
        Self::Trouble(trouble)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let text = error.to_string();
        match error {
            Error::DatabaseAlreadyOpen | Error::LockProtocolMismatch => {
                Self::Trouble(Trouble::InUse)
            }
            // Not a database at all, an older or newer one, somebody else's, or a damaged one.
            Error::Corrupted(_)
            | Error::UpgradeRequired(_)
            | Error::TableTypeMismatch { .. }
            | Error::TableIsMultimap(_)
            | Error::TypeDefinitionChanged { .. }
            | Error::TableDoesNotExist(_)
            | Error::LockPoisoned(_) => Self::Unreadable(text),
            Error::Io(error) if error.kind() == io::ErrorKind::InvalidData => {
                Self::Unreadable(text)
            }
            // It is shorter than it says.
            Error::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Self::Unreadable(text)
            }
            _ => Self::Trouble(Trouble::Failed(text)),
        }
    }
}

impl From<StorageError> for Failure {
    fn from(error: StorageError) -> Self {
        Error::from(error).into()
    }
}

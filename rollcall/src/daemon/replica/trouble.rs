//! Why a poll failed, and what that means for who asks.
//!
//! | trouble | the replica | lookups |
//! |---|---|---|
//! | outage | is kept | find what is there; can't ask for the rest anyway |
//! | a directory that answers lookups and can't be read | is let go of when completeness has ended | ask the directory |
//! | most entries vanished | is kept until somebody insists | find what is there, ask for the rest |
//!
//! **Broken.** What a server says may be refused before it is read: a message of more than 64 MiB, a DN
//! that isn't UTF-8 (`common/src/ldap/guard.rs`). That ends the connection. It may be whatever stands in
//! the server's place for a while; but where everything else is answered, and that for longer than the
//! replica was complete, it is one entry that can't be read.

use std::io;

use common::ldap::LdapError;
use common::protocol::Map;

use super::population::Balance;

/// Why there is no poll, or no complete one.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failed {
    /// The directory can't be read.
    #[error("{0}")]
    Directory(#[from] LdapError),
    /// There are more accounts than the configuration allows.
    #[error("there are more than {0} users and groups (cache.max_replica)")]
    TooMany(usize),
    /// Most of a map isn't there any more.
    #[error(
        "{missing} of {known} {} are gone from the directory; that is believed after \
         \"rollcall flush\", or when it has been so for an hour", name_of(*map)
    )]
    Vanished {
        /// Which one.
        map: Map,
        /// How many entries are gone.
        missing: usize,
        /// Of how many.
        known: usize,
    },
    /// The table can't be written.
    #[error("the table can't be written: {0}")]
    Table(#[from] io::Error),
    /// The table's thread began from nothing, so this has to do so, too.
    #[error("the table was lost")]
    Lost,
}

impl Failed {
    /// Most of a map isn't there any more.
    pub(super) fn vanished(map: Map, balance: Balance) -> Self {
        let missing = balance.before.saturating_sub(balance.after);
        Self::Vanished { map, missing, known: balance.before }
    }
}

/// What kind of failure it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// The directory can't be asked at all.
    Outage,
    /// It can be asked, but not read: by a limit, for instance.
    Unreadable,
    /// Most of it isn't there any more.
    Vanished,
    /// It is the table.
    Table,
}

/// The server is too busy just now (RFC 4511 appendix A).
const BUSY: u32 = 51;
/// The server is about to end, or in the middle of a change.
const UNAVAILABLE: u32 = 52;

impl Trouble {
    /// The kind of a failure.
    pub(super) fn of(why: &Failed) -> Self {
        match why {
            Failed::Directory(error) => Self::of_directory(error),
            Failed::TooMany(_) => Self::Unreadable,
            Failed::Vanished { .. } => Self::Vanished,
            Failed::Table(_) | Failed::Lost => Self::Table,
        }
    }

    fn of_directory(error: &LdapError) -> Self {
        match error {
            LdapError::Connect(_)
            // Whatever stands in the server's place for a while.
            | LdapError::Broken(_)
            | LdapError::Down(_)
            | LdapError::TimedOut
            | LdapError::Tls(_)
            | LdapError::Busy
            // Lookups are refused as well.
            | LdapError::ReaderRefused(_)
            | LdapError::Configuration(_)
            | LdapError::Result(BUSY | UNAVAILABLE, _) => Self::Outage,
            LdapError::Protocol(_) | LdapError::Result(..) | LdapError::TooMany(_) => {
                Self::Unreadable
            }
        }
    }

    /// The same, knowing more: whether there is an outage of the directory, and whether
    /// completeness has ended since this last worked.
    pub(super) fn seen(self, why: &Failed, is_outage: bool, is_over: bool) -> Self {
        match why {
            Failed::Directory(LdapError::Broken(_)) if !is_outage && is_over => Self::Unreadable,
            _ => self,
        }
    }

    /// What to do about it, for the log.
    pub(super) fn advice(self) -> &'static str {
        match self {
            Self::Unreadable => {
                "; try a smaller page_size or higher limits for bind_dn on the server, look for \
                 an entry of more than 64 MiB, or set cache.mode = \"on-demand\""
            }
            Self::Outage | Self::Vanished | Self::Table => "",
        }
    }
}

fn name_of(map: Map) -> &'static str {
    match map {
        Map::Groups => "groups",
        Map::Users | Map::Shadows => "users",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(error: LdapError) -> Trouble {
        Trouble::of(&Failed::Directory(error))
    }

    #[test]
    fn a_server_that_can_not_be_asked_is_an_outage() {
        for error in [
            LdapError::Connect(String::new()),
            LdapError::Broken("a message doesn't start as one"),
            LdapError::Down(String::new()),
            LdapError::Tls(String::new()),
            LdapError::TimedOut,
            LdapError::Result(BUSY, String::new()),
        ] {
            assert_eq!(of(error.clone()), Trouble::Outage, "{error:?}");
        }
    }

    #[test]
    fn a_server_that_answers_and_does_not_give_all_is_none() {
        for error in [
            LdapError::Result(4, String::new()),
            LdapError::Result(11, String::new()),
            LdapError::Protocol("too long"),
        ] {
            assert_eq!(of(error.clone()), Trouble::Unreadable, "{error:?}");
        }
    }

    #[test]
    fn what_is_refused_for_long_while_all_else_is_answered_can_not_be_read() {
        let why = Failed::Directory(LdapError::Broken("a DN is not UTF-8"));
        let seen = |is_outage, is_over| Trouble::of(&why).seen(&why, is_outage, is_over);
        assert_eq!(seen(false, true), Trouble::Unreadable);
        assert_eq!(seen(false, false), Trouble::Outage, "it may be over soon");
        assert_eq!(seen(true, true), Trouble::Outage);
        let down = Failed::Directory(LdapError::Down(String::new()));
        assert_eq!(Trouble::of(&down).seen(&down, false, true), Trouble::Outage);
    }

    #[test]
    fn what_vanished_is_told_with_its_numbers() {
        let why = Failed::Vanished { map: Map::Users, missing: 80, known: 110 };
        assert!(why.to_string().starts_with("80 of 110 users are gone"), "{why}");
        assert_eq!(Trouble::of(&why), Trouble::Vanished, "no outage, and nothing is let go of");
    }
}

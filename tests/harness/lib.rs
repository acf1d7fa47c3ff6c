//! Starts real servers and logs in through them.
//!
//! A [`Directory`] is a slapd of its own, with a certificate authority of its
//! own. A [`Host`] is this machine once more in namespaces of its own: what a
//! test writes to `/etc` there, nobody else ever sees. A [`Terminal`] types into
//! `ssh`, `su` and `passwd`. A [`Relay`] takes its time, [`Names`] are what a host's
//! DNS server knows, and a host's network can be cut. Dropping each ends everything that it started; so
//! does the end of the test process, however it comes about.
//!
//! What a test needs and can't have is a failure that says what to install,
//! never a test that is passed over.

#![forbid(unsafe_code)]
#![allow(clippy::missing_panics_doc, reason = "a harness fails a test by panicking")]
#![allow(clippy::needless_pass_by_value, reason = "a builder that takes values reads best")]

mod certificate;
mod directory;
mod host;
mod keeper;
mod login;
mod need;
mod terminal;
mod wait;

pub use directory::{
    BASE, Changes, Counts, Directory, DirectoryBuilder, Policy, READER, RESETTER, User,
};
pub use host::{Daemon, Host, HostBuilder, Names, Output, Relay, Trouble};
pub use login::{Login, Outcome};
pub use terminal::Terminal;
pub use wait::{PATIENCE, until};

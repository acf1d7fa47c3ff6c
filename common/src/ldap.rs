//! Speaks LDAP (RFC 4511) to the servers of a directory.
//!
//! ```text
//!  directory, login                     what to ask
//!        │
//!      pool      which connection: kept ones, the next server, an outage
//!        │
//!     connect    one connection: name → TCP → StartTLS → TLS → bind
//!        │
//!      ldap3     requests and responses
//!        │  a socket pair        (past which entries go that are many: bypass)
//!      guard     lets only well-formed, bounded messages through
//!        │
//!       TLS
//! ```

mod bulk;
mod bypass;
pub mod connect;
pub(crate) mod content_sync;
pub mod dn;
mod elements;
mod entry;
pub(crate) mod error;
pub mod filter;
mod guard;
mod message;
mod names;
pub(crate) mod pages;
pub mod pool;
pub mod ppolicy;
pub mod search;
pub(crate) mod subscription;
mod tcp;
mod tls;

pub use error::LdapError;

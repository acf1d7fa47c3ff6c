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
//!        │  a socket pair
//!      guard     lets only well-formed, bounded messages through
//!        │
//!       TLS
//! ```

pub mod connect;
pub mod dn;
pub(crate) mod error;
pub mod filter;
mod guard;
mod message;
pub mod pool;
pub mod ppolicy;
pub mod search;
mod tls;

pub use error::LdapError;

//! What Rollcall's modules, daemon and commands share.
//!
//! A lookup flows one way: a module makes a [`protocol::Request`], [`client`]
//! carries it to the daemon (or, on a host without one, to `direct.so`), and
//! the code behind the feature `directory` answers it from LDAP. Without that
//! feature this crate is small enough to be loaded into every process of a
//! machine: no LDAP, no TLS, no async runtime, no TOML.
//!
//! | file | idea |
//! |---|---|
//! | [`account`] | names, ids, users and groups that are valid by construction |
//! | [`secret`] | passwords: zeroed, unprintable |
//! | [`deadline`] | the one time limit that all steps of a request share |
//! | [`protocol`] | the requests and responses, defined once |
//! | [`frame`] | how they travel: length-bounded frames |
//! | [`client`] | asks the daemon; falls back to `direct.so` |
//! | [`direct`] | loads `direct.so` |
//! | [`guest`] | what surrounds every call from a program that isn't ours |
//! | [`table`] | answers without leaving the process |
//! | [`paths`] | where things lie on a host |

#![deny(unsafe_code)]

pub mod account;
pub mod client;
pub mod deadline;
#[allow(unsafe_code)] // FFI: dlopen
pub mod direct;
pub mod frame;
#[allow(unsafe_code)] // FFI: pthread_setcancelstate
pub mod guest;
pub mod paths;
pub mod protocol;
pub mod secret;
pub mod table;

#[cfg(feature = "directory")]
pub mod config;
#[cfg(feature = "directory")]
pub mod directory;
#[cfg(feature = "directory")]
pub mod handle;
#[cfg(feature = "directory")]
pub mod ldap;
#[cfg(feature = "directory")]
pub mod login;
#[cfg(feature = "directory")]
mod random;
#[cfg(feature = "directory")]
pub mod schema;

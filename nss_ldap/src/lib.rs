//! `libnss_ldap.so.2`: users and groups of an LDAP directory for glibc.
//!
//! glibc loads this module into every process whose `nsswitch.conf(5)` names
//! the service `ldap`, and calls the functions below by their names
//! (`_nss_ldap_getpwnam_r` and so on, glibc manual, "Name Service Switch").
//! The module reads `common::table`, asks `common::client` what isn't there, and
//! puts the answer into the caller's buffer; it knows nothing of LDAP.
//!
//! It is a guest: it starts no thread, holds no lock and no descriptor between
//! two calls, prints nothing, reads no environment variable, and no panic
//! leaves it.
//!
//! | file | idea |
//! |---|---|
//! | `passwd` `group` `shadow` `initgroups` | glibc's functions, one database a file |
//! | `table` | what the table says, in the caller's buffer |
//! | `answer` | one lookup, and the answer that is kept for a bigger buffer |
//! | `enumerate` | where a thread's enumeration stands |
//! | `buffer` | the caller's buffer |
//! | `entry` | what surrounds every call: `common::guest`, errno |
//! | `status` | which answer is which status and errno |
//! | `report` | the rare line in the log |

#![deny(unsafe_code)]

mod answer;
#[allow(unsafe_code)] // FFI: the caller's buffer
mod buffer;
#[allow(unsafe_code)] // FFI: the caller's errno
mod entry;
mod enumerate;
#[allow(unsafe_code)] // FFI: glibc's entry points
pub mod group;
#[allow(unsafe_code)] // FFI: glibc's entry points
pub mod initgroups;
#[allow(unsafe_code)] // FFI: glibc's entry points
pub mod passwd;
mod report;
#[allow(unsafe_code)] // FFI: glibc's entry points
pub mod shadow;
mod status;
mod table;

#[cfg(test)]
#[allow(unsafe_code)] // the structs of glibc
mod tests;

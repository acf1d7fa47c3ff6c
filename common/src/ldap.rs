//! Speaks LDAP (RFC 4511) to the servers of a directory.

pub mod filter;

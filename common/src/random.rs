//! Numbers that nobody can guess.

use rustix::io::Errno;
use rustix::rand::{GetRandomFlags, getrandom};

use crate::ldap::LdapError;

/// A number that names something its owner alone may use (`getrandom(2)`).
///
/// # Errors
/// [`LdapError::Configuration`] where the kernel, or a filter of system calls, gives none.
pub(crate) fn token() -> Result<u64, LdapError> {
    let mut bytes = [0; 8];
    loop {
        match getrandom(&mut bytes, GetRandomFlags::empty()) {
            Ok(8) => return Ok(u64::from_ne_bytes(bytes)),
            Ok(_) | Err(Errno::INTR) => {}
            Err(e) => return Err(LdapError::Configuration(format!("no random numbers: {e}"))),
        }
    }
}

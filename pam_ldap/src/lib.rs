//! `pam_ldap.so`: logins of an LDAP directory for PAM.
//!
//! The module asks the user and tells PAM; what is true about a user and a
//! password is decided behind [`common::client`]. It keeps nothing outside the
//! PAM handle, starts no thread, and prints nothing.
//!
//! | file | idea |
//! |---|---|
//! | `entries` | the six functions that libpam calls, and the guard around them |
//! | `args` | the options of a line in `/etc/pam.d` |
//! | `login` | what the phases share: whose login, asking, logging, telling |
//! | `auth`, `account`, `password` | one phase each |
//! | `status` | what a response means to PAM, in one table |
//! | `handle` | what the module needs from PAM, as a trait |
//! | `libpam`, `conversation` | the same by the real library |

#![deny(unsafe_code)]

mod account;
mod args;
mod auth;
#[allow(unsafe_code)] // FFI: the application's conversation function
mod conversation;
#[allow(unsafe_code)] // FFI: what libpam calls
mod entries;
mod handle;
#[allow(unsafe_code)] // FFI: what is called in libpam
mod libpam;
mod login;
mod password;
mod status;

#[cfg(test)]
mod fake;

pub use entries::{
    pam_sm_acct_mgmt, pam_sm_authenticate, pam_sm_chauthtok, pam_sm_close_session,
    pam_sm_open_session, pam_sm_setcred,
};

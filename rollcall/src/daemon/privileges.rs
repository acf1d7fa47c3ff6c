//! Gives up what the daemon doesn't need any more, once the socket listens and
//! the configuration with its secrets is read.

use nix::sys::prctl;
use nix::unistd::{Gid, Uid, User, setgroups, setresgid, setresuid};
use tracing::{info, warn};

use super::StartError;
use super::listen::Listening;

/// Whom the daemon becomes where nothing else is said.
const DEFAULT_USER: &str = "rollcall";

/// Becomes `user` if started by root, and shuts the doors behind.
pub(super) fn drop(user: Option<&str>, listening: &Listening) -> Result<(), StartError> {
    become_user(user, listening)?;
    // Nothing the daemon could start may have more rights than it has itself.
    prctl::set_no_new_privs()?;
    // Passwords pass through this memory: no core dump, no ptrace by the same
    // user. After setresuid, which sets this anew (prctl(2)).
    prctl::set_dumpable(false)?;
    Ok(())
}

fn become_user(wanted: Option<&str>, listening: &Listening) -> Result<(), StartError> {
    let name = wanted.unwrap_or(DEFAULT_USER);
    let failed = |reason: String| StartError::User { name: name.to_owned(), reason };
    // Looked up in /etc/passwd only: see `ffi::look_up_in_files_only`.
    let user = User::from_name(name).map_err(|e| failed(e.to_string()))?;
    let (user, root) = match (user, Uid::effective().is_root()) {
        (Some(user), root) => (user, root),
        (None, _) if wanted.is_some() => return Err(failed("it isn't in /etc/passwd".into())),
        (None, true) => {
            warn!("running as root, since there is no user {DEFAULT_USER:?}");
            return Ok(());
        }
        (None, false) => return Ok(()),
    };
    if !root {
        if wanted.is_some() && user.uid != Uid::effective() {
            return Err(failed("only root can become another user".into()));
        }
        return Ok(());
    }
    if user.uid.is_root() {
        return Ok(());
    }
    become_for_good(user.uid, user.gid, listening).map_err(|e| failed(e.to_string()))?;
    info!("running as {name:?}");
    Ok(())
}

/// The real, effective and saved ids all change, so that there is no way back.
fn become_for_good(uid: Uid, gid: Gid, listening: &Listening) -> nix::Result<()> {
    listening.give_folder_to(uid, gid)?;
    setgroups(&[])?;
    setresgid(gid, gid, gid)?;
    setresuid(uid, uid, uid)
}

//! Gives up what the daemon doesn't need any more, once the socket listens and
//! the configuration with its secrets is read.

use std::fs::DirBuilder;
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use nix::sys::prctl;
use nix::unistd::{Gid, Uid, User, chown, setgroups, setresgid, setresuid};
use tracing::{info, warn};

use super::StartError;
use super::listen::{Listening, make_public_folder};

/// Whom the daemon becomes where nothing else is said.
const DEFAULT_USER: &str = "rollcall";

/// Whom it becomes on a host that has no such user (one without systemd, a
/// container): an id that is nobody's. It is in the range that systemd hands out
/// to services for as long as they run, so no account has it, and no directory
/// may give it to anybody.
const NAMELESS: u32 = 64_389;

/// Whom the daemon is to become; `None`: it stays who it is.
#[derive(Debug)]
pub(super) struct Successor(Option<Identity>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Identity {
    name: String,
    uid: Uid,
    gid: Gid,
}

impl Successor {
    /// Looks up whom to become, before anything is made that would be left behind.
    ///
    /// # Errors
    /// When the user doesn't exist, or can't be become. The daemon stays root
    /// only where `wanted` says so.
    pub(super) fn find(wanted: Option<&str>) -> Result<Self, StartError> {
        let name = wanted.unwrap_or(DEFAULT_USER);
        // Looked up in /etc/passwd only: see `ffi::look_up_in_files_only`.
        let find = |found: nix::Result<Option<User>>| found.map_err(|e| e.to_string());
        find(User::from_name(name))
            .and_then(|user| {
                let taken = find(User::from_uid(Uid::from_raw(NAMELESS)))?.is_some();
                choose(wanted, user.map(Identity::from), taken, Uid::effective())
            })
            .map(Self)
            .map_err(|reason| StartError::User { name: name.to_owned(), reason })
    }

    /// Becomes that user, and shuts the doors behind.
    pub(super) fn take_over(
        self,
        listening: &Listening,
        cache_folder: &Path,
        state_folder: &Path,
    ) -> Result<(), StartError> {
        let cache = make_cache_folder(cache_folder).then_some(cache_folder);
        let state = make_state_folder(state_folder).then_some(state_folder);
        if let Self(Some(user)) = self {
            become_for_good(user.uid, user.gid, listening, [cache, state])
                .map_err(|e| StartError::User { name: user.name.clone(), reason: e.to_string() })?;
            info!("running as {} (uid {})", user.name, user.uid);
        }
        // Nothing the daemon could start may have more rights than it has itself.
        prctl::set_no_new_privs()?;
        // Passwords pass through this memory: no core dump, no ptrace by the same
        // user. After setresuid, which sets this anew (prctl(2)).
        prctl::set_dumpable(false)?;
        Ok(())
    }
}

impl From<User> for Identity {
    fn from(user: User) -> Self {
        Self { name: user.name, uid: user.uid, gid: user.gid }
    }
}

/// Whom a process of the user `own` becomes.
fn choose(
    wanted: Option<&str>,
    user: Option<Identity>,
    nameless_is_taken: bool,
    own: Uid,
) -> Result<Option<Identity>, String> {
    match user {
        None if wanted.is_some() => Err("it isn't in /etc/passwd".into()),
        None if own.is_root() && nameless_is_taken => Err("there is no such user; make it \
             (\"systemd-sysusers\", or \"useradd --system rollcall\")"
            .into()),
        None if own.is_root() => Ok(Some(Identity {
            name: "nobody else".into(),
            uid: Uid::from_raw(NAMELESS),
            gid: Gid::from_raw(NAMELESS),
        })),
        Some(user) if own.is_root() => Ok(Some(user).filter(|user| !user.uid.is_root())),
        Some(user) if wanted.is_some() && user.uid != own => {
            Err("only root can become another user".into())
        }
        _ => Ok(None),
    }
}

/// Makes the folder of what is kept over a restart. Whether it wasn't there yet. Nothing
/// but that depends on it, and whoever writes there says what is wrong.
fn make_cache_folder(folder: &Path) -> bool {
    make_public_folder(folder)
        .inspect_err(|error| warn!("the folder {} can't be made: {error}", folder.display()))
        .unwrap_or(false)
}

/// Makes the folder of what is kept for offline logins, for nobody else's eyes. Whether it
/// wasn't there yet.
fn make_state_folder(folder: &Path) -> bool {
    match DirBuilder::new().mode(0o700).create(folder) {
        Ok(()) => true,
        Err(error) => {
            if error.kind() != ErrorKind::AlreadyExists {
                warn!("the folder {} can't be made: {error}", folder.display());
            }
            false
        }
    }
}

/// The real, effective and saved ids all change, so that there is no way back.
fn become_for_good(
    uid: Uid,
    gid: Gid,
    listening: &Listening,
    made: [Option<&Path>; 2],
) -> nix::Result<()> {
    listening.give_folder_to(uid, gid)?;
    for folder in made.into_iter().flatten() {
        chown(folder, Some(uid), Some(gid))?;
    }
    setgroups(&[])?;
    setresgid(gid, gid, gid)?;
    setresuid(uid, uid, uid)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: Uid = Uid::from_raw(0);
    const SOMEBODY: Uid = Uid::from_raw(1000);

    fn user(uid: Uid) -> Identity {
        Identity { name: "somebody".into(), uid, gid: Gid::from_raw(uid.as_raw()) }
    }

    fn uid(chosen: Result<Option<Identity>, String>) -> Result<Option<Uid>, String> {
        chosen.map(|user| user.map(|user| user.uid))
    }

    #[test]
    fn root_becomes_the_daemons_user() {
        let chosen = choose(None, Some(user(SOMEBODY)), false, ROOT);
        assert_eq!(uid(chosen), Ok(Some(SOMEBODY)));
    }

    #[test]
    fn root_becomes_nobody_else_where_the_user_is_missing() {
        assert_eq!(uid(choose(None, None, false, ROOT)), Ok(Some(Uid::from_raw(NAMELESS))));
        assert!(uid(choose(None, None, true, ROOT)).unwrap_err().contains("systemd-sysusers"));
    }

    #[test]
    fn no_directory_can_give_away_the_id_of_nobody_else() {
        assert!(common::account::Uid::new(NAMELESS).is_err());
    }

    #[test]
    fn the_daemon_stays_root_only_when_told_so() {
        assert_eq!(uid(choose(Some("root"), Some(user(ROOT)), false, ROOT)), Ok(None));
    }

    #[test]
    fn whoever_is_not_root_stays_who_they_are() {
        let daemon = user(Uid::from_raw(990));
        assert_eq!(uid(choose(None, None, false, SOMEBODY)), Ok(None));
        assert_eq!(uid(choose(None, Some(daemon), false, SOMEBODY)), Ok(None));
        assert_eq!(uid(choose(Some("me"), Some(user(SOMEBODY)), false, SOMEBODY)), Ok(None));
    }

    #[test]
    fn only_root_becomes_another_user() {
        assert!(choose(Some("root"), Some(user(ROOT)), false, SOMEBODY).is_err());
        assert!(choose(Some("nobody-at-all"), None, false, SOMEBODY).is_err());
        assert!(choose(Some("nobody-at-all"), None, false, ROOT).is_err());
    }
}

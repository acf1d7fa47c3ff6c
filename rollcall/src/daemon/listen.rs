//! The socket: systemd's, or one of our own.

use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::{fs, os::unix::fs::MetadataExt};

use nix::sys::stat::{Mode, umask};
use nix::unistd::{Gid, Uid, chown};
use tracing::warn;

use super::StartError;

/// A socket that listens.
#[derive(Debug)]
pub(super) struct Listening {
    listener: UnixListener,
    path: PathBuf,
    /// The file that we made (device, inode), and that goes when we do.
    made: Option<(u64, u64)>,
    /// The folder that we made for it.
    folder: Option<PathBuf>,
}

/// The socket that systemd hands over, if it does (`sd_listen_fds(3)`).
pub(super) fn inherited() -> Result<Option<UnixListener>, StartError> {
    listenfd::ListenFd::from_env().take_unix_listener(0).map_err(StartError::Inherited)
}

impl Listening {
    /// Uses a socket that somebody else made and will remove.
    pub(super) fn inherited(listener: UnixListener) -> Result<Self, StartError> {
        let address = listener.local_addr().map_err(StartError::Inherited)?;
        let path = address.as_pathname().unwrap_or(Path::new("an inherited socket")).to_owned();
        Ok(Self { listener, path, made: None, folder: None })
    }

    /// Makes the socket, and its folder. A socket on which nobody answers was
    /// left behind by a daemon that was killed, and is replaced.
    pub(super) fn bind(path: &Path) -> Result<Self, StartError> {
        let failed = |source| StartError::Listen { path: path.to_owned(), source };
        let folder = make_folder(path).map_err(failed)?;
        remove_stale(path)?;
        // Everybody may ask. The mode is right from the start: a chmod would
        // come too late for somebody, and would follow a symbolic link. Two
        // daemons started at the same moment could both get here; systemd
        // doesn't start two.
        let old = umask(Mode::from_bits_truncate(0o111));
        // std asks for the longest backlog that the system allows (somaxconn).
        let listener = UnixListener::bind(path);
        umask(old);
        let listener = listener.map_err(failed)?;
        let made = Some(identity(path).map_err(failed)?);
        Ok(Self { listener, path: path.to_owned(), made, folder })
    }

    /// The socket, for the runtime.
    pub(super) fn listener(&self) -> io::Result<UnixListener> {
        self.listener.set_nonblocking(true)?;
        self.listener.try_clone()
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Gives the folder, if we made it, to the user that the daemon becomes:
    /// what is in it is the daemon's, and it removes the socket when it stops.
    pub(super) fn give_folder_to(&self, uid: Uid, gid: Gid) -> nix::Result<()> {
        self.folder.as_deref().map_or(Ok(()), |folder| chown(folder, Some(uid), Some(gid)))
    }

    /// Stops listening. Removes the socket if we made it, and if it is still ours.
    pub(super) fn close(self) {
        if self.made.is_some()
            && identity(&self.path).ok() == self.made
            && let Err(error) = fs::remove_file(&self.path)
        {
            warn!("{} stays behind: {error}", self.path.display());
        }
    }
}

/// Makes the folder of this file, and says so.
fn make_folder(path: &Path) -> io::Result<Option<PathBuf>> {
    let Some(folder) = path.parent().filter(|f| !f.as_os_str().is_empty()) else { return Ok(None) };
    Ok(make_public_folder(folder)?.then(|| folder.to_owned()))
}

/// Makes a folder that everybody may read. Whether it wasn't there yet.
pub(super) fn make_public_folder(folder: &Path) -> io::Result<bool> {
    match fs::DirBuilder::new().mode(0o755).create(folder) {
        Ok(()) => {
            // The mode above is cut by whatever umask the daemon was started with.
            fs::set_permissions(folder, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
            Ok(true)
        }
        Err(e) if e.kind() == ErrorKind::AlreadyExists => Ok(false),
        Err(e) => Err(e),
    }
}

fn remove_stale(path: &Path) -> Result<(), StartError> {
    let failed = |source| StartError::Listen { path: path.to_owned(), source };
    match fs::symlink_metadata(path) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(failed(e)),
        // Whatever this is, it is not ours to remove.
        Ok(meta) if !meta.file_type().is_socket() => {
            return Err(failed(io::Error::other("it is there already, and is not a socket")));
        }
        Ok(_) => {}
    }
    match UnixStream::connect(path) {
        Err(e) if e.kind() == ErrorKind::ConnectionRefused => fs::remove_file(path).map_err(failed),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
        Err(e) => Err(failed(e)),
        Ok(_) => Err(StartError::AnotherDaemon(path.to_owned())),
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|meta| (meta.dev(), meta.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn folder() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run/socket");
        (dir, path)
    }

    #[test]
    fn everybody_may_connect_from_the_start() {
        let (_dir, path) = folder();
        let _listening = Listening::bind(&path).unwrap();
        let mode = |p: &Path| fs::metadata(p).unwrap().permissions().mode() & 0o7777;
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o666, 0o755));
    }

    #[test]
    fn a_socket_on_which_nobody_answers_is_replaced() {
        let (_dir, path) = folder();
        drop(Listening::bind(&path).unwrap());
        assert!(path.exists(), "a killed daemon leaves its socket");
        Listening::bind(&path).unwrap();
    }

    #[test]
    fn a_socket_on_which_somebody_answers_is_left_alone() {
        let (_dir, path) = folder();
        let _first = Listening::bind(&path).unwrap();
        assert!(matches!(Listening::bind(&path), Err(StartError::AnotherDaemon(_))));
        UnixStream::connect(&path).unwrap();
    }

    #[test]
    fn a_file_that_is_not_a_socket_is_left_alone() {
        let (_dir, path) = folder();
        fs::create_dir(path.parent().unwrap()).unwrap();
        fs::write(&path, "precious").unwrap();
        assert!(matches!(Listening::bind(&path), Err(StartError::Listen { .. })));
        assert_eq!(fs::read(&path).unwrap(), b"precious");
    }

    #[test]
    fn closing_removes_our_socket_and_no_other() {
        let (_dir, path) = folder();
        let first = Listening::bind(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let second = Listening::bind(&path).unwrap();
        first.close();
        assert!(path.exists(), "it belongs to the second");
        second.close();
        assert!(!path.exists());
    }
}

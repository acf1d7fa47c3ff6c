//! Opens the files: the configuration and the passwords.
//!
//! Each is opened once, and what is checked is what was opened. Neither a FIFO
//! nor a device makes the caller wait.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use zeroize::Zeroizing;

use crate::secret::{MAX_SECRET, Secret};

/// The largest configuration that is read, in bytes.
const MAX_CONFIG: u64 = 1 << 20;

/// Reads a configuration, if nobody but root and the caller may have written it.
///
/// # Errors
/// A sentence that tells why not.
pub(super) fn read_config(path: &Path) -> Result<String, String> {
    let (mut file, metadata) = open(path)?;
    let caller = rustix::process::geteuid().as_raw();
    if ![0, caller].contains(&metadata.uid()) {
        return Err(format!(
            "it decides who may log in, so it must belong to root, but it belongs to uid {}; \
             try: chown root {}",
            metadata.uid(),
            path.display()
        ));
    }
    let by_group = if metadata.gid() == 0 { 0 } else { 0o020 };
    if metadata.mode() & (0o002 | by_group) != 0 {
        return Err(format!(
            "it decides who may log in, but others can write it (mode {:04o}); \
             try: chmod go-w {}",
            metadata.mode() & 0o7777,
            path.display()
        ));
    }
    if metadata.len() > MAX_CONFIG {
        return Err(format!("it is larger than {MAX_CONFIG} bytes"));
    }
    let mut text = String::new();
    // The length is bounded again: the file may have grown since.
    file.by_ref().take(MAX_CONFIG).read_to_string(&mut text).map_err(|error| {
        match error.kind() {
            io::ErrorKind::InvalidData => "it is not UTF-8 text".to_owned(),
            _ => format!("it can't be read: {error}"),
        }
    })?;
    Ok(text)
}

/// Reads the password in a file, if others can neither read nor write it.
/// One newline at its end isn't part of it.
///
/// # Errors
/// A sentence that tells why not.
pub(super) fn read_secret(path: &Path) -> Result<Secret, String> {
    let name = path.display();
    let (mut file, metadata) = open(path).map_err(|problem| format!("{name}: {problem}"))?;
    if ![0, rustix::process::geteuid().as_raw()].contains(&metadata.uid()) {
        return Err(format!(
            "{name} holds a password, but belongs to uid {}; try: chown root {name}",
            metadata.uid()
        ));
    }
    if metadata.mode() & 0o007 != 0 {
        return Err(format!(
            "{name} holds a password, but others have access to it (mode {:04o}); \
             try: chmod o= {name}",
            metadata.mode() & 0o7777
        ));
    }
    // Of fixed size, so that growing leaves no copy behind.
    let mut buffer = Zeroizing::new([0_u8; MAX_SECRET + 2]);
    let mut length = 0;
    while length < buffer.len() {
        match file.read(&mut buffer[length..]) {
            Ok(0) => break,
            Ok(more) => length += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(format!("{name} can't be read: {error}")),
        }
    }
    let bytes = &buffer[..length];
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let text = std::str::from_utf8(bytes).map_err(|_| format!("{name} is not UTF-8 text"))?;
    if text.is_empty() {
        return Err(format!("{name} is empty; expected a password"));
    }
    if text.len() > MAX_SECRET {
        return Err(format!(
            "{name} holds more than {MAX_SECRET} bytes; expected a password alone"
        ));
    }
    // A second line, or the line end of another system, is an accident that
    // would only show as "wrong password".
    if text.contains(char::is_control) {
        return Err(format!(
            "{name} holds a control character, such as a second line; expected one line with a \
             password alone, ended by a plain newline or by nothing"
        ));
    }
    Ok(Secret::new(text.to_owned()))
}

fn open(path: &Path) -> Result<(File, Metadata), String> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path)
        .map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => "there is no such file".to_owned(),
            io::ErrorKind::PermissionDenied => format!(
                "it can't be read by uid {}: permission denied",
                rustix::process::geteuid().as_raw()
            ),
            _ => format!("it can't be opened: {error}"),
        })?;
    let metadata = file.metadata().map_err(|error| format!("it can't be examined: {error}"))?;
    if metadata.is_file() { Ok((file, metadata)) } else { Err("it is not a regular file".into()) }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn with(content: &[u8], mode: u32) -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        (folder, path)
    }

    #[test]
    fn one_newline_at_the_end_is_not_part_of_a_password() {
        for (content, password) in [("pässword\n", "pässword"), ("x y ", "x y ")] {
            let (_folder, path) = with(content.as_bytes(), 0o640);
            assert_eq!(read_secret(&path).unwrap().expose(), password);
        }
    }

    #[test]
    fn a_password_that_others_can_reach_is_refused() {
        for mode in [0o644, 0o604, 0o602, 0o641] {
            let (_folder, path) = with(b"password", mode);
            let message = read_secret(&path).unwrap_err();
            assert!(message.contains("chmod o="), "{message}");
            assert!(message.contains(&format!("{mode:04o}")), "{message}");
        }
    }

    #[test]
    fn what_is_not_one_line_with_a_password_is_refused() {
        let long = [b'x'; MAX_SECRET + 1];
        for content in
            [&b""[..], b"\n", b"a\nb\n", b"password\r\n", b"a\0b", b"\xff", &long, &[b'x'; 5000]]
        {
            let (_folder, path) = with(content, 0o600);
            assert!(read_secret(&path).is_err(), "{content:?}");
        }
    }

    #[test]
    fn a_password_is_never_part_of_a_message() {
        let (_folder, path) = with(b"hunter2\nhunter2", 0o600);
        assert!(!read_secret(&path).unwrap_err().contains("hunter2"));
    }

    #[test]
    fn a_link_to_a_password_is_followed_and_its_target_checked() {
        let (folder, path) = with(b"password", 0o600);
        let link = folder.path().join("link");
        symlink(&path, &link).unwrap();
        assert!(read_secret(&link).is_ok());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(read_secret(&link).is_err());
    }

    #[test]
    fn only_a_regular_file_is_read() {
        let folder = tempfile::tempdir().unwrap();
        assert!(read_secret(folder.path()).unwrap_err().contains("regular file"));
        assert!(read_config(Path::new("/dev/zero")).unwrap_err().contains("regular file"));
        let fifo = folder.path().join("fifo");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &fifo,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RUSR,
            0,
        )
        .unwrap();
        assert!(read_secret(&fifo).unwrap_err().contains("regular file"));
    }

    #[test]
    fn a_configuration_that_everybody_can_write_is_refused() {
        let (_folder, path) = with(b"", 0o666);
        assert!(read_config(&path).unwrap_err().contains("chmod go-w"));
        let (_folder, path) = with(b"", 0o644);
        assert!(read_config(&path).is_ok());
    }

    #[test]
    fn a_configuration_of_somebody_else_is_refused() {
        let (_folder, path) = with(b"", 0o644);
        // Only root can give files away.
        if std::os::unix::fs::chown(&path, Some(12345), None).is_ok() {
            assert!(read_config(&path).unwrap_err().contains("chown root"));
        }
    }

    #[test]
    fn a_missing_file_is_said_to_be_missing() {
        assert!(read_config(Path::new("/nonexistent")).unwrap_err().contains("no such file"));
    }
}

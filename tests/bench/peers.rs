//! The modules of others, from Debian's packages. They are unpacked into a
//! temporary folder, never installed.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A module of somebody else's.
#[derive(Debug)]
pub(crate) struct Peer {
    /// The package that has it.
    pub(crate) package: &'static str,
    /// Its file.
    pub(crate) file: &'static str,
    /// What its functions are called: `_nss_PREFIX_getpwnam_r`.
    pub(crate) prefix: &'static str,
}

/// Those that Rollcall is measured against.
pub(crate) const ALL: [Peer; 2] = [
    Peer { package: "libnss-ldapd", file: "libnss_ldap.so.2", prefix: "ldap" },
    Peer { package: "libnss-sss", file: "libnss_sss.so.2", prefix: "sss" },
];

impl Peer {
    /// Downloads the package and gives the path of the module in it.
    ///
    /// # Errors
    /// What could not be done.
    pub(crate) fn fetch(&self, folder: &Path) -> Result<PathBuf, String> {
        let folder = folder.join(self.package);
        std::fs::create_dir_all(&folder).map_err(|e| e.to_string())?;
        run(Command::new("apt-get").args(["-q", "download", self.package]).current_dir(&folder))?;
        let package =
            find(&folder, |name| name.starts_with(self.package)).ok_or("no package came")?;
        run(Command::new("dpkg-deb").arg("-x").args([&package, &folder]))?;
        find(&folder, |name| name == self.file).ok_or_else(|| format!("it has no {}", self.file))
    }
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.stdin(Stdio::null()).output().map_err(|e| format!("{command:?}: {e}"))?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    Err(text.lines().last().unwrap_or("it failed").to_owned())
}

/// The first file below a folder whose name is as wanted.
fn find(folder: &Path, wanted: impl Fn(&str) -> bool + Copy) -> Option<PathBuf> {
    let entries: Vec<_> = std::fs::read_dir(folder).ok()?.filter_map(Result::ok).collect();
    let is_folder = |entry: &std::fs::DirEntry| entry.file_type().is_ok_and(|kind| kind.is_dir());
    let file = entries.iter().find(|e| !is_folder(e) && e.file_name().to_str().is_some_and(wanted));
    file.map(std::fs::DirEntry::path).or_else(|| {
        entries
            .iter()
            .filter(|entry| is_folder(entry))
            .find_map(|entry| find(&entry.path(), wanted))
    })
}

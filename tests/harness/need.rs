//! What a test needs from the machine. Missing things are failures with advice.

use std::path::{Path, PathBuf};

const FOLDERS: [&str; 4] = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/// The path of a program.
///
/// # Panics
/// If it isn't installed, with the Debian package that has it.
pub(crate) fn program(name: &str, package: &str) -> PathBuf {
    FOLDERS
        .iter()
        .map(|folder| Path::new(folder).join(name))
        .find(|path| path.exists())
        .unwrap_or_else(|| panic!("{name} is missing: run \"apt-get install {package}\""))
}

/// Panics if we aren't root.
pub(crate) fn root() {
    assert!(
        rustix::process::geteuid().is_root(),
        "this test makes mount and network namespaces: run it as root (\"sudo make test\")"
    );
}

/// The path of something that `make build` makes.
///
/// # Panics
/// If it isn't there.
pub(crate) fn built(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("build").join(name);
    assert!(path.exists(), "{} is missing: run \"make build\" first", path.display());
    path
}

/// Where this machine's shared libraries lie; glibc looks there without being told.
pub(crate) fn library_folder() -> PathBuf {
    let multiarch = format!("/usr/lib/{}-linux-gnu", std::env::consts::ARCH);
    [multiarch.as_str(), "/usr/lib64", "/usr/lib"]
        .iter()
        .map(PathBuf::from)
        .find(|folder| folder.join("libc.so.6").exists())
        .unwrap_or_else(|| panic!("libc.so.6 is in no folder known to the harness"))
}

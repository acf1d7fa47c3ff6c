//! Configurations and their connections, kept between requests.
//!
//! A configuration is read again when its file changed, and also when the
//! process has other rights than it had: what was read, or connected, as root isn't
//! used after root was given up. The files that a configuration names (a password,
//! certificates) are read together with it.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use common::config::Config;
use common::handle::Service;
use common::protocol::Unavailable;

use crate::rights;

/// How many are kept. A host uses one, or two if its PAM stack names another
/// file, times the users that it switches between.
const MAX: usize = 4;

/// The services, the most recently used one last.
#[derive(Default)]
pub(crate) struct Services(Vec<Entry>);

struct Entry {
    path: PathBuf,
    version: Version,
    service: Arc<Service>,
}

/// What must be the same for a configuration to be used again.
#[derive(PartialEq, Eq, Clone, Copy)]
struct Version {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
    /// Of this thread, which are the process's: glibc changes them in all threads at once.
    rights: (u32, u32),
}

impl Services {
    /// The service of this configuration.
    ///
    /// # Errors
    /// [`Unavailable::Configuration`]
    pub(crate) fn get(&mut self, path: &Path) -> Result<Arc<Service>, Unavailable> {
        let version = Version::of(path)
            .map_err(|e| Unavailable::Configuration(format!("{}: {e}", path.display())))?;
        let found = self.0.iter().position(|e| e.path == path && e.version == version);
        let entry = if let Some(index) = found {
            self.0.remove(index)
        } else {
            self.0.retain(|e| e.path != path || e.version.is_of_others(&version));
            let config =
                Config::load(path).map_err(|e| Unavailable::Configuration(e.to_string()))?;
            Entry { path: path.to_owned(), version, service: Service::new(config)? }
        };
        if self.0.len() == MAX {
            self.0.remove(0);
        }
        let service = Arc::clone(&entry.service);
        self.0.push(entry);
        Ok(service)
    }

    /// Forgets all of them.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}

impl Version {
    fn of(path: &Path) -> std::io::Result<Self> {
        let file = fs::metadata(path)?;
        // Anything else could block the runtime for ever.
        if !path.is_absolute() || !file.is_file() {
            return Err(std::io::Error::other("not the absolute path of a file"));
        }
        Ok(Self {
            device: file.dev(),
            inode: file.ino(),
            size: file.len(),
            modified: (file.mtime(), file.mtime_nsec()),
            changed: (file.ctime(), file.ctime_nsec()),
            rights: (rights::euid(), rights::egid()),
        })
    }

    /// Whether it is the same file as others may see it, rather than an older state.
    fn is_of_others(&self, other: &Self) -> bool {
        self.rights != other.rights
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(dir: &Path, name: &str) -> PathBuf {
        let path = dir.join(name);
        fs::write(&path, "[directory]\nuri = [\"ldap://127.0.0.1:1\"]\nbase = \"dc=x\"\n").unwrap();
        path
    }

    #[test]
    fn an_unchanged_file_is_read_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = config(dir.path(), "a.toml");
        let mut services = Services::default();
        let first = services.get(&path).unwrap();
        assert!(Arc::ptr_eq(&first, &services.get(&path).unwrap()));
    }

    #[test]
    fn a_replaced_file_is_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = config(dir.path(), "a.toml");
        let mut services = Services::default();
        let first = services.get(&path).unwrap();
        fs::rename(config(dir.path(), "b.toml"), &path).unwrap();
        assert!(!Arc::ptr_eq(&first, &services.get(&path).unwrap()));
        assert_eq!(services.0.len(), 1);
    }

    #[test]
    fn no_more_than_a_few_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let mut services = Services::default();
        for n in 0..3 * MAX {
            services.get(&config(dir.path(), &format!("{n}.toml"))).unwrap();
        }
        assert_eq!(services.0.len(), MAX);
    }

    #[test]
    fn a_missing_file_is_an_error_that_names_it() {
        let Err(Unavailable::Configuration(text)) =
            Services::default().get(Path::new("/nonexistent/rollcall.toml"))
        else {
            panic!("not an error of the configuration")
        };
        assert!(text.contains("/nonexistent/rollcall.toml"), "{text}");
    }
}

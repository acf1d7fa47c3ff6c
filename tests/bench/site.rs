//! The one directory that everybody here asks, on a host of its own.

use std::fs;
use std::thread;
use std::time::Duration;

use harness::{Counts, Directory, Host};
use tempfile::TempDir;

use crate::people::People;

/// A slapd with people in it. It is gone when this is dropped.
pub(crate) struct Site {
    pub(crate) people: People,
    /// Its network is that of all the others.
    pub(crate) host: Host,
    /// The certificate of the directory's authority.
    pub(crate) ca: String,
    /// What the task of the moment could not measure, beside what it could.
    pub(crate) failed: Vec<String>,
    _folder: TempDir,
}

impl Site {
    /// Loads and starts it.
    pub(crate) fn start(people: People) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let ldif = folder.path().join("people.ldif");
        people.write_ldif(&ldif).expect("the temporary folder has room");
        let directory = Directory::new().access_by_anonymous(false).load(&ldif);
        let mut host = Host::new().plain().directory(directory).start();
        fs::remove_file(&ldif).expect("it was written there");
        let ca = fs::read_to_string(host.directory().ca_file()).expect("it was written");
        host.write(crate::providers::CA_FILE, &ca);
        crate::measure::install(&host);
        Self { people, host, ca, failed: Vec::new(), _folder: folder }
    }

    /// Waits until nobody asks the directory anything for a while, or for long enough.
    pub(crate) fn wait_for_calm(&mut self) {
        harness::until(Duration::from_secs(10), || {
            let before = self.counts();
            thread::sleep(Duration::from_millis(500));
            (self.counts() == before).then_some(())
        });
    }

    /// What the directory was asked so far.
    pub(crate) fn counts(&mut self) -> Counts {
        self.host.directory().counts()
    }
}

//! Directories that follow others.

use std::process::Command;

use super::{BASE, Directory};
use crate::need;
use crate::wait::{PATIENCE, until};

impl Directory {
    /// What state it is in, as slapd counts states: `contextCSN` of its base. Two
    /// directories that follow each other and say the same hold the same.
    pub fn context_csn(&self) -> Vec<String> {
        let output = Command::new(need::program("ldapsearch", "ldap-utils"))
            .args(["-Q", "-Y", "EXTERNAL", "-H", &self.ldapi_uri(), "-LLL", "-o", "ldif-wrap=no"])
            .args(["-s", "base", "-b", BASE, "contextCSN"])
            .output()
            .expect("ldapsearch can be started");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.lines().filter_map(|line| line.strip_prefix("contextCSN: ").map(Into::into)).collect()
    }

    /// Waits until it holds what another one holds.
    #[track_caller]
    pub fn wait_until_like(&self, other: &Self) {
        let same = || {
            let state = self.context_csn();
            (!state.is_empty() && state == other.context_csn()).then_some(())
        };
        until(PATIENCE, same).unwrap_or_else(|| panic!("it doesn't follow:\n{}", self.log()));
    }
}

//! Who is measured: each on a host of its own, which has its own `/etc` and
//! `/run` and caches, and shares nothing with the others but the network. Each
//! is configured as an administrator would begin: what is needed to reach
//! the directory, and the defaults for everything else.
//!
//! In `nsswitch.conf` each stands before the flat files, so that reading those
//! isn't part of its times, and a name it doesn't know is looked for nowhere else.

use std::panic::{self, AssertUnwindSafe};

use harness::{BASE, Host, HostBuilder, READER};

use crate::packages;
pub(crate) use crate::plain::CA_FILE;
use crate::site::Site;

mod flat;
mod nslcd;
mod rollcall;
mod sssd;

pub(crate) use rollcall::State;

/// The PAM service of the logins.
pub(crate) const SERVICE: &std::ffi::CStr = c"bench";
const URI: &str = "ldap://127.0.0.1";

/// One who is measured, in the order of the table's columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// Rollcall, with all of the directory in its table.
    Replica,
    /// Rollcall, with what was asked for in its table.
    OnDemand,
    Sssd,
    /// SSSD as it has to be set up to enumerate.
    SssdEnumerating,
    Nslcd,
    /// nslcd behind glibc's nscd.
    Nscd,
    /// Everybody in `/etc/passwd` and `/etc/group`.
    Files,
    /// A hundred users there, and the groups of one of them.
    ShortFiles,
    /// No module at all: ldap3 and `ldapsearch` on the directory's own host.
    Client,
}

impl Kind {
    pub(crate) const ALL: [Self; 9] = [
        Self::Replica,
        Self::OnDemand,
        Self::Sssd,
        Self::SssdEnumerating,
        Self::Nslcd,
        Self::Nscd,
        Self::Files,
        Self::ShortFiles,
        Self::Client,
    ];

    /// What it is called on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Replica => "rollcall",
            Self::OnDemand => "rollcall-on-demand",
            Self::Sssd => "sssd",
            Self::SssdEnumerating => "sssd-enumerating",
            Self::Nslcd => "nslcd",
            Self::Nscd => "nslcd-nscd",
            Self::Files => "files",
            Self::ShortFiles => "short-files",
            Self::Client => "ldap-client",
        }
    }

    /// Whether it is somebody else's way to do the same.
    pub(crate) fn is_peer(self) -> bool {
        matches!(self, Self::Sssd | Self::SssdEnumerating | Self::Nslcd | Self::Nscd)
    }

    /// Whether it asks the directory, and lets users log in.
    pub(crate) fn has_logins(self) -> bool {
        self.is_ours() || self.is_peer()
    }

    /// Whether it is Rollcall.
    pub(crate) fn is_ours(self) -> bool {
        matches!(self, Self::Replica | Self::OnDemand)
    }

    /// Sets its host up and starts it there, with empty caches.
    ///
    /// # Errors
    /// What it needs and can't have.
    pub(crate) fn start(self, site: &Site) -> Result<Provider, String> {
        // The harness panics where something of it doesn't start.
        let started = panic::catch_unwind(AssertUnwindSafe(|| self.start_empty(site)));
        let provider = started.map_err(|_| "it did not start; see above".to_owned())??;
        if let Some(host) = &provider.host {
            crate::measure::install(host);
        }
        Ok(provider)
    }

    fn start_empty(self, site: &Site) -> Result<Provider, String> {
        match self {
            Self::Replica | Self::OnDemand => rollcall::start(self, site),
            Self::Sssd => sssd::start(site, false),
            Self::SssdEnumerating => sssd::start(site, true),
            Self::Nslcd => nslcd::start(site, false),
            Self::Nscd => nslcd::start(site, true),
            Self::Files => Ok(flat::start(site, site.people)),
            Self::ShortFiles => Ok(flat::start(site, flat::SHORT)),
            Self::Client => Ok(Provider { host: None, loaded: None }),
        }
    }
}

/// A host where users are looked up in one of these ways.
pub(crate) struct Provider {
    /// `None`: the directory's own.
    pub(crate) host: Option<Host>,
    /// How long it took until all of the directory was loaded, in nanoseconds.
    pub(crate) loaded: Option<f64>,
}

impl From<Host> for Provider {
    fn from(host: Host) -> Self {
        Self { host: Some(host), loaded: None }
    }
}

/// A host in the network of the directory, with nothing of Rollcall on it.
fn bare(site: &Site) -> HostBuilder {
    Host::new().plain().network_of(&site.host).file(CA_FILE, &site.ca)
}

/// `nsswitch.conf(5)` while daemons start, which look up root and themselves.
fn switch(host: &Host, source: &str) {
    host.write("/etc/nsswitch.conf", &switch_text(source, ""));
}

/// The same for the measuring: no file is read for a name that isn't there.
fn switch_only(host: &Host, source: &str) {
    host.write("/etc/nsswitch.conf", &switch_text(source, "[NOTFOUND=return] "));
}

fn switch_text(source: &str, then: &str) -> String {
    // Without a line "initgroups", glibc goes on to the files after a success.
    let lines = ["passwd", "group", "initgroups"].map(|db| format!("{db}: {source} {then}files\n"));
    lines.concat() + "shadow: files\nhosts: files\n"
}

/// The PAM stack of the logins: the module and nothing else.
pub(crate) fn pam(host: &Host, module: &str) {
    host.write("/etc/pam.d/bench", &format!("auth required {module}\naccount required {module}\n"));
    // What libpam loads besides for every login: as little as possible.
    host.write("/etc/pam.d/other", "auth required pam_deny.so\n");
}

/// Runs a command and waits until it has put itself in the background.
fn start_daemon(host: &Host, command: &str) -> Result<(), String> {
    // A daemon keeps its standard output, and nobody would see that pipe's end.
    let output = host.run(["sh", "-c", &format!("({command}) >/tmp/daemon.log 2>&1")]);
    if output.status == Some(0) {
        return Ok(());
    }
    let log = host.run(["tail", "-n", "3", "/tmp/daemon.log"]).stdout;
    Err(format!("{command}: {} {log}", output.stderr))
}

/// Waits until somebody is found.
fn wait_for_answers(host: &Host) -> Result<(), String> {
    let ask =
        || (host.run(["getent", "passwd", crate::people::PROBE]).status == Some(0)).then_some(());
    harness::until(harness::PATIENCE, ask).ok_or_else(|| "it never answered".into())
}

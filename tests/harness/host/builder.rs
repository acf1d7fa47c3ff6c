//! What a host is to be like.

use crate::directory::DirectoryBuilder;

use super::Host;

/// Describes a [`Host`].
#[derive(Debug, Clone, Default)]
pub struct HostBuilder {
    pub(super) directories: Vec<DirectoryBuilder>,
    pub(super) local_users: Vec<(String, u32, String)>,
    pub(super) configuration: String,
    pub(super) cache: Option<String>,
    pub(super) whole_configuration: Option<String>,
    pub(super) files: Vec<(String, String)>,
    pub(super) plain: bool,
    pub(super) no_daemon: bool,
    pub(super) sshd: bool,
    pub(super) network: Option<u32>,
}

impl HostBuilder {
    /// Adds a directory; it listens on port 389 of the host's own network. A
    /// second one needs another address ([`DirectoryBuilder::listen`]).
    #[must_use]
    pub fn directory(mut self, directory: DirectoryBuilder) -> Self {
        self.directories.push(directory);
        self
    }

    /// Adds a user to the host's own `/etc/passwd`, with a group of the same id.
    #[must_use]
    pub fn local_user(mut self, name: &str, uid: u32, password: &str) -> Self {
        self.local_users.push((name.into(), uid, password.into()));
        self
    }

    /// Adds lines after those of the section `[directory]` in `/etc/rollcall.toml`.
    #[must_use]
    pub fn configuration(mut self, toml: &str) -> Self {
        self.configuration += toml;
        self.configuration += "\n";
        self
    }

    /// Lets the host cache, with these lines in the section `[cache]`. Without this it
    /// asks the directory for everything, so that a test sees what it has just changed there.
    #[must_use]
    pub fn cache(self, toml: &str) -> Self {
        Self { cache: Some(toml.into()), ..self }
    }

    /// Replaces `/etc/rollcall.toml`.
    #[must_use]
    pub fn whole_configuration(self, toml: &str) -> Self {
        Self { whole_configuration: Some(toml.into()), ..self }
    }

    /// Writes a file, for instance another PAM stack.
    #[must_use]
    pub fn file(mut self, path: &str, text: &str) -> Self {
        self.files.push((path.into(), text.into()));
        self
    }

    /// Puts it into the network of another host, which has to outlive it: what
    /// listens there on a loopback address is reached from here as well.
    #[must_use]
    pub fn network_of(self, other: &Host) -> Self {
        Self { network: Some(other.namespace.init()), ..self }
    }

    /// Installs nothing of Rollcall.
    #[must_use]
    pub fn plain(self) -> Self {
        Self { plain: true, ..self }
    }

    /// Installs `direct.so` and starts no daemon.
    #[must_use]
    pub fn without_daemon(self) -> Self {
        Self { no_daemon: true, ..self }
    }

    /// Starts sshd on port 22.
    #[must_use]
    pub fn sshd(self) -> Self {
        Self { sshd: true, ..self }
    }

    /// Starts it, as root.
    pub fn start(self) -> Host {
        Host::start(&self)
    }
}

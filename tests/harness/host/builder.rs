//! What a host is to be like.

use crate::directory::DirectoryBuilder;

use super::{Host, Names};

/// Describes a [`Host`].
#[derive(Debug, Clone, Default)]
pub struct HostBuilder {
    pub(super) directories: Vec<DirectoryBuilder>,
    pub(super) local_users: Vec<(String, u32, String)>,
    pub(super) configuration: String,
    pub(super) cache: Option<String>,
    pub(super) offline: Option<String>,
    pub(super) whole_configuration: Option<String>,
    pub(super) files: Vec<(String, String)>,
    pub(super) plain: bool,
    pub(super) no_daemon: bool,
    pub(super) sshd: bool,
    pub(super) network: Option<u32>,
    pub(super) uri: Option<String>,
    pub(super) names: Option<Names>,
    pub(super) relays: Vec<(String, bool)>,
}

impl HostBuilder {
    /// Adds a directory; it listens on port 389 of the host's own network. A
    /// second one needs another address ([`DirectoryBuilder::listen`]).
    #[must_use]
    pub fn directory(mut self, directory: DirectoryBuilder) -> Self {
        self.directories.push(directory);
        self
    }

    /// Adds a directory that follows the first one (syncrepl, RFC 4533), and has
    /// what it has when the host is started. It needs another address.
    #[must_use]
    pub fn replica(self, directory: DirectoryBuilder) -> Self {
        self.directory(directory.follow_the_first())
    }

    /// The line `uri` of the configuration: what to write after `uri =`. Without
    /// this it lists the directories.
    #[must_use]
    pub fn uri(self, toml: &str) -> Self {
        Self { uri: Some(toml.into()), ..self }
    }

    /// Starts a DNS server on the host that knows these names.
    #[must_use]
    pub fn names(self, names: Names) -> Self {
        Self { names: Some(names), ..self }
    }

    /// Puts a relay to the first directory at port 389 of this address
    /// (`127.0.0.9`), which passes bytes on; it delays nothing until it is told to
    /// ([`Host::relay`]).
    #[must_use]
    pub fn relay(mut self, address: &str) -> Self {
        self.relays.push((address.into(), false));
        self
    }

    /// The same with a relay that sees binds and can delay them on their own.
    #[must_use]
    pub fn reading_relay(mut self, address: &str) -> Self {
        self.relays.push((address.into(), true));
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

    /// Lets users log in while no server answers, with these lines in the section `[offline]`.
    /// Without this nothing is kept for that.
    #[must_use]
    pub fn offline(self, toml: &str) -> Self {
        Self { offline: Some(toml.into()), ..self }
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

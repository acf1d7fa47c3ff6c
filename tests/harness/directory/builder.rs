//! What a directory is to hold and how it is to behave.

use std::fmt::Write as _;
use std::path::PathBuf;

use super::{BASE, Directory, Policy, READER, RESETTER, User, ds389, entry};

/// Describes a [`Directory`].
#[derive(Debug, Clone)]
#[allow(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub struct DirectoryBuilder {
    pub(super) ldif: String,
    pub(super) file: Option<PathBuf>,
    pub(super) address: String,
    pub(super) names: Vec<String>,
    pub(super) certified_addresses: bool,
    pub(super) anonymous: bool,
    configuration: String,
    server_configuration: String,
    lockout_told: bool,
    syncprov: bool,
    policy: Policy,
    kind: Kind,
    pub(super) upstream: Upstream,
}

/// Which server it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    OpenLdap,
    Ds389,
}

/// Whom it follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Upstream {
    Nobody,
    /// The first one of its host.
    First,
    /// The one with this socket.
    Socket(String),
}

impl Default for DirectoryBuilder {
    fn default() -> Self {
        Self {
            ldif: String::new(),
            file: None,
            address: "127.0.0.1".into(),
            names: vec!["localhost".into()],
            certified_addresses: true,
            anonymous: true,
            configuration: String::new(),
            server_configuration: String::new(),
            lockout_told: false,
            syncprov: true,
            policy: Policy::new(),
            kind: Kind::OpenLdap,
            upstream: Upstream::Nobody,
        }
    }
}

impl DirectoryBuilder {
    /// Adds a person.
    #[must_use]
    pub fn user(mut self, user: User) -> Self {
        self.ldif += &user.ldif();
        self
    }

    /// Adds people.
    #[must_use]
    pub fn people(self, people: impl IntoIterator<Item = User>) -> Self {
        people.into_iter().fold(self, Self::user)
    }

    /// Adds a group.
    #[must_use]
    pub fn group<'a>(
        mut self,
        name: &str,
        gid: u32,
        members: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        let members: Vec<_> = members.into_iter().collect();
        self.ldif += &entry::group(name, gid, &members);
        self
    }

    /// Sets everybody's password policy.
    #[must_use]
    pub fn policy(self, policy: Policy) -> Self {
        Self { policy, ..self }
    }

    /// Tells a locked account so (`ppolicy_use_lockout`); without it, slapd
    /// answers as if the password were wrong.
    #[must_use]
    pub fn lockout_told(self, lockout_told: bool) -> Self {
        Self { lockout_told, ..self }
    }

    /// Whether everybody may read (the default), or only who has bound.
    #[must_use]
    pub fn access_by_anonymous(self, anonymous: bool) -> Self {
        Self { anonymous, ..self }
    }

    /// Adds entries as LDIF.
    #[must_use]
    pub fn ldif(mut self, ldif: &str) -> Self {
        let _ = write!(self.ldif, "{}\n\n", ldif.trim_end());
        self
    }

    /// Loads a file of LDIF as well; for large directories.
    #[must_use]
    pub fn load(self, file: impl Into<PathBuf>) -> Self {
        Self { file: Some(file.into()), ..self }
    }

    /// The address to listen on, `127.0.0.1` without this.
    #[must_use]
    pub fn listen(self, address: &str) -> Self {
        Self { address: address.into(), ..self }
    }

    /// The certificate names this host and nothing else.
    #[must_use]
    pub fn certificate_for(self, name: &str) -> Self {
        Self { names: vec![name.into()], certified_addresses: false, ..self }
    }

    /// Keeps what it needs to tell who comes back what has changed, deletions
    /// included (slapo-syncprov(5), RFC 4533). Content synchronization as such is always on.
    #[must_use]
    pub fn syncprov(self) -> Self {
        self.configuration("syncprov-sessionlog 20000\nsyncprov-checkpoint 1000 1")
    }

    /// Tells nobody of changes, and keeps no numbers of them.
    #[must_use]
    pub fn without_syncprov(self) -> Self {
        Self { syncprov: false, ..self }
    }

    /// Follows another directory (syncrepl, `refreshAndPersist`), and holds what
    /// it holds; people and groups of its own it has none. It takes no changes.
    #[must_use]
    pub fn replica_of(self, other: &Directory) -> Self {
        Self { upstream: Upstream::Socket(other.ldapi_uri()), ..self }
    }

    /// Is a 389 Directory Server, with content synchronization on. It has no
    /// password policy of [`Policy`], doesn't count requests, takes no lines of
    /// `slapd.conf`, and only who has bound may read.
    #[must_use]
    pub fn ds389(self) -> Self {
        Self { kind: Kind::Ds389, anonymous: false, ..self }
    }

    pub(crate) fn follow_the_first(self) -> Self {
        Self { upstream: Upstream::First, ..self }
    }

    /// The same, where it follows the first one of a host.
    pub(crate) fn following(&self, first: Option<&Directory>) -> Self {
        match (&self.upstream, first) {
            (Upstream::First, Some(first)) => self.clone().replica_of(first),
            _ => self.clone(),
        }
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    pub(super) fn kind(&self) -> Kind {
        self.kind
    }

    /// Adds lines to the database's part of `slapd.conf`.
    #[must_use]
    pub fn configuration(mut self, lines: &str) -> Self {
        let _ = writeln!(self.configuration, "{}", lines.trim_end());
        self
    }

    /// Adds lines to the part of `slapd.conf` before the database.
    #[must_use]
    pub fn server_configuration(mut self, lines: &str) -> Self {
        let _ = writeln!(self.server_configuration, "{}", lines.trim_end());
        self
    }

    /// Starts it on a free port of the loopback interface. Needs no privilege.
    pub fn start(self) -> Directory {
        Directory::start_with(&self, None)
    }

    pub(super) fn entries(&self) -> String {
        if self.kind == Kind::Ds389 {
            return ds389::adapted(&entry::frame()) + &self.ldif;
        }
        if self.upstream != Upstream::Nobody {
            return String::new();
        }
        format!("{}{}{}", entry::frame(), self.policy.ldif(), self.ldif)
    }

    /// The directive `syncrepl` of slapd.conf(5). The other one's socket knows
    /// us, and no trouble with the network comes between the two.
    fn syncrepl(&self) -> String {
        let Upstream::Socket(uri) = &self.upstream else { return String::new() };
        format!(
            "syncrepl rid=001 provider={uri} type=refreshAndPersist retry=\"1 +\" \
             searchbase={BASE} bindmethod=sasl saslmech=EXTERNAL schemachecking=off\n\
             updateref {uri}"
        )
    }

    /// The text of `slapd.conf`, for a server in this folder.
    pub(super) fn slapd_conf(&self, folder: &str) -> String {
        let Self { anonymous, configuration, .. } = self;
        let everybody = if *anonymous { "by * read" } else { "by users read by * none" };
        let lockout = if self.lockout_told { "ppolicy_use_lockout" } else { "" };
        let (reader, resetter) = (READER.0, RESETTER.0);
        format!(
            r#"include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
include /etc/ldap/schema/nis.schema
modulepath /usr/lib/ldap
moduleload back_mdb
moduleload ppolicy
moduleload syncprov
pidfile {folder}/pid
{server}
sizelimit unlimited
sortvals memberUid
TLSCACertificateFile {folder}/ca.pem
TLSCertificateFile {folder}/server.pem
TLSCertificateKeyFile {folder}/server.key
authz-regexp "gidNumber=[0-9]+[+]uidNumber={uid},cn=peercred,cn=external,cn=auth" "cn=admin,{BASE}"

database mdb
suffix {BASE}
rootdn cn=admin,{BASE}
directory {folder}/database
{syncrepl}
maxsize 4294967296
index objectClass,uid,uidNumber,gidNumber,memberUid,cn,entryUUID,entryCSN eq
limits dn.exact="{reader}" size=unlimited
access to attrs=userPassword by dn.exact="{resetter}" write by self =xw by anonymous auth by * none
access to attrs=shadowLastChange by dn.exact="{resetter}" write by self write {everybody}
access to * {everybody}
overlay ppolicy
ppolicy_default cn=default,ou=policies,{BASE}
{lockout}
{syncprov}
{configuration}"#,
            syncprov = if self.syncprov { "overlay syncprov" } else { "" },
            server = self.server_configuration,
            syncrepl = self.syncrepl(),
            uid = rustix::process::getuid().as_raw(),
        )
    }
}

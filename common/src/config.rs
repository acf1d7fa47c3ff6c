//! `/etc/rollcall.toml`, parsed into types that can't be wrong.
//!
//! The rest of the crate sees only the types of this file: every value in them
//! was checked, every default was filled in. [`Config::load`] reads a file;
//! what is wrong with one is a [`ConfigError`] that names the key, the line and
//! what was expected. Nothing here touches the network; beside the
//! configuration only the files with passwords are opened.
//!
//! The TOML side lies in `config/`, one file a section. Each has the section as
//! it is written (`Raw…`) and the checks that turn it into a type of this file.

use std::path::PathBuf;
use std::time::Duration;

use crate::account::Name;
use crate::ldap::filter::Filter;
use crate::secret::Secret;

mod cache;
mod connections;
mod directory;
mod dn;
mod error;
mod file;
mod ids;
mod load;
mod login;
mod maps;
mod offline;
mod server;
mod template;
#[cfg(test)]
mod tests;
mod text;
mod timeouts;

pub use crate::protocol::CacheMode;
pub use error::ConfigError;
pub use template::TemplateValues;

/// The whole configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// The directories, asked in this order; at least one.
    pub directories: Vec<DirectoryConfig>,
    /// Which ids a directory may hand out.
    pub ids: IdRange,
    /// Home directories.
    pub home: PathRule,
    /// Login shells.
    pub shell: PathRule,
    /// Who may log in here.
    pub login: LoginRules,
    /// Time limits.
    pub timeouts: Timeouts,
    /// How many connections may be open.
    pub connections: Connections,
    /// What is kept in the table, and for how long.
    pub cache: CacheConfig,
    /// Logins while no server answers.
    pub offline: OfflineConfig,
}

/// One directory: its servers, and how its entries are read.
#[derive(Debug, Clone)]
pub struct DirectoryConfig {
    /// Where its servers are, the preferred ones first; at least one.
    pub servers: Vec<Source>,
    /// Where to search; `None`: the naming context that the root DSE names. Never empty.
    pub base: Option<String>,
    /// Who reads; `None`: anonymous.
    pub reader: Option<Identity>,
    /// Who may reset users' passwords (`reset_dn`, `reset_password_file`).
    pub resetter: Option<Identity>,
    /// How connections are protected.
    pub tls: Tls,
    /// Which schema its entries follow.
    pub schema: SchemaKind,
    /// The user map.
    pub users: MapConfig<UserAttributes>,
    /// The group map.
    pub groups: MapConfig<GroupAttributes>,
    /// How many entries are fetched per page of an enumeration.
    pub page_size: i32,
}

/// Where servers are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// At this address.
    Server(Server),
    /// `srv:`: where the DNS says that those of this domain are (RFC 2782, `_ldap._tcp`).
    /// Without a trailing dot, in lower case.
    Domain(String),
}

/// A server's address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Server {
    /// `ldap://` (`StartTLS`, or clear where `tls = "off"`) or `ldaps://` (TLS from the first byte).
    Tcp {
        /// Name or address, without brackets; also what the certificate must name.
        host: String,
        /// 389, or 636 for `ldaps://`.
        port: u16,
        /// Whether it is `ldaps://`.
        implicit_tls: bool,
    },
    /// `ldapi://`: a socket on this machine.
    Unix(PathBuf),
}

/// A DN and its password.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The DN to bind as.
    pub dn: String,
    /// Its password; never empty.
    pub password: Secret,
}

/// How connections are protected.
#[derive(Debug, Clone)]
pub struct Tls {
    /// `tls = "starttls"` (the default) or `"off"`.
    pub starttls: bool,
    /// The authorities that may sign a server's certificate; `None`: the system's.
    pub ca_file: Option<PathBuf>,
    /// This host's own certificate and key.
    pub client_certificate: Option<(PathBuf, PathBuf)>,
    /// Whether passwords may be sent although a connection is clear.
    pub allow_cleartext_passwords: bool,
}

/// Which schema a directory's entries follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SchemaKind {
    /// RFC 2307: groups list their members' names (`memberUid`).
    Rfc2307,
}

/// Where a map's entries are, and what their attributes are called.
#[derive(Debug, Clone)]
pub struct MapConfig<A> {
    /// Where to search, if not at the directory's base. Never empty.
    pub base: Option<String>,
    /// How deep.
    pub scope: Scope,
    /// Which entries, besides the schema's object class.
    pub filter: Option<Filter>,
    /// The attributes' names.
    pub attributes: A,
}

/// How deep a search goes (RFC 4511 section 4.5.1.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names of RFC 4511")]
pub enum Scope {
    Base,
    One,
    Sub,
}

/// The attributes of a user.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "each is named for what it holds; the defaults are RFC 2307's")]
pub struct UserAttributes {
    pub object_class: String,
    pub name: String,
    pub uid: String,
    pub gid: String,
    pub gecos: String,
    pub home: String,
    pub shell: String,
}

/// The attributes of a group.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "each is named for what it holds; the defaults are RFC 2307's")]
pub struct GroupAttributes {
    pub object_class: String,
    pub name: String,
    pub gid: String,
    pub member: String,
}

/// Which ids a directory may hand out, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct IdRange {
    pub min_uid: u32,
    pub max_uid: u32,
    pub min_gid: u32,
    pub max_gid: u32,
}

/// Where a user's home (or shell) comes from: `overriding`, else the entry,
/// else `default`, else a fixed last resort (`/nonexistent`, `/bin/sh`).
#[derive(Debug, Clone, Default)]
pub struct PathRule {
    /// For a user whose entry has none.
    pub default: Option<Template>,
    /// For everybody, whatever the entry says.
    pub overriding: Option<Template>,
}

/// A path with `%u` (name), `%U` (uid), `%d` (the directory's domain, from the
/// `dc=` parts of its base), `%l` (first letter of the name), `%o` (the path in
/// the entry) and `%%`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template(Vec<TemplatePart>);

/// Who may log in here. Without any rule: every user of the directory.
/// `allow_users` and `allow_groups` add to each other; `filter` must match besides.
#[derive(Debug, Clone, Default)]
pub struct LoginRules {
    /// These users.
    pub allow_users: Vec<Name>,
    /// Members of these groups.
    pub allow_groups: Vec<Name>,
    /// Only users whose entry matches.
    pub filter: Option<Filter>,
}

/// Time limits.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// Of one attempt to reach one server: name, connection, TLS, bind.
    pub connect: Duration,
    /// Of a lookup.
    pub lookup: Duration,
    /// Of a login or password change.
    pub login: Duration,
    /// After which an unused connection is closed.
    pub idle: Duration,
}

/// How many connections may be open.
#[derive(Debug, Clone, Copy)]
pub struct Connections {
    /// For searches, and as many again for users' binds, and for enumerations.
    pub max: usize,
}

/// What is kept in the table, and for how long. Times are whole seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheConfig {
    /// How it is filled.
    pub mode: CacheMode,
    /// The most users and groups together that [`CacheMode::Auto`] keeps a replica of.
    pub max_replica: usize,
    /// Whether a replica has the server tell of changes, where that can be had.
    pub push: bool,
    /// How often a replica asks what has changed, where it isn't told.
    pub refresh: Duration,
    /// For how long an answer counts that was asked for on demand.
    pub lifetime: Duration,
    /// For how long "no such entry" counts that was asked for on demand; zero: it
    /// isn't kept.
    pub negative_lifetime: Duration,
    /// How many keys are kept on demand.
    pub max_entries: usize,
    /// For how long after the directory was last heard of answers count when
    /// nobody can be asked.
    pub max_stale: Duration,
}

/// Logins while no server answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OfflineConfig {
    /// For how long after a user's last login online, in whole seconds; zero: there
    /// are none, and nothing is kept for them.
    pub max_age: Duration,
    /// After how many wrong passwords there are none until the next login online.
    pub max_failures: u32,
}

/// A piece of a [`Template`].
#[derive(Debug, Clone, PartialEq, Eq)]
enum TemplatePart {
    Text(Box<str>),
    Name,
    Uid,
    Domain,
    Letter,
    Original,
}

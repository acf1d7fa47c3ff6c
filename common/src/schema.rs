//! What a schema must say: how a directory's entries become users and groups.
//!
//! One implementation each for RFC 2307 and, later, RFC 2307bis and Active
//! Directory. A schema builds filters and reads entries; it asks nothing.

use std::fmt;

use crate::account::{Gid, Group, Members, Name, Shadow, Uid, User};
use crate::config::{DirectoryConfig, IdRange, PathRule, SchemaKind};
use crate::ldap::filter::Filter;
use crate::ldap::search::Entry;

mod fields;
mod rfc2307;

/// How a directory's entries become users and groups.
pub trait Schema: fmt::Debug + Send + Sync {
    /// All users.
    fn users(&self) -> Filter;
    /// The users with this name.
    fn user_by_name(&self, name: &Name) -> Filter;
    /// The users with this id.
    fn user_by_id(&self, uid: Uid) -> Filter;
    /// The attributes that [`Schema::user`] reads.
    fn user_attributes(&self) -> Vec<&str>;
    /// Reads a user.
    ///
    /// # Errors
    /// Why this entry is no user of this host.
    fn user(&self, entry: &Entry, domain: &str) -> Result<User, Rejected>;
    /// Whether an entry is the user of exactly this name, which may be any of its names.
    fn has_name(&self, entry: &Entry, name: &Name) -> bool;
    /// All names for which [`Schema::has_name`] is true, each once.
    fn user_names(&self, entry: &Entry) -> Vec<Name>;

    /// All groups.
    fn groups(&self) -> Filter;
    /// The groups with this name.
    fn group_by_name(&self, name: &Name) -> Filter;
    /// The groups with this id.
    fn group_by_id(&self, gid: Gid) -> Filter;
    /// The attributes that [`Schema::group`] reads.
    fn group_attributes(&self) -> Vec<&str>;
    /// The attributes that [`Schema::is_group`] and [`Schema::gid`] read.
    fn group_attributes_without_members(&self) -> Vec<&str>;
    /// Reads a group with its members.
    ///
    /// # Errors
    /// Why this entry is no group of this host.
    fn group(&self, entry: &Entry) -> Result<Group, Rejected>;
    /// Whether an entry is the group of exactly this name.
    fn is_group(&self, entry: &Entry, name: &Name) -> bool;
    /// All names for which [`Schema::is_group`] is true, each once.
    fn group_names(&self, entry: &Entry) -> Vec<Name>;
    /// The members of a group, also of one whose name this host rejects.
    fn members(&self, entry: &Entry) -> Members;
    /// For whom [`Schema::groups_of`] finds this group though [`Schema::members`]
    /// doesn't list them, since the directory doesn't compare byte by byte.
    fn members_besides(&self, entry: &Entry) -> Vec<Name>;

    /// The groups that have this user as a member.
    fn groups_of(&self, name: &Name) -> Filter;
    /// The attributes that [`Schema::gid`] reads: not the members.
    fn gid_attributes(&self) -> Vec<&str>;
    /// Reads a group's id.
    ///
    /// # Errors
    /// Why this entry is no group of this host.
    fn gid(&self, entry: &Entry) -> Result<Gid, Rejected>;

    /// The users whose password has an age, by name or (`None`) all.
    fn shadows(&self, name: Option<&Name>) -> Filter;
    /// The attributes that [`Schema::shadow`] reads.
    fn shadow_attributes(&self) -> Vec<&str>;
    /// Reads the ageing of a password.
    ///
    /// # Errors
    /// Why this entry is no user of this host.
    fn shadow(&self, entry: &Entry) -> Result<Shadow, Rejected>;
}

/// The schema of a directory.
pub fn new(directory: &DirectoryConfig, rules: Rules) -> Box<dyn Schema> {
    match directory.schema {
        SchemaKind::Rfc2307 => Box::new(rfc2307::Rfc2307::new(directory, rules)),
    }
}

/// What holds for all directories of a host.
#[derive(Debug, Clone)]
pub struct Rules {
    /// Which ids may be handed out.
    pub ids: IdRange,
    /// Where homes come from.
    pub home: PathRule,
    /// Where shells come from.
    pub shell: PathRule,
}

/// Why an entry is no user or group of this host. Said in the log, at debug.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rejected {
    /// It lacks this attribute.
    Missing(String),
    /// This attribute's value can't be used, for this reason.
    Invalid(String, String),
}

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(attribute) => write!(f, "it has no {attribute}"),
            Self::Invalid(attribute, why) => write!(f, "its {attribute} can't be used: {why}"),
        }
    }
}

impl std::error::Error for Rejected {}

//! How the daemon is doing. Only public facts, but for root: nobody's name is among them.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::account::Name;

/// How the daemon is doing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The daemon's version.
    pub version: String,
    /// For how many seconds it has been running.
    pub running: u64,
    /// How the table is filled; `None`: the configuration can't be used.
    pub mode: Option<CacheMode>,
    /// How far the replica is.
    pub phase: Phase,
    /// How many entries were read so far, while all are.
    pub loaded: u64,
    /// When the replica was last in step with the directory, in seconds since 1970; 0: not since
    /// it last began.
    pub in_step: u64,
    /// What is in the table, if there is one.
    pub table: Option<TableStatus>,
    /// How many lookups the daemon answered from the table since it was started.
    /// Those that the modules answered themselves are counted by nobody.
    pub hits: u64,
    /// How many lookups it put to the directory.
    pub searches: u64,
    /// How many requests it is answering.
    pub connections: u32,
    /// The directories' servers, in the order in which they are preferred.
    pub servers: Vec<ServerStatus>,
    /// How a replica hears of changes: one for each directory that it follows.
    pub following: Vec<Following>,
    /// Whose logins are possible while no server answers; told to root alone.
    pub offline: Vec<OfflineStatus>,
    /// When the directory was last heard of, in seconds since 1970; 0: never.
    pub heard: u64,
    /// Why the directory can't be asked, or what the replica failed of last.
    pub outage: Option<String>,
}

/// What is in the table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableStatus {
    /// Users that an enumeration of it gives.
    pub users: u32,
    /// Groups, likewise.
    pub groups: u32,
    /// Names and ids that lead to an answer, "no such entry" being one.
    pub keys: u64,
    /// The size of the file, in bytes.
    pub size: u64,
    /// How many of them are in use.
    pub used: u64,
}

/// What is known of a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerStatus {
    /// Its address, as a configuration has it.
    pub address: String,
    /// Whether it answers.
    pub state: ServerState,
    /// Since when, in seconds since 1970; 0: not known.
    pub since: u64,
    /// How long it took to answer lately, in microseconds; 0: not known.
    pub latency: u32,
    /// What went wrong last, if it failed.
    pub why: Option<String>,
}

/// Whether a server answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ServerState {
    /// Nobody has needed it yet.
    Untried,
    /// It answered when it was last asked.
    Answers,
    /// It didn't.
    Failed,
}

/// How a replica hears of a directory's changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Following {
    /// The search base.
    pub base: String,
    /// In which way.
    pub way: Way,
    /// Why in that way, where it isn't the best one.
    pub why: Option<String>,
    /// When the newest change that was heard of came, in seconds since 1970; 0: none yet.
    pub newest: u64,
}

/// A way to hear of changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Way {
    /// The server tells of each one as it happens (RFC 4533).
    Push,
    /// It is asked every `cache.refresh` seconds.
    Polling,
}

/// A user whose login is possible while no server answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfflineStatus {
    /// Who.
    pub name: Name,
    /// Until when, in seconds since 1970.
    pub until: u64,
    /// How many passwords were wrong since the last right one.
    pub failures: u32,
}

/// How the table is filled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum CacheMode {
    /// A replica where the population fits, else on demand.
    Auto,
    /// All users and groups.
    Replica,
    /// What was asked for.
    OnDemand,
    /// There is no table.
    Off,
}

impl fmt::Display for CacheMode {
    /// As the configuration has it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Replica => "replica",
            Self::OnDemand => "on-demand",
            Self::Off => "off",
        })
    }
}

/// How far the replica is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// There is none.
    #[default]
    Off,
    /// All entries are being read.
    Loading,
    /// The table is the directory.
    InStep,
    /// The table is the directory as it was; the directory can't be asked.
    OutOfStep,
    /// There are more accounts than a replica is kept of.
    TooMany,
}

//! How the daemon is doing. Only public facts: nobody's name is among them.

use std::fmt;

use serde::{Deserialize, Serialize};

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
    /// The directory's servers.
    pub servers: Vec<String>,
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

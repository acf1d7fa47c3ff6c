//! What can be written on the command line. Completions and manual pages come
//! from the same definition.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use common::account::Name;
use common::paths;
use tracing::level_filters::LevelFilter;

/// Serves logins and getent from an LDAP directory.
#[derive(Debug, Parser)]
#[command(name = "rollcall", version, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Answer the lookups and logins of this host
    Daemon(DaemonOptions),
    /// Read the configuration and say what it means, or what is wrong with it
    Check(CheckOptions),
    /// Say how the daemon is doing
    Status(StatusOptions),
    /// Make lookups see the directory as it is now, whatever is kept of it
    ///
    /// Without an option everything is read anew. Only root may do this. It is never
    /// necessary to delete a file, or to restart the daemon.
    Flush(FlushOptions),
    /// Print the completions for a shell
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// Write the manual pages of the commands into a folder
    #[command(hide = true)]
    Man {
        /// An existing folder
        folder: PathBuf,
    },
}

/// Without --foreground, and outside systemd, the daemon detaches: the command
/// ends as soon as the daemon listens, or with the reason why it can't.
#[derive(Debug, Args)]
pub(crate) struct DaemonOptions {
    /// The configuration
    #[arg(long, value_name = "PATH", default_value = paths::CONFIG)]
    pub(crate) config: PathBuf,
    /// The socket to listen on, unless systemd hands one over
    #[arg(long, value_name = "PATH", default_value = paths::SOCKET)]
    pub(crate) socket: PathBuf,
    /// Where a copy of the table is kept over a restart; the table itself lies beside the socket
    #[arg(long, value_name = "PATH", default_value = "/var/cache/rollcall")]
    pub(crate) cache_folder: PathBuf,
    /// Where password hashes are kept for logins while no server answers; the daemon's alone
    #[arg(long, value_name = "PATH", default_value = "/var/lib/rollcall")]
    pub(crate) state_folder: PathBuf,
    /// Don't detach; systemd's services never do
    #[arg(long)]
    pub(crate) foreground: bool,
    /// The user to become when started by root [default: rollcall]
    #[arg(long, value_name = "NAME")]
    pub(crate) user: Option<String>,
    /// How much is logged
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    pub(crate) log_level: LogLevel,
}

#[derive(Debug, Args)]
pub(crate) struct CheckOptions {
    /// The configuration
    #[arg(long, value_name = "PATH", default_value = paths::CONFIG)]
    pub(crate) config: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct StatusOptions {
    /// The daemon's socket
    #[arg(long, value_name = "PATH", default_value = paths::SOCKET)]
    pub(crate) socket: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct FlushOptions {
    #[command(flatten)]
    pub(crate) what: FlushWhat,
    /// The daemon's socket
    #[arg(long, value_name = "PATH", default_value = paths::SOCKET)]
    pub(crate) socket: PathBuf,
}

/// At most one of them.
#[derive(Debug, Args)]
#[group(multiple = false)]
pub(crate) struct FlushWhat {
    /// Only this user, and the groups that the user is in
    #[arg(long, value_name = "NAME", value_parser = name)]
    pub(crate) user: Option<Name>,
    /// Only this group, and that its members are in it
    #[arg(long, value_name = "NAME", value_parser = name)]
    pub(crate) group: Option<Name>,
    /// Everything, as without an option
    #[arg(long)]
    pub(crate) all: bool,
    /// The password hashes for logins while no server answers, and nothing else
    #[arg(long)]
    pub(crate) offline: bool,
}

fn name(text: &str) -> Result<Name, String> {
    Name::parse(text).map_err(|error| error.to_string())
}

/// How much is logged. No level logs a password.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum LogLevel {
    /// What keeps the daemon from working
    Error,
    /// What somebody should look at
    Warn,
    /// Logins, reloads, outages and their ends
    Info,
    /// Every request
    Debug,
    /// Every step of every request
    Trace,
}

impl From<LogLevel> for LevelFilter {
    fn from(level: LogLevel) -> Self {
        match level {
            LogLevel::Error => Self::ERROR,
            LogLevel::Warn => Self::WARN,
            LogLevel::Info => Self::INFO,
            LogLevel::Debug => Self::DEBUG,
            LogLevel::Trace => Self::TRACE,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}

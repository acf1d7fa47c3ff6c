//! Where things lie on a host. These names are fixed, so that other tools can rely on them.

/// The configuration, read by the daemon and by `direct.so`, never by the modules.
pub const CONFIG: &str = "/etc/rollcall.toml";
/// The daemon's socket.
pub const SOCKET: &str = "/run/rollcall/socket";
/// The table of answers that the daemon publishes.
pub const TABLE: &str = "/run/rollcall/table";
/// The sealed copy of the table, for the time before the daemon is up.
pub const SEALED_TABLE: &str = "/var/cache/rollcall/table";

//! `rollcall daemon`: accepts connections, hands their requests over, replies.
//!
//! | file | idea |
//! |---|---|
//! | `detach` | leaves the terminal, where systemd doesn't do that |
//! | `log` | where log lines go |
//! | `listen` | makes the socket, or takes systemd's |
//! | `privileges` | gives up root |
//! | `reload` | the configuration in use, and how it is exchanged |
//! | `accept` | takes connections in |
//! | `limits` | how many of them there may be |
//! | `connection` | one connection: one request, one response |
//! | `receive` | reads the request |
//! | `places` | how many requests of one user are answered at a time |
//! | `guesses` | slows down guessing passwords |
//! | `describe` | requests and responses in the words of the log |
//! | `cache` | answers from the table, and fills it |
//! | `table` | the thread that owns the table |
//! | `offline` | decides logins while no server answers |
//! | `replica` | keeps a copy of the whole directory in the table |
//! | `pause` | how long to leave a directory alone |
//! | `network` | hears that the network has changed |
//! | `notify` | tells systemd |
//! | `ffi` | the unsafe calls |

mod accept;
mod cache;
mod connection;
mod describe;
mod detach;
#[allow(unsafe_code)] // FFI: fork, close_range and glibc's __nss_configure_lookup
mod ffi;
mod guesses;
mod limits;
mod listen;
mod log;
mod network;
mod notify;
mod offline;
mod pause;
mod places;
mod privileges;
mod receive;
mod reload;
mod replica;
mod table;

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use common::config::ConfigError;
use common::deadline;
use common::protocol::Unavailable;
use tokio::net::UnixListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::MissedTickBehavior;
use tracing::{info, warn};

use crate::cli::DaemonOptions;
use accept::Shared;
use detach::Detaching;
use listen::Listening;
use offline::Offline;
use privileges::Successor;
use reload::Configuration;
use table::{Files, Keeper, TableThread};

/// How long a graceful stop waits for requests that are being answered: as long
/// as the longest, a change of password, may take ([`deadline::LOGIN`]), since
/// nobody could say whether one that is cut off took place.
const LAST_ANSWERS: Duration = deadline::LOGIN.saturating_add(Duration::from_secs(1));

/// How long a graceful stop waits for the passwords of the last logins to be hashed, and for the
/// older ones to be removed where that was too short.
const LAST_HASHES: Duration = Duration::from_secs(5);

/// How long a graceful stop waits for the table's copy.
const LAST_SEAL: Duration = Duration::from_secs(20);

/// How often the table's heart beats.
const BEAT: Duration = Duration::from_secs(1);

/// Why the daemon can't start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    /// The configuration is wrong; the text names the file.
    #[error("{0}")]
    Config(#[from] ConfigError),
    /// The configuration can't be used, for instance a CA file can't be read.
    #[error("{0}")]
    Service(Unavailable),
    /// Somebody answers on the socket.
    #[error("another daemon is running: it answers on {}", .0.display())]
    AnotherDaemon(PathBuf),
    /// The socket can't be made, usually for want of permission.
    #[error("can't listen on {}: {source}", path.display())]
    Listen {
        /// The socket.
        path: PathBuf,
        /// What went wrong.
        source: std::io::Error,
    },
    /// systemd handed something over that is not one listening Unix socket.
    #[error("the socket that was handed over (LISTEN_FDS) can't be used: {0}")]
    Inherited(std::io::Error),
    /// `--user` names nobody, or the daemon can't become that user.
    #[error("can't become the user {name:?}: {reason}")]
    User {
        /// Who.
        name: String,
        /// Why not.
        reason: String,
    },
    /// The system refuses something that every process may do; it is out of
    /// memory, processes or descriptors.
    #[error("can't start: {0}")]
    System(#[from] std::io::Error),
}

impl From<nix::Error> for StartError {
    fn from(errno: nix::Error) -> Self {
        Self::System(errno.into())
    }
}

/// Runs until it is told to stop. In the process that the administrator
/// started it may not return at all: see [`detach`].
///
/// # Errors
/// Whatever keeps it from listening.
pub(crate) fn run(options: &DaemonOptions) -> Result<(), StartError> {
    // Before anything looks up a user: this process must never ask itself.
    ffi::look_up_in_files_only();
    ffi::keep_little_memory();
    let inherited = listen::inherited()?;
    let detaching = Detaching::unless(options.foreground || inherited.is_some())?;
    log::start(options.log_level.into(), detaching.is_needed());

    // One thread. Requests wait for the network and not for the processor, and
    // waking up another thread costs every lookup more than it could gain.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let guard = runtime.enter();
    let descriptors = limits::raise_descriptors();
    let successor = Successor::find(options.user.as_deref())?;
    let configuration = Configuration::load(&options.config, notify::is_supervised())?;
    let listening = match inherited {
        Some(listener) => Listening::inherited(listener)?,
        None => Listening::bind(&options.socket)?,
    };
    let files = Files::beside(listening.path(), &options.cache_folder);
    successor.take_over(&listening, &options.cache_folder, &options.state_folder)?;
    // Threads begin with the rights that are left by now.
    let table = TableThread::start(Keeper::new(files))?;
    let offline = Offline::start(&options.state_folder)?;
    let limit = limits::connections(descriptors);
    let shared = Arc::new(Shared::new(configuration, offline, limit));
    drop(guard);
    runtime.block_on(serve(&shared, listening, detaching, table))
}

async fn serve(
    shared: &Arc<Shared>,
    listening: Listening,
    detaching: Detaching,
    table: Arc<TableThread>,
) -> Result<(), StartError> {
    let mut hangup = signal(SignalKind::hangup())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let listener = UnixListener::from_std(listening.listener()?)?;
    info!("listening on {}", listening.path().display());
    shared.configuration.keep_in(Arc::clone(&table)).await;
    tokio::spawn(beat(Arc::clone(&table), Arc::clone(shared)));
    tokio::spawn(look_after_offline_logins(Arc::clone(shared)));
    tokio::spawn(network::watch(Arc::clone(shared)));
    shared.configuration.tell();
    detaching.finish()?;

    loop {
        tokio::select! {
            never = accept::accept(&listener, shared) => match never {},
            _ = hangup.recv() => {
                // Requests are answered meanwhile.
                let shared = Arc::clone(shared);
                tokio::spawn(async move {
                    shared.configuration.reload().await;
                    settle_offline_logins(&shared).await;
                });
            }
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
        }
    }

    notify::stopping();
    drop(listener);
    listening.close();
    info!("stopping");
    if tokio::time::timeout(LAST_ANSWERS, shared.limits.drained()).await.is_err() {
        warn!("stopped before all requests were answered");
    }
    let last_hashes = shared.offline.finish(LAST_HASHES);
    // The live table stays: until there is another daemon, its readers use it at any age.
    // A disk that takes longer than this keeps what it has.
    let last_seal = tokio::time::timeout(LAST_SEAL, table.run(Keeper::seal_for_good));
    let _ = tokio::join!(last_hashes, last_seal);
    Ok(())
}

/// Removes what is kept for offline logins where there are to be none. A configuration that
/// can't be used says nothing about that.
async fn settle_offline_logins(shared: &Shared) {
    if let Ok(active) = shared.configuration.in_use() {
        shared.offline.settle(active.offline.clone()).await;
    }
}

async fn look_after_offline_logins(shared: Arc<Shared>) {
    settle_offline_logins(&shared).await;
    let offline = Arc::clone(&shared.offline);
    offline.look_after(|| shared.configuration.in_use().ok()?.offline.clone()).await;
}

/// The heartbeat of the table, and so of both the thread of the requests and its own:
/// if either hangs, readers stop believing the table.
async fn beat(table: Arc<TableThread>, shared: Arc<Shared>) -> Infallible {
    let mut second = tokio::time::interval(BEAT);
    second.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        second.tick().await;
        let active = shared.configuration.in_use();
        let heard = active.as_ref().map_or(0, |active| active.cache.heard());
        let slept = table.run(move |keeper| {
            keeper.heard = keeper.heard.max(heard);
            let slept = keeper.see_to_a_suspension();
            keeper.beat();
            slept
        });
        if let (Some(true), Ok(active)) = (slept.await, active) {
            active.cache.look_again();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// systemd.service(5): then it kills.
    #[test]
    fn the_unit_gives_a_graceful_stop_its_time() {
        let unit = concat!(env!("CARGO_MANIFEST_DIR"), "/../packaging/systemd/rollcall.service");
        let unit = std::fs::read_to_string(unit).unwrap();
        let stop = unit.lines().find_map(|line| line.strip_prefix("TimeoutStopSec=")).unwrap();
        let stop = Duration::from_secs(stop.parse().unwrap());
        // What is owed may take as long again to be let go of.
        assert!(stop > LAST_ANSWERS + LAST_SEAL.max(LAST_HASHES * 2), "{stop:?}");
    }
}

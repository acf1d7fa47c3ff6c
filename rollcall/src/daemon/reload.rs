//! The configuration in use, and how it is exchanged.
//!
//! A reload makes everything anew from the file and swaps one pointer: requests
//! that are being answered keep what they began with, and a configuration that
//! is wrong changes nothing.
//!
//! A daemon that systemd started runs without a configuration, too: it answers
//! each request with what is wrong, at once, until a reload works. If it ended
//! instead, systemd would start it again and again for the sake of the socket,
//! and every lookup on the host would wait its full time.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use common::config::{Config, Timeouts};
use common::handle::Service;
use common::protocol::{Status, Unavailable};
use tracing::{error, info};

use super::cache::{Cache, Counters};
use super::offline::Policy;
use super::table::TableThread;
use super::{StartError, notify};

/// What a configuration is turned into.
#[derive(Debug)]
pub(super) struct Active {
    /// How long it may take.
    pub(super) timeouts: Timeouts,
    /// Answers without asking the directory each time.
    pub(super) cache: Arc<Cache>,
    /// How logins are decided while no server answers; `None`: they aren't.
    pub(super) offline: Option<Arc<Policy>>,
}

/// What is in use: a configuration, or the answer to everything for want of one.
type InUse = Result<Arc<Active>, Unavailable>;

/// The configuration in use.
#[derive(Debug)]
pub(super) struct Configuration {
    path: PathBuf,
    counters: Arc<Counters>,
    /// Where answers are kept, once there is a thread for it.
    table: OnceLock<Arc<TableThread>>,
    /// Locked only to copy or set what is in it.
    in_use: Mutex<InUse>,
    /// One reload at a time.
    reloading: tokio::sync::Mutex<()>,
}

impl Configuration {
    /// Reads the file. With `supervised`, a file that can't be used is no error
    /// but [`Configuration::in_use`]'s.
    pub(super) fn load(path: &Path, supervised: bool) -> Result<Self, StartError> {
        let counters = Arc::default();
        let in_use = match load(path, &counters) {
            Ok(active) => Ok(Arc::new(active)),
            Err(wrong) if supervised => {
                error!("the configuration can't be used, so nothing can be answered: {wrong}");
                Err(Unavailable::Configuration(wrong.to_string()))
            }
            Err(wrong) => return Err(wrong),
        };
        let (path, table, in_use) = (path.to_owned(), OnceLock::new(), Mutex::new(in_use));
        Ok(Self { path, counters, table, in_use, reloading: tokio::sync::Mutex::default() })
    }

    /// Has answers kept in this table from now on.
    pub(super) async fn keep_in(&self, table: Arc<TableThread>) {
        let _ = self.table.set(Arc::clone(&table));
        if let Ok(active) = self.in_use() {
            active.cache.start(table).await;
        }
    }

    /// How things stand.
    pub(super) fn status(&self, connections: u32) -> Status {
        match self.in_use() {
            Ok(active) => active.cache.status(connections),
            Err(why) => {
                Status { outage: Some(why.to_string()), ..self.counters.status(connections) }
            }
        }
    }

    /// What is in use now.
    pub(super) fn in_use(&self) -> InUse {
        self.lock().clone()
    }

    /// Tells systemd that the daemon answers, and with which configuration.
    pub(super) fn tell(&self) {
        match self.in_use() {
            Ok(_) => notify::ready(),
            Err(why) => notify::without_configuration(&why),
        }
    }

    /// Reads the file again.
    ///
    /// A daemon that gave up root needs files here that its user can read; the
    /// error names the one that it can't.
    ///
    /// What was in use answers until the table is made up for the new one, but puts nothing there.
    pub(super) async fn reload(&self) {
        let _one = self.reloading.lock().await;
        notify::reloading();
        match load(&self.path, &self.counters) {
            Ok(new) => {
                if let Ok(old) = self.in_use() {
                    old.cache.stop();
                }
                if let Some(table) = self.table.get() {
                    new.cache.start(Arc::clone(table)).await;
                }
                *self.lock() = Ok(Arc::new(new));
                info!("the configuration was read again");
                notify::ready();
            }
            Err(wrong) if self.in_use().is_ok() => {
                error!("the new configuration is not used, the old one stays: {wrong}");
                notify::kept_the_old_configuration();
            }
            Err(wrong) => {
                error!("the configuration still can't be used: {wrong}");
                *self.lock() = Err(Unavailable::Configuration(wrong.to_string()));
                self.tell();
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, InUse> {
        self.in_use.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn load(path: &Path, counters: &Arc<Counters>) -> Result<Active, StartError> {
    let config = Config::load(path)?;
    let timeouts = config.timeouts;
    let offline = Policy::of(&config).map(Arc::new);
    let service = Service::new(config.clone()).map_err(StartError::Service)?;
    let cache = Cache::new(service, &config, Arc::clone(counters));
    Ok(Active { timeouts, cache, offline })
}

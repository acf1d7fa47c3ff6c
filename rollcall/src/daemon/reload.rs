//! The configuration in use, and how it is exchanged.
//!
//! A reload makes everything anew from the file and swaps one pointer: requests
//! that are being answered keep what they began with, and a configuration that
//! is wrong changes nothing.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use common::config::{Config, Timeouts};
use common::handle::Service;
use tracing::{error, info};

use super::{StartError, notify};

/// What a configuration is turned into.
#[derive(Debug)]
pub(super) struct Active {
    /// Answers.
    pub(super) service: Arc<Service>,
    /// How long it may take.
    pub(super) timeouts: Timeouts,
}

/// The configuration in use.
#[derive(Debug)]
pub(super) struct Configuration {
    path: PathBuf,
    /// Locked only to copy or set the pointer.
    active: Mutex<Arc<Active>>,
}

impl Configuration {
    pub(super) fn load(path: &Path) -> Result<Self, StartError> {
        let active = Mutex::new(Arc::new(load(path)?));
        Ok(Self { path: path.to_owned(), active })
    }

    /// What is in use now.
    pub(super) fn active(&self) -> Arc<Active> {
        Arc::clone(&self.active.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads the file again.
    ///
    /// A daemon that gave up root needs files here that its user can read; the
    /// error names the one that it can't.
    pub(super) fn reload(&self) {
        notify::reloading();
        match load(&self.path) {
            Ok(new) => {
                *self.active.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(new);
                info!("the configuration was read again");
                notify::ready();
            }
            Err(wrong) => {
                error!("the new configuration is not used, the old one stays: {wrong}");
                notify::kept_the_old_configuration();
            }
        }
    }
}

fn load(path: &Path) -> Result<Active, StartError> {
    let config = Config::load(path)?;
    let timeouts = config.timeouts;
    let service = Service::new(config).map_err(StartError::Service)?;
    Ok(Active { service, timeouts })
}

//! Answers a [`Request`] from the directories: what the daemon and `direct.so` have in common.

use std::sync::Arc;

use crate::config::Config;
use crate::deadline::Deadline;
use crate::protocol::{Request, Response, Unavailable};

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// The user id of the asking process, as the kernel tells it.
    pub uid: u32,
}

/// Answers requests with one configuration.
#[derive(Debug)]
pub struct Service {
    config: Config,
}

impl Service {
    /// Takes a configuration into use. Touches no network: the first request connects.
    ///
    /// # Errors
    /// [`Unavailable::Configuration`], for instance when a CA file can't be read.
    pub fn new(config: Config) -> Result<Arc<Self>, Unavailable> {
        Ok(Arc::new(Self { config }))
    }

    /// Answers a request, no later than the deadline.
    pub async fn handle(
        self: &Arc<Self>,
        peer: Peer,
        request: Request,
        deadline: Deadline,
    ) -> Response {
        let _ = (peer, request, deadline, &self.config);
        Response::Unavailable(Unavailable::NoDaemon)
    }
}

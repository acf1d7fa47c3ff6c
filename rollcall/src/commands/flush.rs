//! `rollcall flush`: makes lookups see the directory as it is.

use std::time::Duration;

use common::client::Client;
use common::deadline::Deadline;
use common::protocol::{Flush, Refused, Request, Response};

use super::Done;
use crate::cli::{FlushOptions, FlushWhat};

/// How long it may take: a large directory may be read as a whole for it.
const PATIENCE: Duration = Duration::from_secs(600);

pub(crate) fn run(options: FlushOptions) -> Done {
    let what = match options.what {
        FlushWhat { user: Some(name), .. } => Flush::User(name),
        FlushWhat { group: Some(name), .. } => Flush::Group(name),
        FlushWhat { offline: true, .. } => Flush::Offline,
        FlushWhat { .. } => Flush::All,
    };
    let deadline = Deadline::after(PATIENCE);
    match Client::Socket(&options.socket).ask(&Request::Flush(what), deadline) {
        Response::Done => Ok(()),
        Response::Refused(Refused::NotRoot) => Err("only root may do this; try sudo".into()),
        Response::Unavailable(why) => Err(format!("not everything was read anew: {why}").into()),
        _ => Err("the daemon answered something else".into()),
    }
}

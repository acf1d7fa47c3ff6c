//! `rollcall flush`: makes lookups see the directory as it is.

use std::time::Duration;

use common::client::Client;
use common::deadline::Deadline;
use common::protocol::{Flush, Refused, Request, Response, Unavailable};

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
    let is_offline = matches!(what, Flush::Offline);
    let deadline = Deadline::after(PATIENCE);
    match Client::Socket(&options.socket).ask(&Request::Flush(what), deadline) {
        Response::Done => Ok(()),
        Response::Refused(Refused::NotRoot) => Err("only root may do this; try sudo".into()),
        Response::Unavailable(why) if is_offline => Err(not_removed(&why).into()),
        Response::Unavailable(why) => Err(format!("not everything was read anew: {why}").into()),
        _ => Err("the daemon answered something else".into()),
    }
}

/// Which state folder a daemon would have, nobody here knows: the text names the usual one.
fn not_removed(why: &Unavailable) -> String {
    let what = "what is kept for offline logins was not removed";
    match why {
        Unavailable::NoDaemon => format!(
            "{what}: {why}; without one, deleting /var/lib/rollcall/offline.redb* does the same"
        ),
        _ => format!("{what}: {why}"),
    }
}

//! Claims that hold whatever befalls a server, and logins on the protocol's level.

#![allow(dead_code, reason = "each file of tests uses a part of it")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use common::account::Name;
use common::client::Client;
use common::deadline::Deadline;
use common::protocol::{Context, LoginAnswer, Request, Response, Unavailable, Verdict};
use common::secret::Secret;
use harness::Host;
pub(crate) use harness::Trouble;

/// Checks a claim in every trouble at the same time, each on a host of its own.
#[track_caller]
pub(crate) fn in_all_troubles(claim: impl Fn(Trouble) + Sync) {
    let claim = &claim;
    let failed: Vec<_> = thread::scope(|scope| {
        let tests = Trouble::ALL.map(|trouble| {
            let test = scope.spawn(move || catch_unwind(AssertUnwindSafe(|| claim(trouble))));
            (trouble, test)
        });
        let failed = |(trouble, test): (_, thread::ScopedJoinHandle<'_, thread::Result<()>>)| {
            test.join().expect("panics are caught").is_err().then_some(trouble)
        };
        tests.into_iter().filter_map(failed).collect()
    });
    assert!(failed.is_empty(), "not true where the server is {failed:?}, see above");
}

/// What the daemon says to somebody who shows a password, and how long it took.
pub(crate) fn log_in(host: &Host, name: &str, password: &str) -> (Response, Duration) {
    log_in_at(&host.path(common::paths::SOCKET), name, password)
}

/// The same at a socket, for threads.
pub(crate) fn log_in_at(socket: &Path, name: &str, password: &str) -> (Response, Duration) {
    let request = Request::Authenticate {
        name: Name::parse(name).expect("a name"),
        password: Secret::new(password.into()),
        context: Context::default(),
    };
    let start = Instant::now();
    let deadline = Deadline::after(common::deadline::LOGIN);
    let answer = Client::Socket(socket).ask(&request, deadline);
    (answer, start.elapsed())
}

/// Whether a login went well; anything but that and "nobody knows" is a failure.
#[track_caller]
pub(crate) fn is_in(answer: &Response) -> bool {
    match answer {
        Response::Login(LoginAnswer { verdict: Verdict::Accepted, .. }) => true,
        Response::Unavailable(why) => {
            assert_ne!(*why, Unavailable::Busy);
            false
        }
        other => panic!("{other:?}"),
    }
}

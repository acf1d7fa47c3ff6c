//! A server that takes two seconds for a bind, and 200 people who log in at once.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use common::account::Name;
use common::client::Client;
use common::deadline::Deadline;
use common::protocol::{Context, LoginAnswer, Request, Response, Verdict};
use common::secret::Secret;
use harness::{Directory, DirectoryBuilder, Host, User};

use super::series::Series;
use crate::measure::Figures;
use crate::people::People;

/// Who is in the directory, and logs in.
pub(super) const USERS: People = People(200);
const A_BIND: Duration = Duration::from_secs(2);
/// Where the relay listens.
const RELAY: &str = "127.0.0.9";

/// These people, with passwords.
pub(super) fn people() -> DirectoryBuilder {
    Directory::new().people((0..USERS.0).map(|number| {
        let name = People::user(number);
        User::new(&name).uid(People::uid(number)).password(&People::password(&name))
    }))
}

/// How many are in, how long all of it takes, and the lookups meanwhile.
///
/// # Errors
/// If the process that looks up has ended.
pub(super) fn measure(mode: &str) -> Result<Figures, String> {
    eprintln!("  a slow server");
    let host = Host::new().directory(people()).reading_relay(RELAY);
    let host = host.uri(&format!("[\"ldap://{RELAY}\"]"));
    let mut host = host.cache(&format!("mode = \"{mode}\"\n")).start();
    crate::measure::install(&host);
    if mode == "replica" {
        host.daemon().wait_until_complete();
    }
    let mut talk = super::talk(&host, USERS);
    let mut figures = Figures::new();
    Series::of(&mut talk, super::KNOWN[0])?.median_and_worst("slow.before", &mut figures);
    host.relay().delay_binds(A_BIND);
    let socket = host.path(common::paths::SOCKET);
    let socket = &socket;
    let started = Instant::now();
    talk.tell(super::KNOWN[1]);
    let refused = thread::scope(|scope| {
        let login = |number| scope.spawn(move || !is_in(socket, &People::user(number)));
        let logins: Vec<_> = (0..USERS.0).map(login).collect();
        logins.into_iter().map(|login| u32::from(login.join().unwrap_or(true))).sum::<u32>()
    });
    figures.insert("slow.time".into(), started.elapsed().as_secs_f64() * 1e9);
    figures.insert("slow.refused".into(), f64::from(refused));
    Series::hear(&mut talk)?.median_and_worst("slow.known", &mut figures);
    Ok(figures)
}

/// Logs somebody in, as the PAM module asks the daemon to: libpam in 200 threads of a process
/// would be measured as well.
fn is_in(socket: &Path, name: &str) -> bool {
    let request = Request::Authenticate {
        name: Name::parse(name).expect("it is one"),
        password: Secret::new(People::password(name)),
        context: Context::default(),
    };
    let deadline = Deadline::after(common::deadline::LOGIN);
    let answer = Client::Socket(socket).ask(&request, deadline);
    matches!(answer, Response::Login(LoginAnswer { verdict: Verdict::Accepted, .. }))
}

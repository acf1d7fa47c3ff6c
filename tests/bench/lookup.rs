//! A lookup through glibc, the module and the daemon, against one search by
//! ldap3 on a kept connection. Nothing is cached: each is of another user.

use harness::{Directory, Host, User};

use crate::lib_c;
use crate::plain::Plain;
use crate::report;
use crate::samples::Samples;

/// The argument that makes this program measure, on a host.
pub(crate) const INSIDE: &str = "lookups";

const ROUNDS: u32 = 2000;
const WARM_UP: u32 = 200;

fn name(number: u32) -> String {
    format!("u{number}")
}

/// Sets a host up, measures there, reports.
pub(crate) fn measure() {
    let users = (0..2 * (ROUNDS + WARM_UP)).map(|i| User::new(&name(i)).uid(20_000 + i).gecos("A"));
    let host = Host::new().directory(Directory::new().people(users)).start();
    let samples = Samples::of(&host, &[INSIDE]);
    let (ours, theirs) = (samples.median("ours"), samples.median("theirs"));
    report::line("getpwnam_r through the daemon / a search by ldap3", ours, theirs, Some(1.3));
}

/// Ours and theirs in turns, in one process.
pub(crate) fn inside() {
    let plain = Plain::connect();
    let mut samples = Samples::default();
    for round in 0..ROUNDS + WARM_UP {
        if round == WARM_UP {
            samples.clear();
        }
        let (one, other) = (name(2 * round), name(2 * round + 1));
        assert!(samples.time("ours", || lib_c::getpwnam(&one)), "{one} is there");
        samples.time("theirs", || plain.search(&other));
    }
    samples.print();
}

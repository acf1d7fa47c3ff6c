//! Hosts whose replica is told of changes as they happen (RFC 4533). None of them polls: the
//! next poll would be an hour later.

#![allow(dead_code, reason = "each file of tests uses a part of it")]

use harness::{BASE, DirectoryBuilder, Host, PATIENCE, User, until};

use crate::probe::{install, people};

pub(crate) const REPLICA: &str = "mode = \"replica\"\nrefresh = 3600\n";
pub(crate) const TOLD: &str =
    "the server tells of changes below \"dc=example,dc=org\" as they happen";
pub(crate) const ALICE: &str = "alice:10001:20001:alice:/home/alice:/bin/sh";
pub(crate) const ALICE_DN: &str = "uid=alice,ou=people,dc=example,dc=org";

/// Such a host.
pub(crate) fn host(people: DirectoryBuilder) -> Host {
    let mut host = install(Host::new().directory(people).cache(REPLICA).start());
    host.wait_for_log(TOLD, PATIENCE);
    host.daemon().wait_until_complete();
    host
}

/// So many users more: `u0`, `u1` and so on.
pub(crate) fn users(count: u32) -> DirectoryBuilder {
    people().people((0..count).map(|n| User::new(&format!("u{n}")).uid(11_000 + n)))
}

/// The DN of one of them.
pub(crate) fn user_dn(n: u32) -> String {
    format!("uid=u{n},ou=people,{BASE}")
}

/// What `rollcall status` says.
pub(crate) fn status(host: &Host) -> String {
    host.run(["rollcall", "status"]).success()
}

/// Waits until a line of `rollcall status` says this.
#[track_caller]
pub(crate) fn await_status(host: &Host, text: &str) {
    let said = until(PATIENCE, || status(host).contains(text).then_some(()));
    assert!(said.is_some(), "no {text:?} in:\n{}", status(host));
}

//! A host on which alice logs in, so that it may let her in while no server answers.

#![allow(dead_code, reason = "each test file uses a part of it")]

use harness::{Directory, DirectoryBuilder, Host, HostBuilder, PATIENCE, User, until};

use crate::pam::{SUCCESS, probe, with_probe};

pub(crate) const PASSWORD: &str = "alice's secret";
pub(crate) const NEW: &str = "another secret";
pub(crate) const RIGHT: &str = "answer=alice's secret";
pub(crate) const WRONG: &str = "answer=wrong";
pub(crate) const OF_BOB: &str = "answer=bob's secret";
pub(crate) const FOLDER: &str = "/var/lib/rollcall";
pub(crate) const FILE: &str = "/var/lib/rollcall/offline.redb";

pub(crate) fn alice() -> User {
    User::new("alice").uid(10_001).gid(20_001).password(PASSWORD)
}

pub(crate) fn people() -> DirectoryBuilder {
    let bob = User::new("bob").uid(10_002).gid(20_001).password("bob's secret");
    Directory::new().user(alice()).user(bob).group("crew", 20_001, ["alice"])
}

pub(crate) fn builder(directory: DirectoryBuilder) -> HostBuilder {
    with_probe(Host::new().directory(directory)).offline("max_failures = 3\n")
}

/// What a login is answered: password check and account check.
#[track_caller]
pub(crate) fn login_as(host: &Host, name: &str, answer: &str) -> Vec<i32> {
    probe(host, name, &[answer, "auth", "account"]).codes
}

/// The same of alice.
#[track_caller]
pub(crate) fn login(host: &Host, answer: &str) -> Vec<i32> {
    login_as(host, "alice", answer)
}

/// Logs alice in, and waits until that is kept.
#[track_caller]
pub(crate) fn log_in_online(host: &Host) {
    log_in_online_as(host, "alice", RIGHT);
    await_kept(host, true);
}

/// Logs bob in, and waits until that is kept.
#[track_caller]
pub(crate) fn log_in_online_as_bob(host: &Host) {
    log_in_online_as(host, "bob", OF_BOB);
    until(PATIENCE, || status(host).contains("bob may log in").then_some(())).expect("he is kept");
}

#[track_caller]
pub(crate) fn log_in_online_as(host: &Host, name: &str, answer: &str) {
    let said = probe(host, name, &[answer, "auth", "account"]);
    assert_eq!(said.codes, [SUCCESS; 2], "{said:?}\n{}", host.log().join("\n"));
    assert!(!said.has("offline"), "{said:?}");
}

/// Waits until nobody believes any more that no server answers.
#[track_caller]
pub(crate) fn log_in_until_online(host: &Host, answer: &str) {
    until(PATIENCE, || {
        let said = probe(host, "alice", &[answer, "auth", "account"]);
        (said.codes == [SUCCESS; 2] && !said.has("offline")).then_some(())
    })
    .unwrap_or_else(|| panic!("no login online\n{}", host.log().join("\n")));
}

pub(crate) fn status(host: &Host) -> String {
    host.run(["rollcall", "status"]).success()
}

pub(crate) fn is_kept(host: &Host) -> bool {
    status(host).contains("alice may")
}

#[track_caller]
pub(crate) fn await_kept(host: &Host, kept: bool) {
    until(PATIENCE, || (is_kept(host) == kept).then_some(()))
        .unwrap_or_else(|| panic!("kept: {}\n{}", !kept, host.log().join("\n")));
}

/// A host on which alice has logged in, and whose server is down since.
pub(crate) fn offline_with(builder: HostBuilder) -> Host {
    let mut host = builder.start();
    log_in_online(&host);
    host.directory().stop();
    host
}

pub(crate) fn offline() -> Host {
    offline_with(builder(people()))
}

/// Gives the daemon another configuration, made of what it has.
pub(crate) fn reconfigure(host: &mut Host, edit: impl FnOnce(String) -> String) {
    let text = std::fs::read_to_string(host.path("/etc/rollcall.toml")).unwrap();
    host.write("/etc/rollcall.toml", &edit(text));
    host.daemon().reload();
}

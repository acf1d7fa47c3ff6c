//! Logs in through libpam and gives its exact codes, with the program `pam_probe`.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::process::{Command, Stdio};

use harness::{Host, HostBuilder, Output};

// security/_pam_types.h
pub(crate) const SUCCESS: i32 = 0;
pub(crate) const PERM_DENIED: i32 = 6;
pub(crate) const AUTH_ERR: i32 = 7;
pub(crate) const AUTHINFO_UNAVAIL: i32 = 9;
pub(crate) const USER_UNKNOWN: i32 = 10;
pub(crate) const NEW_AUTHTOK_REQD: i32 = 12;
pub(crate) const ACCT_EXPIRED: i32 = 13;
pub(crate) const AUTHTOK_ERR: i32 = 20;
pub(crate) const TRY_AGAIN: i32 = 24;
pub(crate) const AUTHTOK_EXPIRED: i32 = 27;

/// The service of [`with_probe`], where nothing but our module decides.
pub(crate) const ALONE: &str = "alone";

/// What is in the stack of [`ALONE`].
pub(crate) const STACK: &str = "auth required pam_ldap.so\naccount required pam_ldap.so\n\
                         password required pam_ldap.so\nsession required pam_ldap.so\n";

/// What libpam said.
#[derive(Debug)]
pub(crate) struct Said {
    /// The codes of the phases, in their order.
    pub(crate) codes: Vec<i32>,
    /// What the user read: prompts and messages.
    pub(crate) heard: Vec<String>,
}

impl Said {
    fn read(output: Output) -> Self {
        let (mut codes, mut heard) = (Vec::new(), Vec::new());
        for line in output.success().lines() {
            match line.split_once(' ') {
                Some(("=", phase)) => {
                    let code = phase.rsplit_once(' ').and_then(|(_, code)| code.parse().ok());
                    codes.push(code.expect("a phase has a code"));
                }
                Some(("?" | "-" | "!", text)) => heard.push(text.to_owned()),
                _ => panic!("the probe said {line:?}"),
            }
        }
        Self { codes, heard }
    }

    /// Whether the user read this text.
    pub(crate) fn has(&self, text: &str) -> bool {
        self.heard.iter().any(|heard| heard.contains(text))
    }
}

/// Gives the host a stack in which our module decides alone.
pub(crate) fn with_probe(builder: HostBuilder) -> HostBuilder {
    builder.file("/etc/pam.d/alone", STACK)
}

/// Runs the probe as root on a host made by [`with_probe`].
#[track_caller]
pub(crate) fn probe(host: &Host, user: &str, words: &[&str]) -> Said {
    probe_service(host, ALONE, user, words)
}

/// The same with another stack.
#[track_caller]
pub(crate) fn probe_service(host: &Host, service: &str, user: &str, words: &[&str]) -> Said {
    let program = install(host);
    let head = [program, service, user];
    Said::read(host.run(head.iter().chain(words)))
}

/// The same with the rights of a user.
#[track_caller]
pub(crate) fn probe_as(host: &Host, asker: &str, user: &str, words: &[&str]) -> Said {
    let program = install(host);
    let head = [program, ALONE, user];
    Said::read(host.run_as(asker, head.iter().chain(words)))
}

/// The probe on this machine, with whatever rights the test has.
#[track_caller]
pub(crate) fn probe_here(service: &str, user: &str, words: &[&str]) -> Said {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pam_probe"));
    command.args([service, user]).args(words).stdin(Stdio::null());
    Said::read(command.output().expect("the probe can be started").into())
}

/// Shows whether a password is right.
#[track_caller]
pub(crate) fn knows(host: &Host, user: &str, password: &str) -> bool {
    let answer = format!("answer={password}");
    let said = probe(host, user, &[&answer, "auth"]);
    assert!(matches!(said.codes[..], [SUCCESS | AUTH_ERR]), "{said:?}");
    said.codes == [SUCCESS]
}

fn install(host: &Host) -> &'static str {
    let path = "/usr/local/bin/pam_probe";
    if !host.path(path).exists() {
        host.install(env!("CARGO_BIN_EXE_pam_probe").as_ref(), path);
    }
    path
}

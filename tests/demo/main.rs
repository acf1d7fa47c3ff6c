//! Shows Rollcall at work: a directory with a dozen people, a host that asks
//! it, and what `getent`, `ssh`, `su` and `passwd` make of that.
//!
//! Nothing of this machine is changed: the host is this machine once more, in
//! namespaces of its own. The exit status is 1 if a step doesn't do what it
//! should. With `--shell` it ends in a shell on that host.

use std::process::ExitCode;

use harness::{Host, Policy, User};

mod people;
mod shell;
mod show;
mod steps;

use show::Show;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let shell = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => false,
        ["--shell"] => true,
        _ => {
            eprintln!("usage: demo [--shell]");
            return ExitCode::from(2);
        }
    };
    println!("Starting a slapd with {} people, a host and its sshd …", people::PEOPLE.len());
    let mut host = Host::new()
        .directory(people::directory())
        .local_user("lou", 2001, people::LOCAL_PASSWORD)
        .configuration("[login]\nallow_groups = [\"crew\"]")
        .cache("refresh = 2\n")
        .sshd()
        .start();
    host.daemon().wait_until_complete();
    if shell {
        return shell::run(&host);
    }
    let mut show = Show::default();
    steps::lookups(&host, &mut show);
    steps::logins(&host, &mut show);
    steps::passwords(&host, &mut show);
    steps::changes(&mut host, &mut show);
    steps::outage(&mut host, &mut show);
    show.end()
}

/// What people's passwords have to be like.
fn policy() -> Policy {
    Policy::new().min_length(8)
}

/// A person of the demo.
fn user(name: &str, uid: u32, gecos: &str) -> User {
    User::new(name)
        .uid(uid)
        .gid(people::CREW)
        .gecos(gecos)
        .password(&people::password(name))
        .shell("/bin/bash")
}

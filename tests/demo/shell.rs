//! A shell on the demo's host, to try things.

use std::process::ExitCode;

use harness::Host;

use crate::people;

/// Leaves the person in a shell as root; the host ends with it.
pub(crate) fn run(host: &Host) -> ExitCode {
    println!(
        "You are root on a host of its own; nothing you do here touches this machine.\n\
         People: {}. Passwords: \"{}\" and so on.\n\
         Try: id alice; getent group; ssh alice@localhost; su - lou, then su - bob; less /etc/rollcall.toml\n\
         The end of this shell is the end of the host.",
        people::PEOPLE.map(|(name, _)| name).join(", "),
        people::password("alice"),
    );
    let terminal = std::env::var("TERM").unwrap_or_else(|_| "dumb".into());
    let status = host
        .command(["script", "--quiet", "--command", "bash -l", "/dev/null"])
        .env("TERM", terminal)
        .status();
    match status {
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("the shell can't be started: {error}");
            ExitCode::FAILURE
        }
    }
}

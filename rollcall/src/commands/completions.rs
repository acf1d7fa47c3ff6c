//! `rollcall completions SHELL`

use std::io::Write;

use clap::CommandFactory;
use clap_complete::Shell;

use super::Done;
use crate::cli::Cli;

pub(crate) fn run(shell: Shell) -> Done {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "rollcall", &mut script);
    std::io::stdout().write_all(&script)?;
    Ok(())
}

//! `rollcall`: the daemon that answers the modules, and the administrator's commands.

#![deny(unsafe_code)]

mod cli;
mod commands;
mod daemon;

use std::process::ExitCode;

use clap::Parser;

use cli::{Cli, Command};

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Daemon(options) => daemon::run(&options).map_err(Into::into),
        Command::Check(options) => commands::check::run(&options),
        Command::Status(options) => commands::status::run(&options),
        Command::Flush(options) => commands::flush::run(options),
        Command::Completions { shell } => commands::completions::run(shell),
        Command::Man { folder } => commands::man::run(&folder),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("rollcall: {error}");
            ExitCode::FAILURE
        }
    }
}

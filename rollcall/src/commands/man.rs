//! `rollcall man FOLDER`: the manual pages, for packages.

use std::path::Path;

use clap::CommandFactory;

use super::Done;
use crate::cli::Cli;

pub(crate) fn run(folder: &Path) -> Done {
    clap_mangen::generate_to(Cli::command().disable_help_subcommand(true), folder)?;
    Ok(())
}

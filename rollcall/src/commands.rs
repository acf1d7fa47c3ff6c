//! The administrator's commands, one file each.

pub(crate) mod check;
pub(crate) mod completions;
pub(crate) mod flush;
pub(crate) mod man;
pub(crate) mod status;

/// What a command ends with: the text of an error is a sentence for the administrator.
pub(crate) type Done = Result<(), Box<dyn std::error::Error>>;

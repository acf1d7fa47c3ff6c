//! A table that will take another one's place.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::path::Path;

use super::file::Memory;
use super::place::Temporary;
use super::rebuild::{Kept, NoCopy, Size};
use super::sheet::Sheet;
use crate::table::layout::MAX_WORDS;

/// Such a table, and its file as long as that hasn't taken the place.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) sheet: Sheet,
    pub(super) temporary: Option<Temporary>,
}

impl Draft {
    /// An empty table.
    pub(super) fn new(path: Option<&Path>, size: Size) -> io::Result<Self> {
        if size.words > MAX_WORDS {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "too large for a table"));
        }
        let (memory, temporary) = match path {
            None => (Memory::own(size.words), None),
            Some(path) => {
                let mut temporary = Temporary::create(path)?;
                temporary.allocate(size.words as u64 * 8)?;
                (Memory::map(temporary.file(), size.words)?, Some(temporary))
            }
        };
        // Whoever may write to the directory doesn't know where a name will be put.
        let seed = RandomState::new().build_hasher().finish();
        Ok(Self { sheet: Sheet::new(memory, seed, size.slots), temporary })
    }

    /// A table with what was kept of another one.
    pub(super) fn of(
        path: Option<&Path>,
        from: &Sheet,
        kept: &Kept,
        mut size: Size,
    ) -> io::Result<Self> {
        loop {
            let mut draft = Self::new(path, size)?;
            match kept.copy(from, &mut draft.sheet) {
                Ok(()) => {}
                Err(NoCopy::Crowded) => {
                    size = size.doubled();
                    continue;
                }
                Err(NoCopy::Damaged) => {
                    let what = "somebody else has written to the table";
                    return Err(io::Error::new(io::ErrorKind::InvalidData, what));
                }
            }
            draft.sheet.settle();
            draft.sheet.succeed(from);
            if !kept.whole {
                draft.sheet.is_incomplete();
            }
            return Ok(draft);
        }
    }
}

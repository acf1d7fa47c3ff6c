//! Reads the file of a population, frame by frame, and believes no length in it.

use std::fs::File;
use std::hash::Hasher;
use std::io::{BufReader, Read};

use xxhash_rust::xxh3::Xxh3;

use super::{LONGEST, PIECE, Unusable};

/// A file that is being read.
pub(super) struct Input {
    file: BufReader<File>,
    hash: Xxh3,
    /// How many bytes there are to come: no length is believed that is more.
    left: u64,
    frame: Vec<u8>,
}

impl Input {
    /// Begins to read a file of so many bytes.
    pub(super) fn new(file: File, length: u64) -> Self {
        let file = BufReader::with_capacity(PIECE, file);
        Self { file, hash: Xxh3::new(), left: length, frame: Vec::new() }
    }

    /// So many bytes.
    pub(super) fn take(&mut self, length: usize) -> Result<&[u8], Unusable> {
        self.left = self.left.checked_sub(length as u64).ok_or(Unusable::Corrupt)?;
        self.frame.resize(length, 0);
        self.file.read_exact(&mut self.frame)?;
        self.hash.update(&self.frame);
        Ok(&self.frame)
    }

    /// The next frame.
    pub(super) fn next(&mut self) -> Result<&[u8], Unusable> {
        let length = self.take(4)?.try_into().map(u32::from_le_bytes);
        let length = length.ok().filter(|length| *length <= LONGEST).ok_or(Unusable::Corrupt)?;
        self.take(usize::try_from(length).map_err(|_| Unusable::Corrupt)?)
    }

    /// Whether nothing follows but the hash, and it is right.
    pub(super) fn is_at_its_end(&mut self) -> Result<bool, Unusable> {
        let expected = self.hash.finish();
        let found = self.take(8)? == expected.to_le_bytes();
        Ok(self.left == 0 && found)
    }
}

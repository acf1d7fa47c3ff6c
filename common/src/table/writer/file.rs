//! The memory of a table that the writer writes to.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::ptr::{self, NonNull};
use std::sync::atomic::AtomicU64;

/// The words of a table, of a file or of this process alone. Unmapped on drop.
#[derive(Debug)]
pub struct Memory(Words);

#[derive(Debug)]
enum Words {
    Own(Box<[AtomicU64]>),
    Mapped(Mapping),
}

impl Memory {
    /// Memory of this process alone: so many words of 0.
    pub(super) fn own(words: usize) -> Self {
        Self(Words::Own((0..words).map(|_| AtomicU64::new(0)).collect()))
    }

    /// Maps a file of this process to write to it. All its blocks must exist, and nobody may
    /// ever make it shorter: a page without a block is a SIGBUS to whoever touches it.
    ///
    /// # Errors
    /// When the kernel refuses, `mmap(2)`.
    pub(super) fn map(file: &File, words: usize) -> io::Result<Self> {
        let bytes = words.checked_mul(8).ok_or(io::ErrorKind::FileTooLarge)?;
        // SAFETY: a new mapping at a place of the kernel's choice disturbs nothing.
        let start = unsafe {
            libc::mmap(
                ptr::null_mut(),
                bytes,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                file.as_raw_fd(),
                0,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::InvalidData)?;
        Ok(Self(Words::Mapped(Mapping { start, words })))
    }

    /// The words.
    pub fn words(&self) -> &[AtomicU64] {
        match &self.0 {
            Words::Own(words) => words,
            Words::Mapped(mapping) => mapping.words(),
        }
    }
}

#[derive(Debug)]
struct Mapping {
    start: NonNull<AtomicU64>,
    words: usize,
}

impl Mapping {
    fn words(&self) -> &[AtomicU64] {
        // SAFETY: `map` has got so many bytes from the kernel, at the start of a page, and
        // they stay mapped until this value is dropped. Other processes may have the same
        // file, so it is only ever seen as atomic words.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.words) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: this is what `map` has got, and nobody has a reference into it any more:
        // all of them borrow this value.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.words * 8) };
    }
}

// SAFETY: the mapping belongs to no thread, and all access to it is atomic.
unsafe impl Send for Mapping {}
// SAFETY: what is shared is read and written atomically, and `Drop` alone unmaps it, when nobody borrows
// it any more.
unsafe impl Sync for Mapping {}

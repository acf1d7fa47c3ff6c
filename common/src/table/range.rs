//! Memory that stays readable, whatever is mapped there.
//!
//! A file that is unmapped leaves a hole, and a reader who was just there dies
//! in it. So a file is mapped into a range of addresses that the process has
//! reserved, and when it is let go of, zeros take its place in one step
//! (`MAP_FIXED`, `mmap(2)`). The range is never given back: addresses are all that it costs.
//!
//! One step it is where it succeeds. Kernels before 6.12 or so first unmap, and may fail then
//! for want of memory for their own notes: that leaves a hole, and somebody else's memory may come
//! to lie in it. So where a file can't be mapped at all is found out elsewhere
//! ([`can_be_mapped`]), and a range in which it failed after all is forgotten, neither
//! filled nor unmapped: what lies in it may not be ours.
//!
//! Behind the file's end there are zeros as well, up to the end of the range. So
//! the range's length is all that a reader has to know, and its size is a power of two, which
//! fits, beside the address of a page, into one word: whoever reads that word
//! has address and length of the same range.

use std::ffi::c_void;
use std::os::fd::{AsRawFd, OwnedFd};
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

use libc::{MAP_ANONYMOUS, MAP_FAILED, MAP_FIXED, MAP_NORESERVE, MAP_PRIVATE, MAP_SHARED};
use rustix::io::Errno;

use super::map::last_error;

/// The bits of a range's word that hold the binary logarithm of its size. They
/// are 0 in the address of a page.
const SIZE: usize = 0x3f;
/// The smallest range: a page wherever pages are small, and no less than a header.
const SMALLEST: usize = 4096;

/// A range of this process's addresses, all of which can be read for ever.
#[derive(Clone, Copy, Debug)]
pub(super) struct Range(*mut c_void);

/// Where readers find a range.
#[derive(Debug)]
pub(super) struct Place(AtomicPtr<c_void>);

impl Place {
    /// With no range.
    pub(super) const fn new() -> Self {
        Self(AtomicPtr::new(ptr::null_mut()))
    }

    /// The range there, if there is one.
    pub(super) fn load(&self) -> Option<Range> {
        // Pairs with the release of `store`: the range has been made before.
        let word = self.0.load(Ordering::Acquire);
        (!word.is_null()).then_some(Range(word))
    }

    /// Puts another one there. Readers may be in the one before for as long as they live.
    pub(super) fn store(&self, range: Option<Range>) {
        self.0.store(range.map_or(ptr::null_mut(), |range| range.0), Ordering::Release);
    }
}

/// Maps so many bytes of a file somewhere, and lets go of them again.
///
/// # Errors
/// Where the kernel doesn't want that at all: a filter of system calls (`seccomp(2)`), a policy,
/// a file system that has no such files, too many mappings.
pub(super) fn can_be_mapped(file: &OwnedFd, bytes: usize) -> Result<(), Errno> {
    let (nowhere, fd) = (ptr::null_mut(), file.as_raw_fd());
    // SAFETY: a new mapping, at a place that the kernel chooses.
    let start = unsafe { libc::mmap(nowhere, bytes, libc::PROT_READ, MAP_SHARED, fd, 0) };
    if start == MAP_FAILED {
        return Err(last_error());
    }
    // SAFETY: it was made just now, and nobody has read from it.
    unsafe { libc::munmap(start, bytes) };
    Ok(())
}

impl Range {
    /// Reserves so many bytes, or more. All of them are 0.
    pub(super) fn reserve(bytes: usize) -> Result<Self, Errno> {
        #[cfg(test)]
        RESERVED.set(RESERVED.get() + 1);
        let size = bytes.max(SMALLEST).checked_next_power_of_two().ok_or(Errno::NOMEM)?;
        let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
        // SAFETY: a new mapping, at a place that the kernel chooses.
        let start = unsafe { libc::mmap(ptr::null_mut(), size, libc::PROT_READ, flags, -1, 0) };
        if start == MAP_FAILED {
            return Err(last_error());
        }
        Ok(Self(start.map_addr(|address| address | size.trailing_zeros() as usize)))
    }

    /// Its size, in bytes.
    pub(super) fn bytes(self) -> usize {
        1 << (self.0.addr() & SIZE)
    }

    /// What is in it.
    pub(super) fn words(self) -> &'static [AtomicU64] {
        // SAFETY: `reserve` made a range of this size, which is never unmapped but by a kernel
        // that fails in the middle of `replace`: see the head of this file. What changes
        // in it changes under atomic words.
        unsafe { std::slice::from_raw_parts(self.start().cast(), self.bytes() / 8) }
    }

    /// Maps so many bytes of a file to its beginning, instead of what is there.
    pub(super) fn map(self, file: &OwnedFd, bytes: usize) -> Result<(), Errno> {
        if bytes > self.bytes() {
            return Err(Errno::INVAL);
        }
        self.replace(bytes, MAP_SHARED, file.as_raw_fd())
    }

    /// Puts zeros in the place of whatever is there.
    pub(super) fn clear(self) -> Result<(), Errno> {
        self.replace(self.bytes(), MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1)
    }

    /// Where this fails (there is no memory for the kernel's own notes), what was there
    /// may be gone, and somebody else's memory may come to lie there. So
    /// the range must not be used any more then.
    fn replace(self, bytes: usize, flags: i32, fd: i32) -> Result<(), Errno> {
        // SAFETY: the addresses are this range's own, and were never given back.
        let start =
            unsafe { libc::mmap(self.start(), bytes, libc::PROT_READ, flags | MAP_FIXED, fd, 0) };
        if start == MAP_FAILED { Err(last_error()) } else { Ok(()) }
    }

    fn start(self) -> *mut c_void {
        self.0.map_addr(|address| address & !SIZE)
    }
}

#[cfg(test)]
thread_local! {
    /// How many ranges this thread has reserved.
    pub(super) static RESERVED: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn a_file_comes_and_goes_in_a_range_that_stays_readable() {
        let range = Range::reserve(5000).unwrap();
        assert_eq!((range.bytes(), range.words().len()), (8192, 1024));
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&7_u64.to_ne_bytes().repeat(600)).unwrap();
        let file = OwnedFd::from(file);
        let words = || [0, 599, 600, 1023].map(|at| range.words()[at].load(Ordering::Relaxed));
        range.map(&file, 4800).unwrap();
        assert_eq!(words(), [7, 7, 0, 0]);
        range.clear().unwrap();
        assert_eq!(words(), [0; 4]);
    }

    #[test]
    fn a_place_gives_what_was_put_there() {
        let place = Place::new();
        assert!(place.load().is_none());
        place.store(Some(Range::reserve(1 << 20).unwrap()));
        assert_eq!(place.load().unwrap().bytes(), 1 << 20);
    }
}

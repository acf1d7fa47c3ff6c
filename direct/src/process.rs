//! One worker per process, also after a fork.
//!
//! The pointer to the worker lies in a page of its own that the kernel gives to a
//! child filled with zeros (`MADV_WIPEONFORK`, `madvise(2)`): in a child there
//! is no worker, whatever the parent did. Comparing process ids instead would
//! fail where they are the same: a child that is the first process of a new pid
//! namespace has 1, as its parent may have. A child of `vfork(2)`, which shares
//! its parent's memory, keeps the page and is served by its parent's worker.
//!
//! The pointers are set without a lock: one that is held in the moment of
//! a fork would be held in the child for ever.

use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

use crate::runtime;
use crate::worker::{IDLE, Worker};

/// The page, once there is one. It holds one pointer.
static PAGE: AtomicPtr<AtomicPtr<Worker>> = AtomicPtr::new(ptr::null_mut());

/// More than the pointer needs; the kernel rounds up to a page.
const SIZE: usize = 4096;

/// This process's worker. `None` without memory for one.
pub(crate) fn worker() -> Option<&'static Worker> {
    let slot = page()?;
    let mut worker = slot.load(Ordering::Acquire);
    if worker.is_null() {
        let new = Box::into_raw(Box::new(Worker::new(IDLE, runtime::serve)));
        match slot.compare_exchange(worker, new, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => worker = new,
            Err(theirs) => {
                // SAFETY: `new` came from a box above, and nobody else has seen it.
                drop(unsafe { Box::from_raw(new) });
                worker = theirs;
            }
        }
    }
    // SAFETY: what is in the page came from a box in this process, and is never freed.
    Some(unsafe { &*worker })
}

fn page() -> Option<&'static AtomicPtr<Worker>> {
    let mut page = PAGE.load(Ordering::Acquire);
    if page.is_null() {
        let new = map()?;
        match PAGE.compare_exchange(page, new, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => page = new,
            Err(theirs) => {
                unmap(new);
                page = theirs;
            }
        }
    }
    // SAFETY: a mapped page that is never unmapped, aligned; zeros are a null pointer.
    Some(unsafe { &*page })
}

fn map() -> Option<*mut AtomicPtr<Worker>> {
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: a new mapping, wherever the kernel finds room.
    let page = unsafe { libc::mmap(ptr::null_mut(), SIZE, protection, flags, -1, 0) };
    if page == libc::MAP_FAILED {
        return None;
    }
    let page = page.cast();
    // SAFETY: the mapping was made just above, and nobody uses it yet.
    if unsafe { libc::madvise(page, SIZE, libc::MADV_WIPEONFORK) } != 0 {
        unmap(page.cast());
        return None;
    }
    Some(page.cast())
}

fn unmap(page: *mut AtomicPtr<Worker>) {
    // SAFETY: called only with a mapping of this size that nobody has seen.
    unsafe { libc::munmap(page.cast(), SIZE) };
}

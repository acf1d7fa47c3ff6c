//! The caller's buffer: strings and pointers to them, as glibc's structs want them.
//!
//! What an entry needs is known before anything is written, so a buffer that is
//! too small costs the same for one member and for fifty thousand. Only what is
//! used is written; the rest stays as it was.

use std::mem::MaybeUninit;

use std::sync::atomic::{AtomicU64, Ordering};

use common::account::Members;
use libc::c_char;

/// The buffer is too small.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Short;

/// Where a call's answer goes: the struct, and the buffer that its pointers point to.
pub(crate) struct Target<C> {
    result: *mut C,
    buffer: *mut c_char,
    length: usize,
}

impl<C> Target<C> {
    /// Takes glibc's arguments.
    ///
    /// # Safety
    /// As long as this value lives, `result` can be written, `buffer` points to
    /// `length` writable bytes (or is null), and nobody else uses them.
    pub(crate) unsafe fn new(result: *mut C, buffer: *mut c_char, length: usize) -> Self {
        Self { result, buffer, length }
    }

    /// Writes the struct that `make` builds with the buffer. Nothing is written
    /// to it when that fails: the buffer is too small.
    #[expect(
        clippy::inline_always,
        reason = "a struct that is handed on in memory costs more than the rest"
    )]
    #[inline(always)]
    pub(crate) fn fill<E>(
        &mut self,
        make: impl FnOnce(&mut Buffer) -> Result<C, E>,
    ) -> Result<(), E> {
        // A length that no buffer can have is a caller's way of saying "enough".
        let length = self.length.min(isize::MAX.unsigned_abs());
        let bytes = if self.buffer.is_null() {
            &mut []
        } else {
            // SAFETY: `new`'s caller says that there are as many, for us alone.
            unsafe { std::slice::from_raw_parts_mut(self.buffer.cast(), length) }
        };
        let value = make(&mut Buffer(bytes))?;
        // SAFETY: `new`'s caller says that it can be written.
        unsafe { self.result.write(value) };
        Ok(())
    }
}

/// A place for a pointer to a string.
pub(crate) type Pointer = MaybeUninit<*mut c_char>;

/// Writes a NULL-terminated list of pointers to strings that lie one behind the other
/// from `first` on, each with its NUL. `lengths` are those without NUL, eight to a word, the
/// first one in the first byte. Gives where the last string ends.
pub(crate) fn point(
    list: &mut [Pointer],
    first: *mut MaybeUninit<u8>,
    lengths: &[AtomicU64],
) -> Option<*mut MaybeUninit<u8>> {
    let mut at = first;
    let mut put = |place: &mut Pointer, length: u8| {
        place.write(at.cast());
        at = at.wrapping_add(usize::from(length) + 1);
    };
    let (end, places) = list.split_last_mut()?;
    let (eights, rest) = places.as_chunks_mut::<8>();
    for (eight, word) in eights.iter_mut().zip(lengths) {
        let word = word.load(Ordering::Relaxed).to_ne_bytes();
        for (place, length) in eight.iter_mut().zip(word) {
            put(place, length);
        }
    }
    if !rest.is_empty() {
        let word = lengths.get(eights.len())?.load(Ordering::Relaxed).to_ne_bytes();
        for (place, length) in rest.iter_mut().zip(word) {
            put(place, length);
        }
    }
    end.write(std::ptr::null_mut());
    Some(at)
}

/// The unused rest of a caller's buffer.
pub(crate) struct Buffer<'a>(&'a mut [MaybeUninit<u8>]);

impl<'a> Buffer<'a> {
    /// Checks that these strings, each with a NUL, fit.
    pub(crate) fn expect(&self, strings: &[&str]) -> Result<(), Short> {
        self.has(length(strings))
    }

    /// Checks that these strings and the list of members fit.
    pub(crate) fn expect_list(&self, strings: &[&str], members: &Members) -> Result<(), Short> {
        self.has(
            length(strings) + self.padding() + list_size(members.len()) + members.as_run().len(),
        )
    }

    /// Puts a string and its NUL.
    pub(crate) fn string(&mut self, text: &str) -> Result<*mut c_char, Short> {
        let place = self.take(text.len() + 1)?;
        copy(text.as_bytes().iter().chain(&[0]), place);
        Ok(place.as_mut_ptr().cast())
    }

    /// Puts the members' names and a NULL-terminated list of pointers to them.
    pub(crate) fn list(&mut self, members: &Members) -> Result<*mut *mut c_char, Short> {
        let list = self.pointers(members.len() + 1)?;
        let mut names = self.take(members.as_run().len())?;
        copy(members.as_run().as_bytes(), names);
        let first = list.as_mut_ptr();
        let (end, places) = list.split_last_mut().ok_or(Short)?;
        for (place, text) in places.iter_mut().zip(members.iter()) {
            place.write(names.as_mut_ptr().cast());
            names = names.split_at_mut_checked(text.len() + 1).ok_or(Short)?.1;
        }
        end.write(std::ptr::null_mut());
        Ok(first.cast())
    }

    /// Takes this many bytes, for strings that somebody else puts there.
    #[inline]
    pub(crate) fn run(&mut self, bytes: usize) -> Result<&'a mut [MaybeUninit<u8>], Short> {
        self.take(bytes)
    }

    /// Takes room for a NULL-terminated list of `count` strings, and the strings'
    /// bytes. Fails before it takes anything.
    pub(crate) fn list_and_run(
        &mut self,
        count: usize,
        bytes: usize,
    ) -> Result<(&'a mut [Pointer], &'a mut [MaybeUninit<u8>]), Short> {
        self.has(self.padding().saturating_add(list_size(count)).saturating_add(bytes))?;
        Ok((self.pointers(count + 1)?, self.take(bytes)?))
    }

    fn pointers(&mut self, count: usize) -> Result<&'a mut [Pointer], Short> {
        self.take(self.padding())?;
        let list = self.take(count * size_of::<Pointer>())?;
        // SAFETY: any bytes are a `MaybeUninit`.
        let (_, list, _) = unsafe { list.align_to_mut::<Pointer>() };
        Ok(list)
    }

    /// The bytes up to the next place where a pointer may lie.
    fn padding(&self) -> usize {
        self.0.as_ptr().addr().wrapping_neg() % align_of::<*mut c_char>()
    }

    fn has(&self, bytes: usize) -> Result<(), Short> {
        if bytes > self.0.len() { Err(Short) } else { Ok(()) }
    }

    fn take(&mut self, bytes: usize) -> Result<&'a mut [MaybeUninit<u8>], Short> {
        self.0.split_off_mut(..bytes).ok_or(Short)
    }
}

/// The bytes of these strings with their NULs.
fn length(strings: &[&str]) -> usize {
    strings.iter().map(|text| text.len() + 1).sum()
}

/// The bytes of a list of pointers with its NULL.
fn list_size(count: usize) -> usize {
    (count + 1) * size_of::<*mut c_char>()
}

fn copy<'a>(from: impl IntoIterator<Item = &'a u8>, to: &mut [MaybeUninit<u8>]) {
    to.iter_mut().zip(from).for_each(|(to, from)| {
        to.write(*from);
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::account::Name;
    use std::ffi::CStr;

    fn members(count: usize) -> Members {
        (0..count)
            .map(|i| Name::parse(&format!("user{i}")).unwrap())
            .collect::<Vec<_>>()
            .iter()
            .collect()
    }

    /// A buffer in the middle of a longer run, so that a byte too many is seen.
    fn with_buffer<R>(offset: usize, length: usize, f: impl FnOnce(&mut Buffer) -> R) -> R {
        const GUARD: u8 = 0xa5;
        let mut space = vec![GUARD; offset + length + 64];
        // SAFETY: any bytes are a `MaybeUninit`, and only bytes are written to it.
        let (_, bytes, _) = unsafe { space[offset..offset + length].align_to_mut() };
        let result = f(&mut Buffer(bytes));
        assert!(space[..offset].iter().chain(&space[offset + length..]).all(|b| *b == GUARD));
        result
    }

    #[test]
    fn a_list_is_aligned_and_complete_wherever_the_buffer_starts() {
        let members = members(3);
        for offset in 0..16 {
            with_buffer(offset, 7 + 4 * 8 + 3 * 6, |buffer| {
                let list = buffer.list(&members).unwrap();
                assert!(list.is_aligned());
                // SAFETY: the list that was just made has a place for each and a last one.
                let list = unsafe { std::slice::from_raw_parts(list, 4) };
                for (place, name) in list.iter().zip(members.iter()) {
                    // SAFETY: it points to a NUL-terminated name in the buffer.
                    assert_eq!(unsafe { CStr::from_ptr(*place) }.to_str().unwrap(), name);
                }
                assert!(list[3].is_null());
            });
        }
    }

    #[test]
    fn what_is_expected_is_exactly_what_is_used() {
        let members = members(5);
        for offset in 0..8 {
            for length in 0..200 {
                with_buffer(offset, length, |buffer| {
                    let expected = buffer.expect_list(&["staff", "*"], &members);
                    let done = buffer
                        .list(&members)
                        .and_then(|_| buffer.string("staff"))
                        .and_then(|_| buffer.string("*"));
                    assert_eq!(expected, done.map(|_| ()), "{offset} {length}");
                });
            }
        }
    }

    #[test]
    fn an_empty_string_and_an_empty_list_have_their_terminators() {
        with_buffer(0, 9, |buffer| {
            // SAFETY: an empty list has one place.
            assert!(unsafe { *buffer.list(&Members::default()).unwrap() }.is_null());
            // SAFETY: an empty string has one byte.
            assert_eq!(unsafe { *buffer.string("").unwrap() }, 0);
            assert_eq!(buffer.string(""), Err(Short));
        });
    }

    #[test]
    fn without_a_buffer_everything_is_too_long() {
        // SAFETY: a null buffer is allowed, and nothing is written to the struct.
        let mut target =
            unsafe { Target::<c_char>::new(std::ptr::null_mut(), std::ptr::null_mut(), 99) };
        assert_eq!(target.fill(|buffer| buffer.string("").map(|_| 0)), Err(Short));
    }
}

//! The hash of a password: argon2id (RFC 9106).
//!
//! 19 MiB, two passes, one lane: OWASP's choice for where memory is short. One costs a core a
//! few hundredths of a second, so that a stolen file is slow to try passwords against, and the
//! memory is there only meanwhile. The salt is the kernel's, and each hash has its own.

use std::fmt;
use std::io;

use argon2::{Algorithm, Argon2, Block, Params, Version};
use common::secret::Secret;
use rustix::io::Errno;
use rustix::rand::{GetRandomFlags, getrandom};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// KiB.
const MEMORY: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;
/// What a file may ask for at most: it must not be able to make the daemon large.
const MOST_MEMORY: u32 = 64 * 1024;
const MOST_PASSES: u32 = 10;

/// A hash, with what it takes to make it once more. `{:?}` prints `***`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Hash {
    memory: u32,
    passes: u32,
    salt: [u8; 16],
    tag: [u8; 32],
}

impl Hash {
    /// Hashes a password.
    ///
    /// # Errors
    /// When it is empty, or the kernel gives no random numbers, or there is no memory.
    pub(super) fn of(password: &Secret) -> io::Result<Self> {
        let mut salt = [0; 16];
        fill(&mut salt)?;
        let (memory, passes) = (MEMORY, PASSES);
        Ok(Self { memory, passes, salt, tag: tag(password, &salt, memory, passes)? })
    }

    /// Whether it is this password's. An empty one is nobody's.
    pub(super) fn is_of(&self, password: &Secret) -> bool {
        let Self { memory, passes, salt, tag: kept } = self;
        tag(password, salt, *memory, *passes).is_ok_and(|tag| are_equal(&tag, kept))
    }
}

#[cfg(test)]
impl Hash {
    /// Nobody's, and always the same one.
    pub(super) fn fixed() -> Self {
        Self { memory: 1, passes: 2, salt: [3; 16], tag: [4; 32] }
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Takes as long as a comparison does.
pub(super) fn pretend(password: &Secret) {
    let _ = tag(password, &[0; 16], MEMORY, PASSES);
}

fn tag(password: &Secret, salt: &[u8], memory: u32, passes: u32) -> io::Result<[u8; 32]> {
    let wrong = |what: &'static str| io::Error::new(io::ErrorKind::InvalidData, what);
    if password.is_empty() || password.is_too_long() {
        return Err(wrong("not a password"));
    }
    if memory > MOST_MEMORY || passes > MOST_PASSES {
        return Err(wrong("a hash that takes too much"));
    }
    let mut tag = [0; 32];
    let params = Params::new(memory, passes, LANES, Some(tag.len()))
        .map_err(|_| wrong("the parameters of a hash"))?;
    let mut blocks = Zeroizing::new(Vec::new());
    let count = params.block_count();
    blocks.try_reserve_exact(count).map_err(|_| io::ErrorKind::OutOfMemory)?;
    blocks.resize(count, Block::default());
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into_with_memory(
            password.expose().as_bytes(),
            salt,
            &mut tag,
            blocks.as_mut_slice(),
        )
        .map_err(|_| wrong("a hash that can't be made"))?;
    Ok(tag)
}

/// Whether two passwords are one.
pub(super) fn are_same(one: &Secret, other: &Secret) -> bool {
    let (one, other) = (one.expose().as_bytes(), other.expose().as_bytes());
    one.len() == other.len() && are_equal(one, other)
}

/// Of bytes that are as many, in a time that doesn't tell how much is equal.
fn are_equal(one: &[u8], other: &[u8]) -> bool {
    let differ = one.iter().zip(other).fold(0, |differ, (a, b)| differ | (a ^ b));
    std::hint::black_box(differ) == 0
}

fn fill(bytes: &mut [u8]) -> io::Result<()> {
    loop {
        match getrandom(&mut *bytes, GetRandomFlags::empty()) {
            Ok(count) if count == bytes.len() => return Ok(()),
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> Secret {
        Secret::new(text.into())
    }

    #[test]
    fn a_hash_is_of_its_password_and_of_no_other() {
        let hash = Hash::of(&secret("right")).unwrap();
        assert!(hash.is_of(&secret("right")));
        for wrong in ["wrong", "righ", "right ", "Right", "right\0"] {
            assert!(!hash.is_of(&secret(wrong)), "{wrong:?}");
        }
    }

    #[test]
    fn two_hashes_of_one_password_have_nothing_in_common() {
        let (one, other) = (Hash::of(&secret("same")).unwrap(), Hash::of(&secret("same")).unwrap());
        assert!(one.salt != other.salt && one.tag != other.tag);
    }

    #[test]
    fn a_hash_is_never_printed() {
        assert_eq!(format!("{:?}", Hash::of(&secret("right")).unwrap()), "***");
    }

    /// CVE-2010-2940: an empty password.
    #[test]
    fn an_empty_password_has_no_hash_and_fits_none() {
        assert!(Hash::of(&secret("")).is_err());
        let hash = Hash::of(&secret("right")).unwrap();
        assert!(!hash.is_of(&secret("")));
    }

    #[test]
    fn a_hash_that_takes_too_much_is_nobodys() {
        let hash = Hash::of(&secret("right")).unwrap();
        assert!(!Hash { memory: 1 << 30, ..hash.clone() }.is_of(&secret("right")));
        assert!(!Hash { passes: 1 << 30, ..hash.clone() }.is_of(&secret("right")));
        assert!(!Hash { memory: 0, ..hash }.is_of(&secret("right")));
    }

    /// A vector of the reference implementation (phc-winner-argon2, `test.c`).
    #[test]
    fn it_is_argon2id() {
        let tag = tag(&secret("password"), b"somesalt", 65_536, 2).unwrap();
        let expected = "09316115d5cf24ed5a15a31a3ba326e5cf32edc24702987c02b6566f61913cf7";
        let pairs = (0..expected.len()).step_by(2).map(|at| &expected[at..at + 2]);
        let bytes: Vec<_> = pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect();
        assert_eq!(tag.as_slice(), bytes);
    }
}

//! What lies where in the file, byte by byte.
//!
//! The file is an array of 64-bit words in the byte order of the machine. An
//! offset is a number of words from the beginning and fits in 32 bits.
//! A word that holds several numbers is described from its lowest bit on.
//!
//! ```text
//! word    header (512 words, one page)
//!  0      MAGIC
//!  1      VERSION
//!  2      number of words in the file
//!  3      seed of the hash
//!  4      first word of the index
//!  5      number of slots in the index, at least one
//!  6, 7   unused, 0
//!         -- one cache line that the writer changes --
//!  8      alive until: the daemon's heartbeat, in seconds of `clock::Now`, at most
//!         [`FURTHEST_PROMISE`] ahead; 0: this file is sealed, or has been replaced
//!  9      complete until: as long as this lies ahead, what isn't here
//!         isn't in the directory
//! 10      number of the last published change
//!         -- another one, read only when there is no daemon --
//! 16      when the directory was last heard of, in seconds since 1970
//! 17      for how many seconds after that answers count when nobody can be asked
//! 18      end of the used part of the heap, a word
//! 19      words of the heap that nothing leads to any more
//! 20      slots in use (including those whose key is gone)
//! 21      users, groups (32 bits each) that an enumeration gives
//! 22      1: it was complete once, nothing was left out since, and whoever keeps it means to have
//!         everything again: it isn't kept on demand
//! 512     index: one word a slot
//!           bits  0..32  tag: 3 bits class of the key, 29 bits of its hash
//!           bits 32..64  offset of a record or link; 1: the key is gone
//!         a word of 0 is a slot that was never used, and ends a probe
//! ...     heap: records and links, each from a whole word on
//! ```
//!
//! Each record begins with a word
//!
//! ```text
//!   bits  0..8   kind
//!   bits  8..16  length of its name, without NUL (0 where it has none)
//!   bits 16..32  depends on the kind
//!   bits 32..64  expires, in seconds of `clock::Now`; 0xffff_ffff: never
//! ```
//!
//! ```text
//! USER    +0  bits 16..32: length of gecos
//!         +1  uid (32), gid (32)
//!         +2  length of home (16), length of shell (16), number of group ids
//!             (32; 0xffff_ffff: not known here)
//!         +3  text: name NUL "x" NUL gecos NUL home NUL shell NUL, zeros up to a word
//!         ..  the ids of the groups that have the user as a member, ascending,
//!             two a word, zeros up to a word
//! GROUP   +1  gid (32), number of members (32)
//!         +2  bytes of the members' names with their NULs (32), 0 (32)
//!         +3  text: name NUL "*" NUL, each member's name NUL, zeros up to a word
//!         ..  length of each member's name without NUL, a byte each, zeros up to a word
//! GIDS    +1  number of group ids (32), 0 (32)
//!         +2  text: name NUL, zeros up to a word
//!         ..  group ids as in USER
//! ALIAS   +1  offset of a USER or GROUP (32), 0 (32)
//!         +2  text: name NUL, zeros up to a word
//! ABSENT  +0  bits 16..24: class of the key
//!         +1  id, for a key that is one (32), 0 (32)
//!         +2  text, for a key that is a name: name NUL, zeros up to a word
//! LINK    +1  number of the change
//!         +2  offset from that change on (32), offset before it (32); 1: the key is gone
//! ```
//!
//! A key's hash is XXH3 (64 bits) of its bytes (an id: 4 bytes, lowest first),
//! seeded with the file's seed plus the class. Its share of 2^64 is the share of the index at which
//! probing begins ([`first_slot`]), its low 29 bits are in the tag. Probing goes on slot by slot, around
//! the end of the index, for at most [`MAX_PROBE`] slots. So the order of the slots is nearly that of
//! the hashes, however many slots there are: a writer that adds records in this order makes a
//! table through which an enumeration walks from one end to the other.

#[cfg(not(target_pointer_width = "64"))]
compile_error!("a table may be longer than the addresses of this machine: make MAX_WORDS fit them");

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// The first word: "ROLLCALL" where the low byte comes first, so that a file of
/// the other byte order is no table.
pub const MAGIC: u64 = u64::from_le_bytes(*b"ROLLCALL");
/// The version of this page. A file of another one counts as absent.
pub const VERSION: u64 = 2;

/// Words of the header.
pub const HEADER_WORDS: usize = 512;
/// The header's words, by their names above.
pub mod header {
    #![expect(missing_docs, reason = "the names of the page above")]
    pub const MAGIC: usize = 0;
    pub const VERSION: usize = 1;
    pub const WORDS: usize = 2;
    pub const SEED: usize = 3;
    pub const INDEX: usize = 4;
    pub const SLOTS: usize = 5;
    pub const ALIVE_UNTIL: usize = 8;
    pub const COMPLETE_UNTIL: usize = 9;
    pub const CHANGE: usize = 10;
    pub const HEARD: usize = 16;
    pub const MAX_STALE: usize = 17;
    pub const USED: usize = 18;
    pub const DEAD: usize = 19;
    pub const SLOTS_USED: usize = 20;
    pub const ENTRIES: usize = 21;
    pub const HAD_EVERYTHING: usize = 22;
}

/// For how many seconds a heartbeat promises that there will be another one.
pub const PROMISE: u32 = 5;
/// The furthest promise that is believed, in seconds. One that lies further ahead is of another clock:
/// a file that has survived a restart of the machine, or of another time namespace
/// (`time_namespaces(7)`).
pub const FURTHEST_PROMISE: u32 = 60;
/// The most slots that a probe looks at.
pub const MAX_PROBE: usize = 1024;
/// The most words of a file: 16 GiB, far from what an offset could reach.
pub const MAX_WORDS: usize = 1 << 31;
/// Where a slot leads whose key is gone: no record lies in the header.
pub const GONE: u32 = 1;
/// Expires never.
pub const NEVER: u32 = u32::MAX;
/// A user's groups aren't known.
pub const NO_GIDS: u32 = u32::MAX;
/// The bytes between a name's NUL and gecos in USER, "x" and its NUL (`passwd(5)`);
/// in GROUP between the name's NUL and the first member, "*" and its NUL (`group(5)`).
pub const PASSWORD_BYTES: usize = 2;

/// What a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[expect(missing_docs, reason = "the names of the page above")]
pub enum Kind {
    User = 1,
    Group = 2,
    Gids = 3,
    Alias = 4,
    Absent = 5,
    Link = 6,
}

impl Kind {
    /// The kind in a record's first word.
    pub const fn of(word: u64) -> Option<Self> {
        Some(match word & 0xff {
            1 => Self::User,
            2 => Self::Group,
            3 => Self::Gids,
            4 => Self::Alias,
            5 => Self::Absent,
            6 => Self::Link,
            _ => return None,
        })
    }
}

/// What a record can be found by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Key<'a> {
    /// A user's name, or another name of the user (ALIAS).
    UserName(&'a [u8]),
    /// A user's id.
    Uid(u32),
    /// A group's name, or another name of the group (ALIAS).
    GroupName(&'a [u8]),
    /// A group's id.
    Gid(u32),
    /// The name of somebody whose groups aren't in a USER (GIDS).
    GidsOf(&'a [u8]),
}

/// A class of keys, as a tag has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[expect(missing_docs, reason = "as in `Key`")]
pub enum Class {
    UserName = 0,
    Uid = 1,
    GroupName = 2,
    Gid = 3,
    GidsOf = 4,
}

impl Class {
    /// The class in a tag.
    pub const fn of(tag: u32) -> Option<Self> {
        Some(match tag & 0b111 {
            0 => Self::UserName,
            1 => Self::Uid,
            2 => Self::GroupName,
            3 => Self::Gid,
            4 => Self::GidsOf,
            _ => return None,
        })
    }
}

impl Key<'_> {
    /// Its class.
    pub const fn class(&self) -> Class {
        match self {
            Self::UserName(_) => Class::UserName,
            Self::Uid(_) => Class::Uid,
            Self::GroupName(_) => Class::GroupName,
            Self::Gid(_) => Class::Gid,
            Self::GidsOf(_) => Class::GidsOf,
        }
    }

    /// Its hash.
    pub fn hash(&self, seed: u64) -> u64 {
        let seed = seed.wrapping_add(self.class() as u64);
        match self {
            Self::UserName(name) | Self::GroupName(name) | Self::GidsOf(name) => {
                xxh3_64_with_seed(name, seed)
            }
            Self::Uid(id) | Self::Gid(id) => xxh3_64_with_seed(&id.to_le_bytes(), seed),
        }
    }

    /// Its tag.
    pub fn tag(&self, hash: u64) -> u32 {
        low(hash << 3) | self.class() as u32
    }
}

/// The slot at which the probe of a key of this hash begins, of so many: less than `slots`,
/// unless that is 0. It needs no division, and an index need not have a power of two.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "it is less than `slots`")]
pub const fn first_slot(hash: u64, slots: usize) -> usize {
    ((hash as u128 * slots as u128) >> 64) as usize
}

/// The low half of a word.
#[expect(clippy::cast_possible_truncation, reason = "that is what it is for")]
pub const fn low(word: u64) -> u32 {
    word as u32
}

/// The high half of a word.
pub const fn high(word: u64) -> u32 {
    low(word >> 32)
}

/// A word of two halves.
pub const fn pair(low: u32, high: u32) -> u64 {
    low as u64 | (high as u64) << 32
}

/// How many words this many bytes take.
pub const fn words(bytes: usize) -> usize {
    bytes.div_ceil(8)
}

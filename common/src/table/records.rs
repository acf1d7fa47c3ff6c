//! What is read out of a record.
//!
//! A record's words are read one by one; nothing is kept of them, so a caller's
//! buffer is the only place where its strings ever are.

use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicU64, Ordering};

use super::layout::{Class, HEADER_WORDS, Key, Kind, NO_GIDS, PASSWORD_BYTES, high, low, words};
use crate::account::{AbsolutePath, Field, Gid, Group, Members, Name, Uid, User};

mod gids;

pub use gids::Gids;

/// A record claims to be longer than the file: it is damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damaged;

/// A record, from its first word to the end of the file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record<'a> {
    words: &'a [AtomicU64],
}

impl<'a> Record<'a> {
    /// The record at this offset of a file.
    #[inline]
    pub(super) fn at(file: &'a [AtomicU64], offset: u32) -> Option<Self> {
        let offset = offset as usize;
        if offset < HEADER_WORDS {
            return None;
        }
        Some(Self { words: file.get(offset..)? }).filter(|record| !record.words.is_empty())
    }

    #[inline]
    pub(super) fn word(self, at: usize) -> Option<u64> {
        Some(self.words.get(at)?.load(Ordering::Relaxed))
    }

    fn head(self) -> u64 {
        self.word(0).unwrap_or_default()
    }

    #[inline]
    pub(super) fn kind(self) -> Option<Kind> {
        Kind::of(self.head())
    }

    pub(super) fn expires(self) -> u32 {
        high(self.head())
    }

    /// The length of its name.
    fn name_length(self) -> usize {
        (low(self.head()) >> 8 & 0xff) as usize
    }

    /// Bits 16 to 32 of its first word.
    fn detail(self) -> u32 {
        low(self.head()) >> 16
    }

    /// The word where its text begins.
    fn text_at(self) -> usize {
        match self.kind() {
            Some(Kind::User | Kind::Group) => 3,
            _ => 2,
        }
    }

    /// The record that an ALIAS leads to.
    pub(super) fn target(self, file: &'a [AtomicU64]) -> Option<Self> {
        Self::at(file, low(self.word(1)?))
    }

    /// The words that it takes. `None` if it says more than the file has.
    #[cfg(feature = "writer")]
    pub(super) fn length(self) -> Option<usize> {
        let named = 2 + words(self.name_length() + 1);
        let length = match self.kind()? {
            Kind::User => {
                let rest = self.word(2)?;
                let [home, shell] = [low(rest) & 0xffff, low(rest) >> 16];
                let text = self.name_length() + (self.detail() + home + shell) as usize;
                let gids = if high(rest) == NO_GIDS { 0 } else { high(rest) as usize };
                3 + words(text + 4 + PASSWORD_BYTES) + gids.div_ceil(2)
            }
            Kind::Group => {
                let text = self.name_length() + 1 + PASSWORD_BYTES + low(self.word(2)?) as usize;
                3 + words(text) + words(high(self.word(1)?) as usize)
            }
            Kind::Gids => named + (low(self.word(1)?) as usize).div_ceil(2),
            Kind::Absent if self.name_length() == 0 => 2,
            Kind::Alias | Kind::Absent => named,
            Kind::Link => 3,
        };
        (length <= self.words.len()).then_some(length)
    }

    /// Reads its name.
    #[cfg(feature = "writer")]
    pub(super) fn name(self, to: &mut [u8; 255]) -> Option<&[u8]> {
        let name = to.get_mut(..self.name_length())?;
        let text = self.words.get(self.text_at()..)?.get(..words(name.len()))?;
        for (chunk, word) in name.chunks_mut(8).zip(text) {
            let bytes = word.load(Ordering::Relaxed).to_ne_bytes();
            chunk.copy_from_slice(bytes.get(..chunk.len())?);
        }
        Some(name)
    }

    /// Whether this record is found by that key.
    #[inline]
    pub(super) fn has_key(self, key: Key<'_>) -> bool {
        match (key, self.kind()) {
            (_, Some(Kind::Absent)) if self.detail() & 0xff != key.class() as u32 => false,
            (Key::UserName(name), Some(Kind::User | Kind::Alias | Kind::Absent))
            | (Key::GroupName(name), Some(Kind::Group | Kind::Alias | Kind::Absent))
            | (Key::GidsOf(name), Some(Kind::Gids | Kind::Absent)) => self.is_named(name),
            (Key::Uid(id), Some(Kind::User | Kind::Absent))
            | (Key::Gid(id), Some(Kind::Group | Kind::Absent)) => {
                self.word(1).is_some_and(|word| low(word) == id)
            }
            _ => false,
        }
    }

    /// Whether a key of this class may lead to such a record.
    #[inline]
    pub(super) fn fits(self, class: Class) -> bool {
        matches!(
            (class, self.kind()),
            (Class::UserName | Class::Uid, Some(Kind::User))
                | (Class::GroupName | Class::Gid, Some(Kind::Group))
                | (Class::GidsOf, Some(Kind::Gids))
        )
    }

    /// Whether this is exactly its name.
    #[inline]
    fn is_named(self, name: &[u8]) -> bool {
        if self.name_length() != name.len() {
            return false;
        }
        let Some(text) = self.words.get(self.text_at()..) else { return false };
        let mut text = text.iter().map(|word| word.load(Ordering::Relaxed));
        let (whole, rest) = name.as_chunks::<8>();
        whole.iter().all(|chunk| text.next() == Some(u64::from_ne_bytes(*chunk)))
            && (rest.is_empty()
                || text.next().is_some_and(|word| word.to_le() & mask(rest.len()) == tail(rest)))
    }

    /// Whether the file is long enough for so many bytes of text, so that nobody
    /// makes room for more than there is.
    #[inline]
    fn has_text(self, bytes: usize) -> bool {
        self.text_at() + words(bytes) <= self.words.len()
    }

    /// Copies so many bytes of text, from this word on, to a buffer of that length.
    #[inline]
    fn copy(self, from: usize, to: &mut [MaybeUninit<u8>]) -> Result<(), Damaged> {
        let count = words(to.len());
        let from = self.words.get(from..).and_then(|text| text.get(..count)).ok_or(Damaged)?;
        let (chunks, rest) = to.as_chunks_mut::<8>();
        for (chunk, word) in chunks.iter_mut().zip(from) {
            *chunk = word.load(Ordering::Relaxed).to_ne_bytes().map(MaybeUninit::new);
        }
        if let (Some(last), false) = (from.last(), rest.is_empty()) {
            let bytes = last.load(Ordering::Relaxed).to_ne_bytes();
            for (to, byte) in rest.iter_mut().zip(bytes) {
                to.write(byte);
            }
        }
        Ok(())
    }

    /// Its text in memory of its own, for who may allocate.
    fn text(self, bytes: usize) -> Option<String> {
        let text = self.words.get(self.text_at()..)?.get(..words(bytes))?;
        let mut text: Vec<u8> =
            text.iter().flat_map(|word| word.load(Ordering::Relaxed).to_ne_bytes()).collect();
        text.truncate(bytes);
        String::from_utf8(text).ok()
    }
}

/// Up to seven bytes as a number, the first one lowest: three steps instead of a
/// call that looks at lengths first.
fn tail(mut bytes: &[u8]) -> u64 {
    let (mut number, mut shift) = (0, 0);
    if let Some((four, rest)) = bytes.split_first_chunk() {
        (number, shift, bytes) = (u64::from(u32::from_le_bytes(*four)), 32, rest);
    }
    if let Some((two, rest)) = bytes.split_first_chunk() {
        number |= u64::from(u16::from_le_bytes(*two)) << shift;
        (shift, bytes) = (shift + 16, rest);
    }
    bytes.first().map_or(number, |last| number | u64::from(*last) << shift)
}

/// The bits of so many bytes, at most seven, in such a number.
fn mask(bytes: usize) -> u64 {
    (1 << (8 * (bytes & 7))) - 1
}

/// A user.
#[derive(Clone, Copy, Debug)]
pub struct UserRecord<'a> {
    record: Record<'a>,
    /// The user's id, never one that the system uses itself.
    pub uid: u32,
    /// The primary group's id, likewise.
    pub gid: u32,
    /// The lengths of name, gecos, home and shell, without NUL.
    pub lengths: [usize; 4],
    gids: u32,
}

impl<'a> UserRecord<'a> {
    #[inline]
    pub(super) fn of(record: Record<'a>) -> Option<Self> {
        if record.kind() != Some(Kind::User) {
            return None;
        }
        let (ids, rest) = (record.word(1)?, record.word(2)?);
        let lengths = [
            record.name_length(),
            record.detail() as usize,
            (low(rest) & 0xffff) as usize,
            (low(rest) >> 16) as usize,
        ];
        // Whatever a file says, nobody becomes root by it.
        let uid = Uid::new(low(ids)).ok()?.get();
        let gid = Gid::new(high(ids)).ok()?.get();
        let user = Self { record, uid, gid, lengths, gids: high(rest) };
        record.has_text(user.text_bytes()).then_some(user)
    }

    /// The bytes of its text: name, "x", gecos, home and shell, each with its NUL.
    #[inline]
    pub fn text_bytes(&self) -> usize {
        self.lengths.iter().map(|length| length + 1).sum::<usize>() + PASSWORD_BYTES
    }

    /// Where in the text gecos, home and shell begin; the name does at 0, "x" behind it.
    #[inline]
    pub fn starts(&self) -> [usize; 3] {
        let [name, gecos, home, _] = self.lengths;
        let gecos_at = name + 1 + PASSWORD_BYTES;
        let home_at = gecos_at + gecos + 1;
        [gecos_at, home_at, home_at + home + 1]
    }

    /// Copies the text to a buffer of exactly its length. Each string ends with its
    /// NUL there, whatever the file says.
    ///
    /// # Errors
    /// [`Damaged`] if the file ends before the text does.
    #[inline]
    pub fn copy_text(&self, to: &mut [MaybeUninit<u8>]) -> Result<(), Damaged> {
        self.record.copy(self.record.text_at(), to)?;
        let [gecos, home, shell] = self.starts();
        end_at(to, [gecos - PASSWORD_BYTES, gecos, home, shell, self.text_bytes()])
    }

    /// Whether this is exactly the user's main name.
    pub fn is_named(&self, name: &[u8]) -> bool {
        self.record.is_named(name)
    }

    /// The user in memory of its own. `None` if it can't be one.
    pub fn to_user(&self) -> Option<User> {
        let text = self.record.text(self.text_bytes())?;
        let mut parts = text.split_terminator('\0');
        let name = Name::parse(parts.next()?).ok()?;
        let [gecos, home, shell] = [parts.nth(1)?, parts.next()?, parts.next()?];
        Some(User {
            name,
            uid: Uid::new(self.uid).ok()?,
            gid: Gid::new(self.gid).ok()?,
            gecos: Field::try_from(gecos.to_owned()).ok()?,
            home: AbsolutePath::parse(home).ok()?,
            shell: AbsolutePath::parse(shell).ok()?,
        })
    }

    /// The ids of the groups that have the user as a member, if they are known here.
    pub fn gids(&self) -> Option<Gids<'a>> {
        if self.gids == NO_GIDS {
            return None;
        }
        let from = self.record.text_at() + words(self.text_bytes());
        Gids::new(self.record, from, self.gids as usize)
    }
}

/// Puts a NUL before each of these places.
fn end_at<const N: usize>(text: &mut [MaybeUninit<u8>], ends: [usize; N]) -> Result<(), Damaged> {
    for end in ends {
        text.get_mut(end - 1).ok_or(Damaged)?.write(0);
    }
    Ok(())
}

/// A group.
#[derive(Clone, Copy, Debug)]
pub struct GroupRecord<'a> {
    record: Record<'a>,
    /// The group's id, never one that the system uses itself.
    pub gid: u32,
    /// The length of its name, without NUL.
    pub name_length: usize,
    /// How many members it has.
    pub members: usize,
    /// The bytes of their names with their NULs.
    pub member_bytes: usize,
}

impl<'a> GroupRecord<'a> {
    #[inline]
    pub(super) fn of(record: Record<'a>) -> Option<Self> {
        if record.kind() != Some(Kind::Group) {
            return None;
        }
        let (word, bytes) = (record.word(1)?, record.word(2)?);
        let gid = Gid::new(low(word)).ok()?.get();
        let (members, member_bytes) = (high(word) as usize, low(bytes) as usize);
        let group = Self { record, gid, name_length: record.name_length(), members, member_bytes };
        // A member has a byte of name and a NUL at least.
        (members * 2 <= member_bytes && record.has_text(group.text_bytes())).then_some(group)
    }

    /// The bytes of its text: name, "*" and the members' names, each with its NUL.
    pub fn text_bytes(&self) -> usize {
        self.members_at() + self.member_bytes
    }

    /// Where in the text the members' names begin.
    pub fn members_at(&self) -> usize {
        self.name_length + 1 + PASSWORD_BYTES
    }

    /// Copies the text to a buffer of exactly its length. The name, the password and
    /// the last member end with their NULs there, whatever the file says.
    ///
    /// # Errors
    /// [`Damaged`] if the file ends before the text does.
    pub fn copy_text(&self, to: &mut [MaybeUninit<u8>]) -> Result<(), Damaged> {
        self.record.copy(self.record.text_at(), to)?;
        end_at(to, [self.name_length + 1, self.members_at(), self.text_bytes()])
    }

    /// The lengths of the members' names without NUL, eight to a word, the first one in
    /// the first byte of its word.
    pub fn member_lengths(&self) -> Option<&'a [AtomicU64]> {
        let from = self.record.text_at() + words(self.text_bytes());
        self.record.words.get(from..)?.get(..words(self.members))
    }

    /// The group in memory of its own. `None` if it can't be one.
    pub fn to_group(&self) -> Option<Group> {
        let mut text = self.record.text(self.text_bytes())?;
        let members = text.split_off(self.members_at());
        let members = Members::try_from(members).ok()?;
        let name = Name::parse(text.split('\0').next()?).ok()?;
        Some(Group { name, gid: Gid::new(self.gid).ok()?, members })
    }
}

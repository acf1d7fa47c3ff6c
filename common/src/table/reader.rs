//! Finds records.
//!
//! Nothing here allocates, locks, calls the system or trusts the file; see
//! [`super`] for how it keeps out of the writer's way.

use std::sync::atomic::{AtomicU64, Ordering, fence};

use super::clock::Now;
use super::layout::{
    Class, FURTHEST_PROMISE, GONE, HEADER_WORDS, Key, Kind, MAGIC, MAX_PROBE, NEVER, VERSION,
    first_slot, header, high, low,
};
use super::records::{Damaged, Gids, GroupRecord, Record, UserRecord};

mod groups;

/// What the table says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer<T> {
    /// The directory has it.
    Found(T),
    /// The directory doesn't have it.
    NotFound,
    /// The table can't tell: somebody else has to be asked.
    Unknown,
}

/// The memory of a file that may be a table.
#[derive(Clone, Copy, Debug)]
pub struct Table<'a> {
    words: &'a [AtomicU64],
}

/// A table at a moment.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    words: &'a [AtomicU64],
    slots: &'a [AtomicU64],
    seed: u64,
    /// When its records must not have expired; `None`: any age will do.
    now: Option<Now>,
    complete: bool,
    /// Whether it is the writer's own, which sees the change that it prepares.
    ahead: bool,
}

/// What a key leads to, for who wants to know all of it.
#[derive(Clone, Copy, Debug)]
pub enum Found<'a> {
    /// A user.
    User(UserRecord<'a>),
    /// A group.
    Group(GroupRecord<'a>),
    /// The groups of somebody.
    Gids(Gids<'a>),
    /// That the directory has no such entry.
    Absent,
}

impl<'a> Table<'a> {
    /// Looks at memory as at a table. `None` if it isn't one, or one of another version.
    #[inline]
    pub fn new(words: &'a [AtomicU64]) -> Option<Self> {
        let table = Self { words };
        let fits = table.word(header::MAGIC)? == MAGIC
            && table.word(header::VERSION)? == VERSION
            && usize::try_from(table.word(header::WORDS)?).ok()? <= words.len();
        // Both halves of the index's place are checked again by each lookup.
        (fits && table.slots().is_some()).then_some(table)
    }

    /// The table, if its daemon lives. `None` if it was replaced, too.
    #[inline]
    pub fn fresh(self, now: Now) -> Option<View<'a>> {
        // 0 and everything that has passed is far ahead, counted without a sign.
        let ahead = self.until(header::ALIVE_UNTIL)?.0.wrapping_sub(now.0);
        if ahead.wrapping_sub(1) >= FURTHEST_PROMISE {
            return None;
        }
        let complete = self.until(header::COMPLETE_UNTIL)? > now;
        // Pairs with the release in which the writer says so: all the rest is seen, too.
        fence(Ordering::Acquire);
        self.view(Some(now), complete)
    }

    /// The table, whatever its age: when nobody can be asked. What isn't in it may
    /// be in the directory all the same, so it never says [`Answer::NotFound`].
    /// `wall` is the time in seconds since 1970; `None` if it is too old even so.
    pub fn of_any_age(self, wall: u64) -> Option<View<'a>> {
        let heard = self.word(header::HEARD)?;
        // A clock that was set back makes nothing too old.
        let age = wall.saturating_sub(heard);
        if heard == 0 || age > self.word(header::MAX_STALE)? {
            return None;
        }
        self.view(None, false)
    }

    #[inline]
    fn view(self, now: Option<Now>, complete: bool) -> Option<View<'a>> {
        let seed = self.word(header::SEED)?;
        Some(View { words: self.words, slots: self.slots()?, seed, now, complete, ahead: false })
    }

    /// The table with all that was ever put into it, expired or not: for the
    /// daemon. `None` if it is damaged.
    pub fn timeless(self) -> Option<View<'a>> {
        self.view(None, false)
    }

    /// A word of the header. Those that change are independent of each other, and
    /// what a slot leads to is published by the slot itself.
    #[inline]
    pub fn word(self, at: usize) -> Option<u64> {
        Some(self.words.get(at)?.load(Ordering::Relaxed))
    }

    #[inline]
    fn until(self, at: usize) -> Option<Now> {
        Some(Now(u32::try_from(self.word(at)?).unwrap_or(0)))
    }

    #[inline]
    fn slots(self) -> Option<&'a [AtomicU64]> {
        let first = usize::try_from(self.word(header::INDEX)?).ok()?;
        let count = usize::try_from(self.word(header::SLOTS)?).ok()?;
        if first < HEADER_WORDS || count == 0 {
            return None;
        }
        self.words.get(first..first.checked_add(count)?)
    }
}

impl<'a> View<'a> {
    /// A user by name, or by another name of the user.
    #[inline]
    pub fn user_by_name(&self, name: &[u8]) -> Answer<UserRecord<'a>> {
        self.find(Key::UserName(name)).and_then(UserRecord::of)
    }

    /// A user by id.
    #[inline]
    pub fn user_by_id(&self, uid: u32) -> Answer<UserRecord<'a>> {
        self.find(Key::Uid(uid)).and_then(UserRecord::of)
    }

    /// A group by name.
    #[inline]
    pub fn group_by_name(&self, name: &[u8]) -> Answer<GroupRecord<'a>> {
        self.find(Key::GroupName(name)).and_then(GroupRecord::of)
    }

    /// A group by id.
    #[inline]
    pub fn group_by_id(&self, gid: u32) -> Answer<GroupRecord<'a>> {
        self.find(Key::Gid(gid)).and_then(GroupRecord::of)
    }

    /// Whether everything was in here when the daemon of this table lived. Who isn't in it wasn't in the
    /// directory then, and may be by now: it says how long to wait for somebody who knows, not
    /// what is so.
    pub fn had_everything(&self) -> bool {
        Table { words: self.words }.word(header::HAD_EVERYTHING) == Some(1)
    }

    /// The number of the last change that is seen from here on.
    #[inline]
    fn change(&self) -> Option<u64> {
        Some(self.words.get(header::CHANGE)?.load(Ordering::Acquire))
    }

    /// The users from this slot on: the next one and the slot after it; `None` at
    /// the end. Start with 0. Each user who is there all the time is given once, whatever
    /// is changed meanwhile. One who is renamed, or removed and put again, may be given
    /// twice or not at all.
    pub fn next_user(&self, slot: usize) -> Option<(UserRecord<'a>, usize)> {
        self.next(slot, Class::UserName, UserRecord::of)
    }

    /// The groups, likewise.
    pub fn next_group(&self, slot: usize) -> Option<(GroupRecord<'a>, usize)> {
        self.next(slot, Class::GroupName, GroupRecord::of)
    }

    /// Whether everything is here, so that it can be enumerated.
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    /// What a key leads to and when that expires, whatever its age: for the daemon,
    /// who knows what to do with old answers.
    pub fn look(&self, key: Key<'_>) -> Option<(Found<'a>, u32)> {
        let record = self.probe(key).ok()??;
        self.read(record, key.class())
    }

    /// What a record that a key of this class leads to says, and when it expires.
    pub(super) fn read(&self, record: Record<'a>, class: Class) -> Option<(Found<'a>, u32)> {
        let mut expires = record.expires();
        let record = match record.kind()? {
            Kind::Absent => return Some((Found::Absent, expires)),
            Kind::Alias => record.target(self.words)?,
            _ => record,
        };
        expires = expires.min(record.expires());
        let found = match (class, record.kind()?) {
            (Class::UserName | Class::Uid, Kind::User) => Found::User(UserRecord::of(record)?),
            (Class::GroupName | Class::Gid, Kind::Group) => Found::Group(GroupRecord::of(record)?),
            (Class::GidsOf, Kind::Gids) => Found::Gids(Gids::of(record)?),
            _ => return None,
        };
        Some((found, expires))
    }

    /// The record of a key.
    #[inline]
    fn find(&self, key: Key<'_>) -> Answer<Record<'a>> {
        match self.probe(key) {
            Ok(Some(record)) => self.judge(record, key),
            Ok(None) if self.is_still_complete() => Answer::NotFound,
            _ => Answer::Unknown,
        }
    }

    /// Whether everything was here at the end of a probe, too: a reader may have been
    /// stopped before it, until the table was complete no more and things were left out.
    #[inline]
    fn is_still_complete(&self) -> bool {
        let (true, Some(now)) = (self.complete, self.now) else { return false };
        // Whoever saw that something is left out sees what was said before that.
        fence(Ordering::Acquire);
        Table { words: self.words }.until(header::COMPLETE_UNTIL).is_some_and(|until| until > now)
    }

    /// The record that a key leads to, whatever it says.
    #[inline]
    fn probe(&self, key: Key<'_>) -> Result<Option<Record<'a>>, Damaged> {
        let hash = key.hash(self.seed);
        let tag = key.tag(hash);
        let mut at = first_slot(hash, self.slots.len());
        for _ in 0..MAX_PROBE {
            // Pairs with the release in which the writer publishes a record.
            let slot = self.slots.get(at).ok_or(Damaged)?.load(Ordering::Acquire);
            if slot == 0 {
                return Ok(None);
            }
            if low(slot) == tag
                && let Some(record) = self.follow(high(slot))?
                && record.has_key(key)
            {
                return Ok(Some(record));
            }
            at = if at + 1 == self.slots.len() { 0 } else { at + 1 };
        }
        Err(Damaged)
    }

    /// The record at this offset, behind a link if there is one; `None` for a key
    /// that is gone.
    #[inline]
    fn follow(&self, offset: u32) -> Result<Option<Record<'a>>, Damaged> {
        if offset == GONE {
            return Ok(None);
        }
        let record = Record::at(self.words, offset).ok_or(Damaged)?;
        if record.kind().ok_or(Damaged)? != Kind::Link {
            return Ok(Some(record));
        }
        // Pairs with the release of the publication: whoever sees the number sees
        // the records of that change, and nobody sees half of a change afterwards.
        // The link is read after it: until the publication the writer may change its
        // mind about the new side, or about the whole change.
        let published = if self.ahead { u64::MAX } else { self.change().ok_or(Damaged)? };
        let (Some(change), Some(sides)) = (record.word(1), record.word(2)) else {
            return Err(Damaged);
        };
        match if published >= change { low(sides) } else { high(sides) } {
            GONE => Ok(None),
            offset => {
                let record = Record::at(self.words, offset).ok_or(Damaged)?;
                // A link leads to no other link.
                if record.kind() == Some(Kind::Link) { Err(Damaged) } else { Ok(Some(record)) }
            }
        }
    }

    /// A slot's word.
    #[cfg(feature = "writer")]
    pub(super) fn slot(&self, at: usize) -> Option<u64> {
        Some(self.slots.get(at)?.load(Ordering::Acquire))
    }

    /// The record that a slot of this word leads to.
    #[cfg(feature = "writer")]
    pub(super) fn lead(&self, word: u64) -> Result<Option<Record<'a>>, Damaged> {
        self.follow(high(word))
    }

    /// This view, but with the change that is being prepared.
    #[cfg(feature = "writer")]
    pub(super) fn ahead(self) -> Self {
        Self { ahead: true, ..self }
    }

    #[inline]
    fn judge(&self, record: Record<'a>, key: Key<'_>) -> Answer<Record<'a>> {
        let expired = |record: Record<'a>| match (record.expires(), self.now) {
            (NEVER, _) | (_, None) => false,
            (expires, Some(Now(now))) => expires <= now,
        };
        let record = match record.kind() {
            Some(Kind::Absent) => {
                // Of any age it would be an outage that looks like "no such entry".
                let counts = self.now.is_some() && !expired(record);
                return if counts { Answer::NotFound } else { Answer::Unknown };
            }
            Some(Kind::Alias) => {
                let target = record.target(self.words);
                if expired(record) { None } else { target }
            }
            Some(_) => Some(record),
            None => None,
        };
        match record {
            Some(record) if !expired(record) && record.fits(key.class()) => Answer::Found(record),
            _ => Answer::Unknown,
        }
    }

    fn next<T>(
        &self,
        mut slot: usize,
        class: Class,
        read: impl Fn(Record<'a>) -> Option<T>,
    ) -> Option<(T, usize)> {
        loop {
            let word = self.slots.get(slot)?.load(Ordering::Acquire);
            slot += 1;
            // Aliases and absences aren't entries: only what `read` takes is.
            if word != 0
                && low(word) & 0b111 == class as u32
                && let Ok(Some(record)) = self.follow(high(word))
                && let Some(entry) = read(record)
            {
                return Some((entry, slot));
            }
        }
    }
}

impl<T> Answer<T> {
    /// Reads what was found; what can't be read can't be told.
    #[inline]
    fn and_then<U>(self, read: impl FnOnce(T) -> Option<U>) -> Answer<U> {
        match self {
            Self::Found(record) => read(record).map_or(Answer::Unknown, Answer::Found),
            Self::NotFound => Answer::NotFound,
            Self::Unknown => Answer::Unknown,
        }
    }
}

/// Everything that was read before this was read before what is read after it.
/// For those who look afterwards whether the memory was exchanged meanwhile.
pub(super) fn read_before() {
    fence(Ordering::Acquire);
}

//! What the table says, in the caller's buffer.
//!
//! An entry's strings lie in the table as they lie in the buffer: a user is one copy
//! and five additions, a group one copy and an addition for each member. What
//! is written may be thrown away again, see [`common::table::shared`], so nothing
//! of a call's results is looked at before the lookup is over.

use common::account::{Name, Uid};
use common::table::{Answer, Damaged, GroupRecord, UserRecord, View};
use libc::{group, passwd};

use crate::answer::Record;
use crate::buffer::{Buffer, Short, Target, point};
use crate::status::Failure;

/// What a lookup asks for, straight from C.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Asked<'a> {
    /// An entry by its name; `None`: by no name at all.
    Name(Option<&'a [u8]>),
    /// An entry by its id.
    Id(u32),
}

impl Asked<'_> {
    /// Whether a directory may know it. What it may not know is never looked for.
    #[inline]
    pub(crate) fn may_be_there(self) -> bool {
        match self {
            Self::Name(name) => name.is_some_and(is_possible),
            // One rule for both kinds of ids.
            Self::Id(id) => Uid::new(id).is_ok(),
        }
    }
}

/// Whether the table may have this name: a record's length of it is one byte.
#[inline]
pub(crate) fn is_possible(name: &[u8]) -> bool {
    (1..=255).contains(&name.len()) && !Name::is_own(name)
}

/// Why the table has no answer to give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Miss {
    /// It can't tell.
    Unknown,
    /// There is no such entry, or no further one.
    NotFound,
    /// The caller's buffer is too small.
    Short,
}

impl From<Short> for Miss {
    fn from(Short: Short) -> Self {
        Self::Short
    }
}

impl From<Damaged> for Miss {
    fn from(Damaged: Damaged) -> Self {
        Self::Unknown
    }
}

/// Looks an entry up. `None` where the table can't tell.
#[expect(
    clippy::inline_always,
    reason = "a struct that is handed on in memory costs more than the rest"
)]
#[inline(always)]
pub(crate) fn find<R: Record>(
    view: &View<'_>,
    asked: Asked<'_>,
    target: &mut Target<R::C>,
) -> Option<Result<(), Failure>> {
    match target.fill(|buffer| R::find(view, asked, buffer)) {
        Ok(()) => Some(Ok(())),
        Err(Miss::NotFound) => Some(Err(Failure::NotFound)),
        Err(Miss::Short) => Some(Err(Failure::ShortBuffer)),
        Err(Miss::Unknown) => None,
    }
}

/// What was found, if anything.
#[expect(
    clippy::inline_always,
    reason = "a struct that is handed on in memory costs more than the rest"
)]
#[inline(always)]
pub(crate) fn found<T>(answer: Answer<T>) -> Result<T, Miss> {
    match answer {
        Answer::Found(record) => Ok(record),
        Answer::NotFound => Err(Miss::NotFound),
        Answer::Unknown => Err(Miss::Unknown),
    }
}

/// A user's struct, with its strings in the buffer.
#[expect(
    clippy::inline_always,
    reason = "a struct that is handed on in memory costs more than the rest"
)]
#[inline(always)]
pub(crate) fn user(user: &UserRecord<'_>, buffer: &mut Buffer) -> Result<passwd, Miss> {
    let text = buffer.run(user.text_bytes())?;
    user.copy_text(text)?;
    let start = text.as_mut_ptr();
    let at = |offset| start.wrapping_add(offset).cast();
    let [name, ..] = user.lengths;
    let [gecos, home, shell] = user.starts();
    Ok(passwd {
        pw_name: at(0),
        pw_passwd: at(name + 1),
        pw_uid: user.uid,
        pw_gid: user.gid,
        pw_gecos: at(gecos),
        pw_dir: at(home),
        pw_shell: at(shell),
    })
}

/// A group's struct, with its list and its strings in the buffer.
#[inline]
pub(crate) fn group(entry: &GroupRecord<'_>, buffer: &mut Buffer) -> Result<group, Miss> {
    let (list, text) = buffer.list_and_run(entry.members, entry.text_bytes())?;
    entry.copy_text(text)?;
    let start = text.as_mut_ptr();
    let members = start.wrapping_add(entry.members_at());
    let lengths = entry.member_lengths().ok_or(Damaged)?;
    // Wrong lengths would lead past the end, or into the middle of names.
    if point(list, members, lengths) != Some(start.wrapping_add(entry.text_bytes())) {
        return Err(Miss::Unknown);
    }
    Ok(group {
        gr_name: start.cast(),
        gr_passwd: start.wrapping_add(entry.name_length + 1).cast(),
        gr_gid: entry.gid,
        gr_mem: list.as_mut_ptr().cast(),
    })
}

//! Records as words, as `layout` describes them.

use std::io;

use super::Fact;
use crate::account::{Gid, Group, User};
use crate::table::layout::{Key, Kind, NO_GIDS, pair, words};

/// Whether a key can lead to a fact.
///
/// # Errors
/// When it can't.
pub(super) fn check(fact: Fact<'_>, key: Key<'_>) -> io::Result<()> {
    let fits = match (fact, key) {
        (Fact::Absent, _)
        | (Fact::User(..), Key::UserName(_))
        | (Fact::Group(_), Key::GroupName(_))
        | (Fact::Gids(_), Key::GidsOf(_)) => true,
        (Fact::User(user, _), Key::Uid(uid)) => uid == user.uid.get(),
        (Fact::Group(group), Key::Gid(gid)) => gid == group.gid.get(),
        _ => false,
    };
    if let Key::UserName(name) | Key::GroupName(name) | Key::GidsOf(name) = key {
        fit::<u8>(name.len())?;
    }
    if fits {
        Ok(())
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidInput, "no key of such a fact"))
    }
}

/// Makes the record of a fact under a key: for a user or group it is the same under
/// all of them, but for aliases, see [`alias`].
///
/// # Errors
/// As [`check`], or when the fact is too large for a record.
pub(super) fn record(fact: Fact<'_>, key: Key<'_>, expires: u32) -> io::Result<Vec<u64>> {
    check(fact, key)?;
    match (fact, key) {
        (Fact::User(user, gids), _) => self::user(user, gids, expires),
        (Fact::Group(group), _) => self::group(group, expires),
        (Fact::Gids(gids), Key::GidsOf(name)) => self::gids(name, gids, expires),
        (Fact::Gids(_) | Fact::Absent, _) => absent(key, expires),
    }
}

/// The record of another name.
pub(super) fn alias(name: &[u8], target: u32, expires: u32) -> io::Result<Vec<u64>> {
    let mut record = vec![head(Kind::Alias, name, 0, expires)?, target.into()];
    push_text(&mut record, &[name]);
    Ok(record)
}

/// The words of a link.
pub(super) const LINK_WORDS: usize = 3;

/// The link of a slot.
pub(super) fn link(change: u64, new: u32, old: u32) -> [u64; LINK_WORDS] {
    [Kind::Link as u64, change, pair(new, old)]
}

fn user(user: &User, gids: Option<&[Gid]>, expires: u32) -> io::Result<Vec<u64>> {
    let name = user.name.as_str().as_bytes();
    let [gecos, home, shell] =
        [user.gecos.as_str(), user.home.as_str(), user.shell.as_str()].map(str::as_bytes);
    let gids = gids.map(ascending);
    let count = gids.as_ref().map_or(Ok(NO_GIDS), |gids| fit(gids.len()))?;
    let lengths = pair(u32::from(fit::<u16>(home.len())?) | fit::<u32>(shell.len())? << 16, count);
    let mut record = vec![
        head(Kind::User, name, fit(gecos.len())?, expires)?,
        pair(user.uid.get(), user.gid.get()),
        lengths,
    ];
    push_text(&mut record, &[name, b"x", gecos, home, shell]);
    push_ids(&mut record, &gids.unwrap_or_default());
    Ok(record)
}

fn group(group: &Group, expires: u32) -> io::Result<Vec<u64>> {
    let name = group.name.as_str().as_bytes();
    let run = group.members.as_run().as_bytes();
    let mut record = vec![
        head(Kind::Group, name, 0, expires)?,
        pair(group.gid.get(), fit(group.members.len())?),
        pair(fit(run.len())?, 0),
    ];
    // The run ends with the NUL that `push_text` adds.
    match run.split_last() {
        Some((_, members)) => push_text(&mut record, &[name, b"*", members]),
        None => push_text(&mut record, &[name, b"*"]),
    }
    let lengths = group.members.iter().map(|name| fit(name.len())).collect::<Result<Vec<u8>, _>>();
    push_bytes(&mut record, &lengths?);
    Ok(record)
}

fn gids(name: &[u8], gids: &[Gid], expires: u32) -> io::Result<Vec<u64>> {
    let gids = ascending(gids);
    let mut record = vec![head(Kind::Gids, name, 0, expires)?, pair(fit(gids.len())?, 0)];
    push_text(&mut record, &[name]);
    push_ids(&mut record, &gids);
    Ok(record)
}

fn absent(key: Key<'_>, expires: u32) -> io::Result<Vec<u64>> {
    let class = key.class() as u16;
    match key {
        Key::Uid(id) | Key::Gid(id) => {
            Ok(vec![head(Kind::Absent, b"", class, expires)?, id.into()])
        }
        Key::UserName(name) | Key::GroupName(name) | Key::GidsOf(name) => {
            let mut record = vec![head(Kind::Absent, name, class, expires)?, 0];
            push_text(&mut record, &[name]);
            Ok(record)
        }
    }
}

/// A record's first word.
fn head(kind: Kind, name: &[u8], detail: u16, expires: u32) -> io::Result<u64> {
    let name: u8 = fit(name.len())?;
    Ok(pair(kind as u32 | u32::from(name) << 8 | u32::from(detail) << 16, expires))
}

/// These strings, each with its NUL.
fn push_text(record: &mut Vec<u64>, strings: &[&[u8]]) {
    let mut text = Vec::with_capacity(strings.iter().map(|string| string.len() + 1).sum());
    for string in strings {
        text.extend_from_slice(string);
        text.push(0);
    }
    push_bytes(record, &text);
}

/// These bytes, and zeros up to a word.
fn push_bytes(record: &mut Vec<u64>, bytes: &[u8]) {
    record.reserve(words(bytes.len()));
    let (whole, rest) = bytes.as_chunks::<8>();
    record.extend(whole.iter().map(|chunk| u64::from_ne_bytes(*chunk)));
    if !rest.is_empty() {
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        record.push(u64::from_ne_bytes(last));
    }
}

fn push_ids(record: &mut Vec<u64>, ids: &[u32]) {
    let (pairs, rest) = ids.as_chunks::<2>();
    record.extend(pairs.iter().map(|[first, second]| pair(*first, *second)));
    record.extend(rest.iter().map(|last| pair(*last, 0)));
}

/// The same list of groups is the same record, whatever order a directory gives it in.
fn ascending(gids: &[Gid]) -> Vec<u32> {
    let mut gids: Vec<u32> = gids.iter().map(|gid| gid.get()).collect();
    gids.sort_unstable();
    gids.dedup();
    gids
}

fn fit<T: TryFrom<usize>>(number: usize) -> io::Result<T> {
    T::try_from(number)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "too long for a record"))
}

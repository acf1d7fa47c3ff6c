//! What the table promises, on plain memory and on files.
//!
//! Under miri, which finds data races, in some minutes (it maps no files, and its model
//! of borrows takes hours for slices that long; the code under test has no unsafe part):
//!
//! ```sh
//! MIRIFLAGS="-Zmiri-disable-isolation -Zmiri-disable-stacked-borrows" \
//!     cargo +nightly miri test -p common --features writer --lib table::tests
//! ```

use std::mem::MaybeUninit;

use super::reader::{Answer, Found, View};
use super::writer::{Fact, Heartbeat, Room, Writer};
use super::{Key, NEVER, Now};
use crate::account::{AbsolutePath, Field, Gid, Group, Name, Uid, User};

mod answers;
mod changes;
mod files;
mod hostile;
pub(super) mod killed;
mod model;
mod threads;

/// The time in most tests.
const NOW: Now = Now(1000);

fn name(name: &str) -> Name {
    Name::parse(name).unwrap()
}

fn user(text: &str, uid: u32) -> User {
    User {
        name: name(text),
        uid: Uid::new(uid).unwrap(),
        gid: Gid::new(100).unwrap(),
        gecos: Field::cleaned("Gecos, of 12"),
        home: AbsolutePath::parse(&format!("/home/{text}")).unwrap(),
        shell: AbsolutePath::parse("/bin/bash").unwrap(),
    }
}

fn group(text: &str, gid: u32, members: &[&str]) -> Group {
    let members = members.iter().map(|member| name(member)).collect::<Vec<_>>().iter().collect();
    Group { name: name(text), gid: Gid::new(gid).unwrap(), members }
}

fn gids(gids: &[u32]) -> Vec<Gid> {
    gids.iter().map(|gid| Gid::new(*gid).unwrap()).collect()
}

/// A complete table that lives now.
fn beating(until: u32) -> Heartbeat {
    Heartbeat { alive_until: Now(until), complete_until: Now(until), heard: 1, max_stale: 1000 }
}

/// A published table in memory.
fn published() -> Writer {
    let mut writer = Writer::in_memory(Room::default()).unwrap();
    writer.publish().unwrap();
    writer.beat(beating(NOW.0 + 5));
    writer
}

fn fresh(writer: &Writer) -> View<'_> {
    writer.table().fresh(NOW).unwrap()
}

/// The keys of a user.
fn keys(user: &User) -> [Key<'_>; 2] {
    [Key::UserName(user.name.as_str().as_bytes()), Key::Uid(user.uid.get())]
}

fn group_keys(group: &Group) -> [Key<'_>; 2] {
    [Key::GroupName(group.name.as_str().as_bytes()), Key::Gid(group.gid.get())]
}

/// Publishes a user under name and id.
fn put(writer: &mut Writer, user: &User, groups: Option<&[Gid]>) -> bool {
    let mut change = writer.change();
    change.put(Fact::User(user, groups), &keys(user), NEVER).unwrap();
    change.commit().unwrap()
}

/// What a caller's buffer of this length holds afterwards.
#[allow(unsafe_code)]
fn text<E>(
    bytes: usize,
    copy: impl FnOnce(&mut [MaybeUninit<u8>]) -> Result<(), E>,
) -> Result<Vec<u8>, E> {
    let mut buffer = vec![MaybeUninit::new(0xff); bytes];
    copy(&mut buffer)?;
    // SAFETY: all of it was written when the buffer was made.
    Ok(buffer.into_iter().map(|byte| unsafe { byte.assume_init() }).collect())
}

/// What a reader makes of a key: everything that it could be told, or why it isn't.
fn answer(view: &View<'_>, key: Key<'_>) -> Answer<Value> {
    fn map<T>(answer: Answer<T>, value: impl FnOnce(T) -> Value) -> Answer<Value> {
        match answer {
            Answer::Found(found) => Answer::Found(value(found)),
            Answer::NotFound => Answer::NotFound,
            Answer::Unknown => Answer::Unknown,
        }
    }
    let user = |found: super::UserRecord<'_>| {
        Value::User(found.to_user().unwrap(), found.gids().map(|gids| gids.iter().collect()))
    };
    match key {
        Key::UserName(name) => map(view.user_by_name(name), user),
        Key::Uid(uid) => map(view.user_by_id(uid), user),
        Key::GroupName(name) => {
            map(view.group_by_name(name), |found| Value::Group(found.to_group().unwrap()))
        }
        Key::Gid(gid) => {
            map(view.group_by_id(gid), |found| Value::Group(found.to_group().unwrap()))
        }
        Key::GidsOf(name) => map(view.groups_of(name), |found| Value::Gids(found.iter().collect())),
    }
}

/// An answer in memory of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Value {
    User(User, Option<Vec<u32>>),
    Group(Group),
    Gids(Vec<u32>),
    Absent,
}

impl From<Found<'_>> for Value {
    fn from(found: Found<'_>) -> Self {
        match found {
            Found::User(user) => {
                Self::User(user.to_user().unwrap(), user.gids().map(|gids| gids.iter().collect()))
            }
            Found::Group(group) => Self::Group(group.to_group().unwrap()),
            Found::Gids(gids) => Self::Gids(gids.iter().collect()),
            Found::Absent => Self::Absent,
        }
    }
}

/// All words, to compare them.
fn words(writer: &Writer) -> Vec<u64> {
    use std::sync::atomic::Ordering::Relaxed;
    writer.memory().words().iter().map(|word| word.load(Relaxed)).collect()
}

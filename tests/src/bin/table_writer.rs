//! Writes a table at the path that is its first argument, as fast as it can: the users
//! `w0` to `w(COUNT-1)` and groups `g0`..., all of which change their version at
//! once, as the probe's `watch together` expects them. Now and then it puts another file
//! in the table's place. It ends when its standard input does.
//!
//! The third argument is the time at which the version was 0, in milliseconds
//! since 1970, so that a process that is started after another was killed goes on with newer ones.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use common::account::{AbsolutePath, Field, Gid, Group, Members, Name, Uid, User};
use common::table::writer::{Fact, Heartbeat, Room, Writer};
use common::table::{Key, NEVER, Now};

/// Versions in a millisecond, at most.
const VERSIONS_PER_MS: u64 = 64;
/// A file is replaced after so many changes, besides when it is full.
const CHANGES_PER_FILE: u64 = 1500;
const OTHER_NAMES: u64 = 7;

static STOP: AtomicBool = AtomicBool::new(false);

fn main() {
    let arguments: Vec<_> = std::env::args().collect();
    let [_, path, count, zero] = &arguments[..] else { panic!("a path, a number and a time") };
    let (path, count) = (PathBuf::from(path), count.parse().expect("a number"));
    let zero: u64 = zero.parse().expect("a number");
    thread::spawn(|| {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        STOP.store(true, Ordering::Relaxed);
    });
    let mut version = 0;
    let mut next = || {
        version = (version + 1).max((now_ms() - zero) * VERSIONS_PER_MS);
        version
    };
    let (mut changes, mut files, mut last) = (0_u64, 1_u64, next());
    let mut writer = filled(&path, count, last);
    writer.publish().expect("there is room");
    // Whoever starts this waits for it.
    println!("there");
    let mut beaten = Instant::now();
    while !STOP.load(Ordering::Relaxed) {
        changes += 1;
        let version = next();
        if changes.is_multiple_of(CHANGES_PER_FILE) {
            let mut successor = filled(&path, count, version);
            successor.publish().expect("there is room");
            writer.retire();
            writer = successor;
            files += 1;
        } else {
            put(&mut writer, count, version, Some(last));
        }
        last = version;
        if beaten.elapsed() > Duration::from_millis(100) {
            beat(&mut writer);
            beaten = Instant::now();
        }
    }
    println!("changes={changes} files={files}");
}

fn filled(path: &Path, count: u64, version: u64) -> Writer {
    let room = Room { keys: 256, words: 64 * 1024 };
    let mut writer = Writer::create(path, room).expect("the folder can be written");
    put(&mut writer, count, version, None);
    beat(&mut writer);
    writer
}

fn beat(writer: &mut Writer) {
    let Now(now) = Now::read();
    let until = Now(now + 5);
    let heard = now_ms() / 1000;
    writer.beat(Heartbeat { alive_until: until, complete_until: until, heard, max_stale: 3600 });
}

/// Everything in a new version, in one change.
fn put(writer: &mut Writer, count: u64, version: u64, last: Option<u64>) {
    let mut change = writer.change();
    let gids = [Gid::new(number(100_000 + version)).expect("an id")];
    if let Some(last) = last {
        let gone = format!("alt{}", last % OTHER_NAMES);
        change.remove(Key::UserName(gone.as_bytes())).expect("there is room");
    }
    for n in 0..count {
        let user = user(n, version);
        let other = format!("alt{}", version % OTHER_NAMES);
        let name = user.name.as_str().as_bytes();
        let keys = [Key::UserName(name), Key::Uid(user.uid.get()), Key::UserName(other.as_bytes())];
        let keys = if n == 0 { &keys[..] } else { &keys[..2] };
        change.put(Fact::User(&user, Some(&gids)), keys, NEVER).expect("there is room");
        let group = group(n, version);
        let name = group.name.as_str().as_bytes();
        let keys = [Key::GroupName(name), Key::Gid(group.gid.get())];
        change.put(Fact::Group(&group), &keys, NEVER).expect("there is room");
    }
    change.commit().expect("there is room");
}

fn user(n: u64, version: u64) -> User {
    let path = |text: String| AbsolutePath::parse(&text).expect("a path");
    User {
        name: name(&format!("w{n}")),
        uid: Uid::new(number(12_000 + n)).expect("an id"),
        gid: Gid::new(20_001).expect("an id"),
        gecos: Field::try_from(format!("v{version}")).expect("a field"),
        home: path(format!("/home/w{n}/{version}")),
        shell: path(format!("/bin/{version}")),
    }
}

fn group(n: u64, version: u64) -> Group {
    let members = [name(&format!("a{version}")), name(&format!("b{version}"))];
    Group {
        name: name(&format!("g{n}")),
        gid: Gid::new(number(22_000 + n)).expect("an id"),
        members: members.iter().collect::<Members>(),
    }
}

fn name(text: &str) -> Name {
    Name::parse(text).expect("a name")
}

fn number(id: u64) -> u32 {
    u32::try_from(id).expect("an id")
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    u64::try_from(since.as_millis()).expect("a number")
}

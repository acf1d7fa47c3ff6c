//! Tables in files.

#![cfg(not(miri))] // miri maps no files

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use super::super::Table;
use super::*;

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

/// The names in a folder.
fn names(folder: &Path) -> Vec<String> {
    let names =
        fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

/// A file's words.
fn read(path: &Path) -> Vec<std::sync::atomic::AtomicU64> {
    let bytes = fs::read(path).unwrap();
    let (words, rest) = bytes.as_chunks::<8>();
    assert!(rest.is_empty());
    words.iter().map(|word| u64::from_ne_bytes(*word).into()).collect()
}

fn has(path: &Path, uid: u32) -> bool {
    let words = read(path);
    let view = Table::new(&words).unwrap().timeless().unwrap();
    matches!(view.user_by_id(uid), Answer::Found(_))
}

#[test]
fn a_table_is_not_in_the_folder_before_it_is_published() {
    let folder = folder();
    let path = folder.path().join("table");
    let mut writer = Writer::create(&path, Room::default()).unwrap();
    assert!(!path.exists() && !writer.is_in_place());
    put(&mut writer, &user("alice", 1000), None);
    assert!(!path.exists());
    writer.publish().unwrap();
    assert!(has(&path, 1000) && writer.is_in_place());
    assert_eq!(names(folder.path()), ["table"]);
}

#[test]
fn a_change_is_in_the_file_once_it_is_published() {
    let folder = folder();
    let path = folder.path().join("table");
    let mut writer = Writer::create(&path, Room::default()).unwrap();
    writer.publish().unwrap();
    let inode = fs::metadata(&path).unwrap().ino();
    put(&mut writer, &user("alice", 1000), None);
    assert!(has(&path, 1000));
    assert_eq!(fs::metadata(&path).unwrap().ino(), inode);
}

#[test]
fn everybody_may_read_a_table_whatever_the_umask() {
    let folder = folder();
    let path = folder.path().join("table");
    let mut writer = Writer::create(&path, Room::default()).unwrap();
    writer.publish().unwrap();
    writer.seal(&folder.path().join("sealed")).unwrap();
    for name in ["table", "sealed"] {
        let mode = fs::metadata(folder.path().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o444);
    }
}

#[test]
fn nobody_else_can_open_a_table_and_lock_it_before_it_is_published() {
    let folder = folder();
    let _writer = Writer::create(&folder.path().join("table"), Room::default()).unwrap();
    let [name] = names(folder.path()).try_into().unwrap();
    let mode = fs::metadata(folder.path().join(name)).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
}

#[test]
fn all_blocks_of_a_table_exist() {
    let folder = folder();
    let path = folder.path().join("table");
    let mut writer = Writer::create(&path, Room { keys: 0, words: 1 << 17 }).unwrap();
    let data = |path: &Path| fs::metadata(path).unwrap();
    let temporary = folder.path().join(&names(folder.path())[0]);
    assert!(data(&temporary).len() > 1 << 20);
    assert!(data(&temporary).blocks() * 512 >= data(&temporary).len());
    writer.publish().unwrap();
    assert_eq!(data(&path).len(), writer.stats().bytes as u64);
}

#[test]
fn a_table_that_is_not_published_leaves_nothing_behind() {
    let folder = folder();
    drop(Writer::create(&folder.path().join("table"), Room::default()).unwrap());
    assert_eq!(names(folder.path()), [""; 0]);
}

#[test]
fn what_a_killed_daemon_left_is_removed_and_nothing_else() {
    let folder = folder();
    let path = folder.path().join("table");
    let others = [".table.backup", ".table2.1.2.new", "table.1.2.new"];
    for name in others.into_iter().chain([".table.1.2.new"]) {
        fs::write(folder.path().join(name), "").unwrap();
    }
    let first = Writer::create(&path, Room::default()).unwrap();
    // What is being made isn't left behind.
    let mut second = Writer::create(&path, Room::default()).unwrap();
    assert_eq!(names(folder.path()).len(), others.len() + 2);
    second.publish().unwrap();
    drop(first);
    assert_eq!(
        names(folder.path()),
        [".table.backup", ".table2.1.2.new", "table", "table.1.2.new"]
    );
}

#[test]
fn a_link_in_the_way_is_not_followed() {
    let folder = folder();
    let path = folder.path().join("table");
    fs::write(folder.path().join("precious"), "precious").unwrap();
    std::os::unix::fs::symlink("precious", &path).unwrap();
    let mut writer = Writer::create(&path, Room::default()).unwrap();
    writer.publish().unwrap();
    assert_eq!(fs::read(folder.path().join("precious")).unwrap(), b"precious");
    assert!(fs::symlink_metadata(&path).unwrap().is_file());
}

#[test]
fn a_grown_table_takes_the_old_ones_place() {
    let folder = folder();
    let path = folder.path().join("table");
    let mut writer = Writer::create(&path, Room::default()).unwrap();
    writer.publish().unwrap();
    writer.beat(beating(NOW.0 + 5));
    let old = writer.memory();
    let mut change = writer.change();
    for number in 0..1000 {
        let someone = user(&format!("user{number}"), 2000 + number);
        change.put(Fact::User(&someone, None), &keys(&someone), NEVER).unwrap();
    }
    assert!(!has(&path, 2000));
    assert!(Table::new(old.words()).unwrap().fresh(NOW).is_some());
    change.commit().unwrap();
    assert!(has(&path, 2000) && has(&path, 2999));
    assert!(Table::new(old.words()).unwrap().fresh(NOW).is_none());
    // It is as fresh as the old one was.
    assert!(Table::new(&read(&path)).unwrap().fresh(NOW).is_some());
    assert!(writer.is_in_place());
    assert_eq!(names(folder.path()), ["table"]);
}

#[test]
fn a_table_that_cannot_grow_stays_as_it_was() {
    let parent = folder();
    let folder = parent.path().join("run");
    fs::create_dir(&folder).unwrap();
    let path = folder.join("table");
    let mut writer = Writer::create(&path, Room::default()).unwrap();
    writer.publish().unwrap();
    writer.beat(beating(NOW.0 + 5));
    put(&mut writer, &user("alice", 1000), None);
    fs::rename(&folder, parent.path().join("away")).unwrap();
    let mut change = writer.change();
    change.remove(Key::Uid(1000)).unwrap();
    let failed = (0..1000)
        .map(|n| user(&format!("user{n}"), 2000 + n))
        .find_map(|someone| change.put(Fact::User(&someone, None), &keys(&someone), NEVER).err());
    assert!(failed.is_some());
    assert!(change.commit().is_err());
    assert!(matches!(fresh(&writer).user_by_id(1000), Answer::Found(_)));
    assert_eq!(answer(&fresh(&writer), Key::Uid(2000)), Answer::NotFound);
    assert_eq!(writer.stats().users, 1);
    // A smaller change still finds room.
    put(&mut writer, &user("bob", 1001), None);
    assert!(matches!(fresh(&writer).user_by_id(1001), Answer::Found(_)));
}

#[test]
fn a_removed_or_replaced_file_is_noticed_and_can_be_put_back() {
    let folder = folder();
    let path = folder.path().join("table");
    let mut writer = Writer::create(&path, Room::default()).unwrap();
    writer.publish().unwrap();
    put(&mut writer, &user("alice", 1000), None);
    fs::remove_file(&path).unwrap();
    assert!(!writer.is_in_place());
    writer.rebuild(|_, _, _| true).unwrap();
    assert!(writer.is_in_place() && has(&path, 1000));
    fs::copy(&path, folder.path().join("copy")).unwrap();
    fs::rename(folder.path().join("copy"), &path).unwrap();
    assert!(!writer.is_in_place());
}

#[test]
fn a_sealed_copy_is_a_table_that_is_not_fresh() {
    let folder = folder();
    let path = folder.path().join("table");
    let sealed = folder.path().join("sealed");
    let mut writer = Writer::create(&path, Room::default()).unwrap();
    writer.publish().unwrap();
    writer.beat(beating(NOW.0 + 5));
    put(&mut writer, &user("alice", 1000), None);
    // A change that was forgotten halfway isn't in it.
    let mut change = writer.change();
    change.remove(Key::Uid(1000)).unwrap();
    std::mem::forget(change);
    writer.seal(&sealed).unwrap();
    let words = read(&sealed);
    let table = Table::new(&words).unwrap();
    assert!(table.fresh(Now(0)).is_none());
    let aged = table.of_any_age(1).unwrap();
    assert!(matches!(aged.user_by_id(1000), Answer::Found(_)));
    assert_eq!(answer(&aged, Key::Uid(7)), Answer::Unknown);
    assert_eq!(names(folder.path()), ["sealed", "table"]);
    assert!(words.len() < read(&path).len());
}

#[test]
fn a_sealed_copy_says_whether_everything_was_in_it() {
    let folder = folder();
    let sealed = folder.path().join("sealed");
    let mut writer = Writer::create(&folder.path().join("table"), Room::default()).unwrap();
    writer.publish().unwrap();
    let had_everything = |writer: &Writer| {
        writer.seal(&sealed).unwrap();
        let words = read(&sealed);
        let table = Table::new(&words).unwrap();
        let view = table.of_any_age(1).unwrap();
        assert_eq!(answer(&view, Key::UserName(b"nobody")), Answer::Unknown, "it never says so");
        assert_eq!(view.knew_no_groups_of(b"nobody"), view.had_everything());
        view.had_everything()
    };
    let complete = beating(NOW.0 + 5);
    let incomplete = Heartbeat { complete_until: Now(0), ..complete };
    writer.beat(incomplete);
    put(&mut writer, &user("alice", 1000), None);
    assert!(!had_everything(&writer));
    writer.beat(complete);
    assert!(had_everything(&writer));
    writer.beat(incomplete);
    assert!(had_everything(&writer), "an outage takes nothing away");
    writer.rebuild(|_, _, _| true).unwrap();
    assert!(had_everything(&writer));
    writer.rebuild(|_, _, _| false).unwrap();
    writer.beat(incomplete);
    assert!(!had_everything(&writer), "somebody was left out");
}

/// Name of 10 bytes, gecos of 12, home of 16, shell of 9, three groups.
#[test]
fn a_table_takes_at_most_150_bytes_a_user() {
    for count in [100_000, 10_000] {
        let folder = folder();
        let path = folder.path().join("table");
        let mut writer = Writer::create(&path, Room::default()).unwrap();
        let all = |count: u32| (0..count).map(|n| user(&format!("user{n:06}"), 100_000 + n));
        for users in all(count).collect::<Vec<_>>().chunks(1000) {
            let mut change = writer.change();
            for (groups, user) in (1..).zip(users) {
                assert_eq!(user.home.as_str().len(), 16);
                let groups = gids(&[groups, 3000, 4000]);
                change.put(Fact::User(user, Some(&groups)), &keys(user), NEVER).unwrap();
            }
            change.commit().unwrap();
        }
        writer.publish().unwrap();
        let bytes = fs::metadata(&path).unwrap().len();
        assert!(bytes <= 150 * u64::from(count), "{count}: {bytes}");
        assert_eq!(writer.stats().users, count as usize);
        assert_eq!(names(folder.path()), ["table"]);
    }
}

#[test]
fn an_empty_folder_in_the_tables_place_makes_way() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("table");
    fs::create_dir(&path).unwrap();
    Writer::create(&path, Room::default()).unwrap().publish().unwrap();
    assert!(path.is_file());
}

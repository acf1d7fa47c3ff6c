use blake2::{Blake2s256, Digest};
use common::account::{Name, Shadow};

use super::super::hash::Hash;
use super::super::record::tests::record;
use super::*;

/// Of an entry with this UUID.
fn record_of(uuid: &str) -> Record {
    Record { uuid: Some(uuid.into()), ..record() }
}

/// A folder with room for a state folder in it.
fn place() -> (tempfile::TempDir, PathBuf) {
    let above = tempfile::tempdir().unwrap();
    let folder = above.path().join("state");
    (above, folder)
}

fn put(store: &mut Store, who: &str) {
    let record = record_of(who);
    let change = Change { put: Some(&record), seen: 7, ..Change::default() };
    store.commit(&change).unwrap();
}

fn kept(store: &mut Store) -> Vec<String> {
    store.all().unwrap().0.keys().map(ToString::to_string).collect()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o7777
}

#[test]
fn what_was_written_is_read_by_the_next_one() {
    let (_above, folder) = place();
    let mut store = Store::new(&folder);
    put(&mut store, "alice");
    drop(store);
    let (all, seen) = Store::new(&folder).all().unwrap();
    assert_eq!((all.get("alice"), seen), (Some(&record_of("alice")), 7));
}

#[test]
fn nothing_is_made_before_there_is_something_to_keep() {
    let (_above, folder) = place();
    let mut store = Store::new(&folder);
    assert!(kept(&mut store).is_empty());
    store.commit(&Change { remove: vec!["alice".into()], ..Change::default() }).unwrap();
    store.destroy().unwrap();
    assert!(!folder.exists());
}

#[test]
fn the_file_and_its_folder_are_the_daemons_alone() {
    let (_above, folder) = place();
    put(&mut Store::new(&folder), "alice");
    assert_eq!((mode(&folder), mode(&folder.join(FILE))), (0o700, 0o600));
}

#[test]
fn a_folder_that_others_can_enter_is_shut() {
    let (_above, folder) = place();
    fs::create_dir(&folder).unwrap();
    fs::set_permissions(&folder, Permissions::from_mode(0o755)).unwrap();
    put(&mut Store::new(&folder), "alice");
    assert_eq!(mode(&folder), 0o700);
}

#[test]
fn a_file_that_others_can_read_is_not_believed() {
    let (_above, folder) = place();
    put(&mut Store::new(&folder), "alice");
    fs::set_permissions(folder.join(FILE), Permissions::from_mode(0o640)).unwrap();
    assert!(kept(&mut Store::new(&folder)).is_empty());
    assert!(folder.join(ASIDE).exists());
}

/// Does something to a file.
type Spoil = fn(&Path);

/// Garbage, a cut file, zeros, a link and another program's database.
#[test]
fn a_file_that_is_not_ours_is_set_aside_and_begun_anew() {
    let spoil: [(&str, Spoil); 5] = [
        ("garbage", |path| fs::write(path, "precious".repeat(10_000)).unwrap()),
        ("cut", |path| {
            let file = OpenOptions::new().write(true).open(path).unwrap();
            file.set_len(file.metadata().unwrap().len() / 2).unwrap();
        }),
        ("zeros", |path| fs::write(path, vec![0; 100_000]).unwrap()),
        ("a link", |path| {
            fs::rename(path, path.with_extension("x")).unwrap();
            std::os::unix::fs::symlink(path.with_extension("x"), path).unwrap();
        }),
        ("another one's", |path| {
            fs::remove_file(path).unwrap();
            let database = Database::create(path).unwrap();
            let transaction = database.begin_write().unwrap();
            transaction.open_table(TableDefinition::<u64, u64>::new("other")).unwrap();
            transaction.commit().unwrap();
            fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
        }),
    ];
    for (what, spoil) in spoil {
        let (_above, folder) = place();
        put(&mut Store::new(&folder), "alice");
        spoil(&folder.join(FILE));
        let mut store = Store::new(&folder);
        assert!(kept(&mut store).is_empty(), "{what}");
        assert!(fs::symlink_metadata(folder.join(ASIDE)).is_ok(), "{what}");
        put(&mut store, "bob");
        assert_eq!(kept(&mut store), ["bob"], "{what}");
    }
}

/// Each byte of the first pages, and some of the others.
#[test]
fn whatever_is_changed_in_the_file_nothing_but_what_was_written_is_read() {
    let (_above, folder) = place();
    put(&mut Store::new(&folder), "alice");
    let path = folder.join(FILE);
    let good = fs::read(&path).unwrap();
    let whole = BTreeMap::from([("alice".into(), record_of("alice"))]);
    let step = (good.len() / 300).max(1);
    let (mut as_whole, mut as_empty) = (0, 0);
    for at in (0..200).chain((200..good.len()).step_by(step)) {
        let mut bad = good.clone();
        bad[at] ^= 0x5a;
        fs::write(&path, bad).unwrap();
        // It may have been made anew, after the last one was set aside.
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        let _ = fs::remove_file(folder.join(ASIDE));
        if let Ok((all, _)) = Store::new(&folder).all() {
            assert!(all.is_empty() || all == whole, "byte {at}");
            as_whole += u32::from(all == whole);
            as_empty += u32::from(all.is_empty());
        }
    }
    assert!(as_whole > 0, "some bytes are in no use");
    assert!(as_empty > 0, "some are");
}

#[test]
fn a_second_daemon_goes_without() {
    let (_above, folder) = place();
    let mut first = Store::new(&folder);
    put(&mut first, "alice");
    let mut second = Store::new(&folder);
    assert!(matches!(second.all(), Err(Trouble::InUse)));
    assert!(matches!(second.destroy(), Err(Trouble::InUse)));
    assert_eq!(kept(&mut first), ["alice"]);
    drop(first);
    assert_eq!(kept(&mut second), ["alice"]);
}

#[test]
fn nothing_is_left_of_what_was_destroyed() {
    let (_above, folder) = place();
    let mut store = Store::new(&folder);
    put(&mut store, "alice");
    fs::write(folder.join(ASIDE), "old").unwrap();
    store.destroy().unwrap();
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
    put(&mut store, "bob");
    assert_eq!(kept(&mut store), ["bob"]);
}

#[test]
fn it_stays_small() {
    let (_above, folder) = place();
    let mut store = Store::new(&folder);
    for _ in 0..50 {
        put(&mut store, "alice");
    }
    let size = fs::metadata(folder.join(FILE)).unwrap().len();
    assert!(size <= 4 << 20, "{size}");
}

fn write_version(folder: &Path, version: u64) {
    let database = Database::open(folder.join(FILE)).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(NUMBERS).unwrap().insert(VERSION_KEY, version).unwrap();
    transaction.commit().unwrap();
}

/// Its bytes could mean something else in this one's form.
#[test]
fn what_another_version_kept_is_removed_and_not_misread() {
    for version in [VERSION - 1, VERSION + 1] {
        let (_above, folder) = place();
        put(&mut Store::new(&folder), "alice");
        write_version(&folder, VERSION);
        assert_eq!(kept(&mut Store::new(&folder)), ["alice"], "its own number changes nothing");
        write_version(&folder, version);
        let mut store = Store::new(&folder);
        assert!(kept(&mut store).is_empty(), "{version}");
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 0, "no hash is left lying about");
        put(&mut store, "bob");
        assert_eq!(kept(&mut store), ["bob"]);
    }
}

/// A record with another form has these bytes no more: then [`VERSION`] has to be another one,
/// and so has what is expected here.
#[test]
fn the_form_of_a_record_is_the_one_of_its_number() {
    let shadow = Shadow {
        name: Name::parse("alice").unwrap(),
        last_change: Some(1),
        min: Some(2),
        max: Some(3),
        warn: Some(4),
        inactive: Some(5),
        expire: Some(6),
        flag: Some(7),
    };
    let (shadow, password_ends, hash) = (Some(shadow), Some(8), Hash::fixed());
    let record = Record { shadow, password_ends, hash, ..record_of("alice") };
    let bytes = postcard::to_allocvec(&record).unwrap();
    let digest = Blake2s256::digest(&bytes);
    let expected = [0x08, 0xbc, 0x6a, 0xf4, 0xd7, 0xba, 0xce, 0x94];
    assert_eq!((VERSION, &digest[..8]), (2, expected.as_slice()));
}

#[test]
fn a_record_with_something_behind_it_is_not_understood() {
    let mut bytes = postcard::to_allocvec(&record()).unwrap();
    assert_eq!(understand(&bytes), Some(record()));
    bytes.push(0);
    assert_eq!(understand(&bytes), None);
}

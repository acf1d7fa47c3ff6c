use super::super::record::tests::record;
use super::*;

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

/// A folder with room for a state folder in it.
fn place() -> (tempfile::TempDir, PathBuf) {
    let above = tempfile::tempdir().unwrap();
    let folder = above.path().join("state");
    (above, folder)
}

fn put(store: &mut Store, who: &str) {
    let (name, record) = (name(who), record());
    let change = Change { put: Some((&name, &record)), seen: 7, ..Change::default() };
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
    assert_eq!((all.get(&name("alice")), seen), (Some(&record()), 7));
}

#[test]
fn nothing_is_made_before_there_is_something_to_keep() {
    let (_above, folder) = place();
    let mut store = Store::new(&folder);
    assert!(kept(&mut store).is_empty());
    store.commit(&Change { remove: vec![name("alice")], ..Change::default() }).unwrap();
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
    let whole = BTreeMap::from([(name("alice"), record())]);
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

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;

use common::protocol::Map;
use proptest::prelude::*;

use super::super::population::tests::{cookie, group, rejected, user};
use super::*;

const ORIGIN: &str = "dc=x, read as RFC 2307";

fn population() -> Population {
    let mut population = Population::default();
    population.put_user(0, &user(1, &["alice", "ali"], 1001));
    population.put_user(1, &user(1, &["bob"], 1002));
    population.put_user(0, &rejected(2));
    population.put_group(0, &group(3, &["crew"], 2001, &["alice", "carl"]));
    population.put_group(0, &group(4, &[], 2002, &[]));
    population.put_group(0, &rejected(5));
    population.set_cookie(Map::Users, 0, Some(cookie("rid=000,csn=1")));
    population.set_cookie(Map::Groups, 0, Some(cookie("rid=000,csn=2")));
    population
}

/// All that a population would tell.
fn said(population: &Population) -> BTreeSet<String> {
    let mut said = BTreeSet::new();
    population.tell_cookies(|record| {
        said.insert(format!("{record:?}"));
    });
    let end =
        population.tell_entries(Place::default(), |record| said.insert(format!("{record:?}")));
    assert!(end.is_none(), "there is nothing twice");
    said
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn written() -> (tempfile::TempDir, PathBuf) {
    let folder = folder();
    let path = folder.path().join("replica");
    write(&path, ORIGIN, &population()).unwrap();
    (folder, path)
}

#[test]
fn what_was_written_is_read() {
    let (_folder, path) = written();
    let read = read(&path, ORIGIN, 100).unwrap();
    assert_eq!(said(&read), said(&population()));
    assert_eq!(said(&read).len(), 8);
    assert_eq!(read.counts(), population().counts());
}

#[test]
fn only_the_daemon_may_read_it() {
    let (_folder, path) = written();
    assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn one_that_others_can_write_to_is_of_no_use() {
    let (_folder, path) = written();
    for mode in [0o620, 0o602] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        assert!(matches!(read(&path, ORIGIN, 100), Err(Unusable::Exposed)), "{mode:o}");
    }
}

#[test]
fn one_of_somebody_else_is_of_no_use() {
    let (_folder, path) = written();
    // Only root can give it away.
    if std::os::unix::fs::chown(&path, Some(4711), None).is_ok() {
        assert!(matches!(read(&path, ORIGIN, 100), Err(Unusable::Exposed)));
    }
}

#[test]
fn of_two_that_are_written_at_the_same_time_the_later_one_counts() {
    let (folder, path) = written();
    let earlier = Output::create(&path, "earlier").unwrap();
    let later = Output::create(&path, ORIGIN).unwrap();
    later.finish().unwrap();
    earlier.finish().unwrap();
    assert!(read(&path, ORIGIN, 100).is_ok());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left behind");
}

#[test]
fn what_a_daemon_was_killed_over_is_removed() {
    let (folder, path) = written();
    fs::write(folder.path().join("replica.new7"), b"half").unwrap();
    remove_unfinished(&path);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    assert!(path.exists());
}

#[test]
fn it_counts_only_for_the_directories_that_it_is_of() {
    let (_folder, path) = written();
    assert!(matches!(read(&path, "dc=y", 100), Err(Unusable::Foreign)));
}

#[test]
fn more_entries_than_a_replica_may_have_are_too_many() {
    let (_folder, path) = written();
    assert!(matches!(read(&path, ORIGIN, 5), Err(Unusable::TooMany)));
    assert!(read(&path, ORIGIN, 6).is_ok());
}

#[test]
fn one_that_was_cut_anywhere_is_of_no_use() {
    let (_folder, path) = written();
    let whole = fs::read(&path).unwrap();
    for length in 0..whole.len() {
        fs::write(&path, &whole[..length]).unwrap();
        assert!(matches!(read(&path, ORIGIN, 100), Err(Unusable::Corrupt)), "{length} bytes");
    }
}

#[test]
fn one_with_any_bit_turned_over_is_of_no_use() {
    let (_folder, path) = written();
    let whole = fs::read(&path).unwrap();
    for at in 0..whole.len() * 8 {
        let mut wrong = whole.clone();
        wrong[at / 8] ^= 1 << (at % 8);
        fs::write(&path, &wrong).unwrap();
        assert!(read(&path, ORIGIN, 100).is_err(), "bit {at}");
    }
}

#[test]
fn one_with_something_behind_it_is_of_no_use() {
    let (_folder, path) = written();
    let mut bytes = fs::read(&path).unwrap();
    bytes.push(0);
    fs::write(&path, bytes).unwrap();
    assert!(matches!(read(&path, ORIGIN, 100), Err(Unusable::Corrupt)));
}

#[test]
fn a_length_beyond_the_end_takes_no_memory() {
    let (_folder, path) = written();
    fs::write(&path, [&MAGIC[..], &LONGEST.to_le_bytes(), b"short"].concat()).unwrap();
    assert!(matches!(read(&path, ORIGIN, 100), Err(Unusable::Corrupt)));
}

#[test]
fn a_link_and_a_pipe_are_not_read() {
    let (folder, path) = written();
    let link = folder.path().join("link");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    assert!(matches!(read(&link, ORIGIN, 100), Err(Unusable::Io(_))));
    let pipe = folder.path().join("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRUSR).unwrap();
    assert!(matches!(read(&pipe, ORIGIN, 100), Err(Unusable::Corrupt)));
}

#[test]
fn one_that_is_not_finished_leaves_the_one_before() {
    let (folder, path) = written();
    let mut output = Output::create(&path, ORIGIN).unwrap();
    output.write(&Piece::default()).unwrap();
    drop(output);
    assert!(read(&path, ORIGIN, 100).is_ok());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left behind");
}

#[test]
fn what_changes_while_it_is_written_does_no_harm() {
    let mut population = population();
    let mut piece = Piece::default();
    population.tell_cookies(|record| {
        piece.add(record);
    });
    let mut next = Some(Place::default());
    let mut step = 0;
    while let Some(place) = next {
        next = population.tell_entries(place, |record| {
            piece.add(record);
            false
        });
        // A user goes, and another one takes its place, which was told already.
        population.begin(Map::Users, 0);
        population.finish(Map::Users, 0);
        population.put_user(0, &user(10 + step, &["dora"], 1004));
        step += 1;
    }
    let folder = folder();
    let path = folder.path().join("replica");
    let mut output = Output::create(&path, ORIGIN).unwrap();
    output.write(&piece).unwrap();
    output.finish().unwrap();
    let read = read(&path, ORIGIN, 100).unwrap();
    assert!(read.cookie(Map::Users, 0).is_some());
}

#[test]
fn a_name_that_is_none_is_not_taken_in() {
    let mut population = Population::default();
    let (directory, id, stamp, gid, listed) = (0, 1, 1, 2001, 0);
    let members = "good\0ba:d\0".into();
    let record = Record::Group { directory, id, stamp, facts: &[], gid, listed, members };
    assert!(population.take(record).is_err());
    let noise = Record::User { directory, id, stamp, facts: &[255; 7] };
    assert!(population.take(noise).is_err());
}

proptest! {
    #[test]
    fn noise_is_of_no_use(noise in prop::collection::vec(any::<u8>(), 0..200)) {
        let folder = folder();
        let path = folder.path().join("replica");
        let origin = u32::try_from(ORIGIN.len()).unwrap().to_le_bytes();
        fs::write(&path, [&MAGIC[..], &origin, ORIGIN.as_bytes(), &noise].concat()).unwrap();
        prop_assert!(read(&path, ORIGIN, 100).is_err());
    }
}

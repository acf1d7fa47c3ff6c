//! What programs do to their process, besides what they do to descriptors.

use std::ffi::{CString, c_int};
use std::fs;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use crate::nss::{self, Answer};
use crate::process;

/// Whether this is a process that the signal handler made.
static CHILD: AtomicBool = AtomicBool::new(false);
/// How many it has made.
static FORKS: AtomicU32 = AtomicU32::new(0);

/// How often a signal forks the process, in microseconds.
const FORK_INTERVAL: i64 = 700;
const LOOKUPS_OF_A_CHILD: u32 = 50;

/// Forks at random instructions of lookups, this many times. The child goes on where
/// the parent was, so both sides end the same lookup.
pub(crate) fn fork_within_lookups(count: u32) -> String {
    let expected = (nss::user("alice"), nss::user_by_id(10_002));
    process::on_alarm(fork_in_handler, FORK_INTERVAL);
    let (mut left, mut reaped, mut failures) = (LOOKUPS_OF_A_CHILD, 0, 0);
    loop {
        let right = (nss::user("alice"), nss::user_by_id(10_002)) == expected;
        if CHILD.load(Ordering::Relaxed) {
            left -= 1;
            if !right || left == 0 {
                process::exit_now(c_int::from(!right));
            }
            continue;
        }
        if !right {
            return "the parent was answered wrongly".into();
        }
        let forks = FORKS.load(Ordering::Relaxed);
        if forks >= count {
            process::no_alarm();
        }
        while let Some(status) = process::ended_child(forks >= count && reaped < forks) {
            reaped += 1;
            failures += u32::from(status != 0);
        }
        if forks >= count && reaped == FORKS.load(Ordering::Relaxed) {
            return if failures == 0 { "right".into() } else { format!("{failures} failures") };
        }
    }
}

extern "C" fn fork_in_handler(_: c_int) {
    match process::fork_quietly() {
        0 => CHILD.store(true, Ordering::Relaxed),
        1.. => {
            FORKS.fetch_add(1, Ordering::Relaxed);
        }
        // No room for another process just now.
        _ => {}
    }
}

/// Looks up this often and says nothing; a signpost for strace(1) before and after it.
pub(crate) fn warm(lookup: &str, times: u32) -> String {
    let (verb, word) = lookup.split_once(' ').expect("a lookup");
    let name = CString::new(word).expect("no NUL in it");
    let id = || word.parse().expect("a number");
    let mut gids = [0; 64];
    let mut look = || -> Answer {
        match verb {
            "user" => nss::user(word),
            "uid" => nss::user_by_id(id()),
            "group" => nss::group(word),
            "gid" => nss::group_by_id(id()),
            "groups" => Ok(Some(nss::count_groups(&name, &mut gids).to_string())),
            other => panic!("no such lookup: {other:?}"),
        }
    };
    let first = look();
    // Rust's library tries out a system call at the first time.
    let _ = fs::exists("/signpost");
    let _ = fs::exists(format!("/signpost/begin/{verb}"));
    let start = std::time::Instant::now();
    let same = (0..times).all(|_| look() == first);
    let took = start.elapsed();
    let _ = fs::exists(format!("/signpost/end/{verb}"));
    format!("{same} {}", took.as_millis())
}

/// How many mappings of the table the process has, how many of them of a file that
/// is gone, and how many descriptors of it are open.
pub(crate) fn table_use() -> String {
    let maps = fs::read_to_string("/proc/self/maps").expect("/proc is mounted");
    let of_table = maps.lines().filter(|line| line.contains("/rollcall/table"));
    let (count, gone) = of_table.fold((0, 0), |(count, gone), line| {
        (count + 1, gone + u32::from(line.ends_with("(deleted)")))
    });
    let links = fs::read_dir("/proc/self/fd").expect("/proc is mounted");
    let open = links
        .filter_map(|link| fs::read_link(link.ok()?.path()).ok())
        .filter(|path| path.to_string_lossy().contains("/rollcall/table"))
        .count();
    format!("maps={count} gone={gone} open={open}")
}

//! Many threads at once. User `uN` has the uid 11000+N.

use std::collections::HashSet;
use std::sync::Barrier;
use std::thread;

use crate::nss;

const FIRST_UID: u32 = 11_000;
const ROUNDS: usize = 20;

/// Each thread looks up a user of its own, by name and by id.
pub(crate) fn look_up(count: u32) -> String {
    in_threads(count, |n| {
        let uid = FIRST_UID + n;
        let start = format!("u{n}:{uid}:");
        for _ in 0..ROUNDS {
            for answer in [nss::user(&format!("u{n}")), nss::user_by_id(uid)] {
                match answer {
                    Ok(Some(line)) if line.starts_with(&start) => {}
                    other => return format!("thread {n} got {other:?}"),
                }
            }
        }
        "right".into()
    })
}

/// All threads enumerate. glibc has one enumeration for all of them, which ends
/// for all when it ends for one; nobody gets an entry that is none, or one twice.
pub(crate) fn enumerate(count: u32) -> String {
    nss::begin();
    in_threads(count, |n| {
        let mut seen = HashSet::new();
        while let Ok(line) = nss::next_user() {
            let mut fields = line.split(':');
            let (name, uid) = (fields.next().unwrap_or_default(), fields.next());
            let number = name.strip_prefix('u').and_then(|n| n.parse::<u32>().ok());
            if let Some(number) = number
                && (uid != Some(&(FIRST_UID + number).to_string()) || !seen.insert(number))
            {
                return format!("thread {n} got {line}");
            }
        }
        "right".into()
    })
}

/// "right" if all threads say so, else what one of the others says.
fn in_threads(count: u32, work: impl Fn(u32) -> String + Sync) -> String {
    let barrier = Barrier::new(count as usize);
    let (barrier, work) = (&barrier, &work);
    thread::scope(|scope| {
        let threads: Vec<_> = (0..count)
            .map(|n| {
                scope.spawn(move || {
                    barrier.wait();
                    work(n)
                })
            })
            .collect();
        let said = threads.into_iter().map(|t| t.join().expect("the thread didn't panic"));
        said.reduce(|a, b| if a == "right" { b } else { a }).unwrap_or_default()
    })
}

//! Any bytes as a table; see `fuzz/README.md`.

#![no_main]

use std::mem::MaybeUninit;
use std::sync::atomic::AtomicU64;

use common::account::Gid;
use common::table::layout::{HEADER_WORDS, MAGIC, VERSION, header};
use common::table::{Answer, Found, Gids, GroupRecord, NEVER, Now, Table, UserRecord};
use libfuzzer_sys::fuzz_target;

/// Slots of the index of a table with a good header.
const SLOTS: usize = 16;

fuzz_target!(|data: &[u8]| {
    let (chunks, _) = data.as_chunks::<8>();
    let words: Vec<AtomicU64> = chunks.iter().map(|c| u64::from_ne_bytes(*c).into()).collect();
    read_everything(&words);

    // A fuzzer needs long to find a good header, so here is one before the same bytes.
    let mut good = vec![0; HEADER_WORDS];
    good.extend(chunks.iter().map(|chunk| u64::from_ne_bytes(*chunk)));
    good.resize(good.len().max(HEADER_WORDS + SLOTS), 0);
    for (at, word) in [
        (header::MAGIC, MAGIC),
        (header::VERSION, VERSION),
        (header::WORDS, good.len() as u64),
        (header::INDEX, HEADER_WORDS as u64),
        (header::SLOTS, SLOTS as u64),
        (header::ALIVE_UNTIL, 2000),
        (header::COMPLETE_UNTIL, u64::from(data.len() % 2 == 0) * 2000),
        (header::CHANGE, 5),
        (header::HEARD, 1),
        (header::MAX_STALE, u64::from(NEVER)),
    ] {
        good[at] = word;
    }
    let words: Vec<AtomicU64> = good.into_iter().map(AtomicU64::new).collect();
    read_everything(&words);
});

fn read_everything(words: &[AtomicU64]) {
    let Some(table) = Table::new(words) else { return };
    table.entries(|key, found, _| {
        match found {
            Found::User(user) => read_user(&user),
            Found::Group(group) => read_group(&group),
            Found::Gids(gids) => read_gids(gids),
            Found::Absent => {}
        }
        // The keys of the file itself lead further than guessed ones.
        for view in [table.fresh(Now(1000)), table.timeless()].into_iter().flatten() {
            let _ = view.look(key);
        }
    });
    for view in [table.fresh(Now(1000)), table.of_any_age(1)].into_iter().flatten() {
        for (name, id) in [(&b"alice"[..], 1000), (b"", 0), (b"root", 65534)] {
            for found in [view.user_by_name(name), view.user_by_id(id)] {
                if let Answer::Found(user) = found {
                    read_user(&user);
                }
            }
            for found in [view.group_by_name(name), view.group_by_id(id)] {
                if let Answer::Found(group) = found {
                    read_group(&group);
                }
            }
            if let Answer::Found(gids) = view.groups_of(name) {
                read_gids(gids);
            }
        }
        let mut slot = 0;
        while let Some((user, next)) = view.next_user(slot) {
            assert!(next > slot);
            read_user(&user);
            slot = next;
        }
        slot = 0;
        while let Some((group, next)) = view.next_group(slot) {
            assert!(next > slot);
            read_group(&group);
            slot = next;
        }
    }
}

fn read_gids(gids: Gids<'_>) {
    for id in gids.iter() {
        assert!(Gid::new(id).is_ok(), "a reserved id came out: {id}");
    }
}

fn read_user(user: &UserRecord<'_>) {
    assert!(Gid::new(user.uid).is_ok() && Gid::new(user.gid).is_ok(), "a reserved id came out");
    let mut text = vec![MaybeUninit::new(0xff); user.text_bytes()];
    if user.copy_text(&mut text).is_ok() {
        let [gecos, home, shell] = user.starts();
        for start in [0, user.lengths[0] + 1, gecos, home, shell] {
            ends(&text, start);
        }
    }
    let _ = user.to_user();
    user.gids().into_iter().for_each(read_gids);
}

fn read_group(group: &GroupRecord<'_>) {
    assert!(Gid::new(group.gid).is_ok(), "a reserved id came out");
    let mut text = vec![MaybeUninit::new(0xff); group.text_bytes()];
    if group.copy_text(&mut text).is_ok() {
        ends(&text, 0);
        ends(&text, group.name_length + 1);
        ends(&text, text.len() - 1);
    }
    let _ = (group.to_group(), group.member_lengths());
}

/// The string that begins there has an end.
fn ends(text: &[MaybeUninit<u8>], start: usize) {
    // SAFETY: all of it was written when the buffer was made.
    let is_nul = |byte: &MaybeUninit<u8>| unsafe { byte.assume_init() } == 0;
    assert!(text[start..].iter().any(is_nul), "a string without its end");
}

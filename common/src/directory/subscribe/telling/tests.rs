use super::*;

const ALICE: EntryId = EntryId(0x6ba7_b810_9dad_11d1_80b4_00c0_4fd4_30c8);

fn said(what: What) -> Said {
    Said { what, cookie: None }
}

fn alice() -> What {
    let id: &[(&str, &[&str])] = &[("entryUUID", &["6ba7b810-9dad-11d1-80b4-00c04fd430c8"])];
    What::Entry(ALICE.0, Entry::of("uid=alice", id))
}

fn ids(whole: &[u128], cut: bool) -> Ids {
    Ids { whole: whole.to_vec(), cut }
}

fn done(present: bool) -> What {
    What::PhaseEnds { present, done: true }
}

fn read(_: &Entry, seen: Seen) -> (Read<()>, usize) {
    (Read { seen, entry: None }, 1)
}

/// What is told of this, in short.
fn told(resumed: bool, all: Vec<Said>) -> (Telling<()>, String) {
    let mut telling = Telling::new(resumed, None);
    for said in all {
        telling.hear(said, read).unwrap();
    }
    let text = text(&telling.batch());
    (telling, text)
}

fn text(batch: &[News<()>]) -> String {
    let text = batch.iter().map(|news| match news {
        News::Entry(_) => "entry".into(),
        News::Present(ids) => format!("present {}", ids.len()),
        News::Gone(ids) => format!("gone {}", ids.len()),
        News::PresentEnds => "present-ends".into(),
        News::Refreshed => "refreshed".into(),
        News::Cookie(Cookie { bytes, .. }) => String::from_utf8_lossy(bytes).into_owned(),
    });
    text.collect::<Vec<_>>().join(", ")
}

#[test]
fn a_refresh_without_a_cookie_tells_everything_even_if_the_server_does_not_say_so() {
    let (_, text) = told(false, vec![said(alice()), said(done(false))]);
    assert_eq!(text, "entry, present-ends, refreshed");
}

#[test]
fn a_refresh_from_a_cookie_tells_everything_only_if_the_server_says_so() {
    let (_, text) = told(true, vec![said(alice()), said(done(false))]);
    assert_eq!(text, "entry, refreshed");
    let present = said(What::Present(ids(&[1, 2], false)));
    let (_, text) = told(true, vec![present, said(alice()), said(done(true))]);
    assert_eq!(text, "present 2, entry, present-ends, refreshed");
}

#[test]
fn a_cookie_counts_only_when_the_refresh_has_ended() {
    let early = Said { what: What::Gone(ids(&[1], false)), cookie: Some(b"early".to_vec()) };
    let (mut telling, text_before) = told(true, vec![early, said(alice())]);
    assert_eq!(text_before, "gone 1, entry");
    telling.hear(said(done(false)), read).unwrap();
    assert_eq!(text(&telling.batch()), "refreshed, early");
}

#[test]
fn an_empty_cookie_is_none() {
    let empty = Said { what: done(false), cookie: Some(Vec::new()) };
    assert_eq!(told(true, vec![empty]).1, "refreshed");
}

#[test]
fn where_ids_were_cut_off_the_refresh_ends_after_those_that_are_there() {
    let gone = said(What::Gone(ids(&[1], true)));
    let (mut telling, before) = told(true, vec![gone, said(done(false))]);
    assert_eq!((before.as_str(), telling.owes_ids()), ("gone 1", true));
    telling.ids_are_told();
    assert_eq!(text(&telling.batch()), "present-ends, refreshed");
    assert!(!telling.owes_ids());
    let late = telling.hear(said(What::Gone(ids(&[], true))), read);
    assert!(matches!(late, Err(SubscribeError::Failed(_))));
}

#[test]
fn an_entry_whose_id_the_reader_cannot_see_is_of_no_use() {
    for attributes in [&[][..], &[("entryUUID", &["00000000-0000-0000-0000-000000000001"][..])]] {
        let what = What::Entry(ALICE.0, Entry::of("uid=alice", attributes));
        let heard = Telling::<()>::new(false, None).hear(said(what), read);
        assert!(matches!(heard, Err(SubscribeError::Unsupported(_))));
    }
}

#[test]
fn an_entry_from_a_cookie_on_may_leave_out_its_id_but_not_have_another() {
    let hear = |attributes: &[(&str, &[&str])]| {
        let what = What::Entry(ALICE.0, Entry::of("uid=alice", attributes));
        Telling::<()>::new(true, None).hear(said(what), read)
    };
    assert_eq!(hear(&[]), Ok(()));
    assert!(hear(&[("nsUniqueId", &["00000000-00000000-00000000-00000001"])]).is_err());
}

#[test]
fn nothing_but_references_is_not_the_same_as_nothing() {
    let mut telling = Telling::<()>::new(false, None);
    telling.hear(said(What::Reference), read).unwrap();
    assert!(telling.hear(said(done(false)), read).is_err());
    assert_eq!(told(false, vec![said(done(false))]).1, "present-ends, refreshed");
}

#[test]
fn the_end_says_whether_to_try_again_to_read_again_or_to_poll() {
    let why = |resumed, refreshed, code| {
        let mut telling = Telling::<()>::new(resumed, None);
        telling.refreshed = refreshed;
        match telling.why(Ended::Result(code, String::new())) {
            SubscribeError::Unsupported(_) => "poll",
            SubscribeError::RefreshRequired => "read again",
            SubscribeError::Failed(_) => "try again",
        }
    };
    assert_eq!(why(true, false, 4096), "read again");
    assert_eq!(why(true, true, 4096), "read again");
    assert_eq!(why(true, false, 53), "read again");
    for code in [0, 2, 4, 11, 12, 50, 53] {
        assert_eq!(why(false, false, code), "poll", "{code}");
        assert_eq!(why(false, true, code), "try again", "{code}");
    }
    for code in [32, 51, 52, 80] {
        assert_eq!(why(false, false, code), "try again", "{code}");
    }
}

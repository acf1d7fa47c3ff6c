//! What a subscription tells.

use common::directory::subscribe::News;
use proptest::prelude::*;
use proptest::sample::Index;

use super::super::{Kind, NewsError};
use super::*;

const NAMES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

fn ids(ids: &[u128]) -> Vec<EntryId> {
    ids.iter().map(|id| EntryId(*id)).collect()
}

/// Three users, all of them published and followed from the cookie "1" on.
fn three() -> Kept {
    let names = (0_u128..).zip(["a", "b", "c"]).zip(1001..);
    let kept = names
        .fold(Kept::default(), |kept, ((id, name), uid)| kept.user(0, &user(id, &[name], uid)));
    let mut kept = kept.published();
    kept.population.set_cookie(Map::Users, 0, Some(cookie("1")));
    assert_eq!(kept.population.begin_to_hear(Map::Users, 0), Some(cookie("1")));
    kept
}

fn hear(kept: &mut Kept, news: Vec<News<UserEntry>>) -> Result<bool, NewsError> {
    kept.population.hear(0, news)
}

#[test]
fn who_was_not_named_in_the_present_phase_is_gone_at_its_end() {
    let mut kept = three();
    hear(&mut kept, vec![News::Present(ids(&[0])), News::Entry(user(1, &["x"], 1001))]).unwrap();
    kept.publish();
    assert!(kept.says("user c").is_some());
    assert_eq!(hear(&mut kept, vec![News::PresentEnds, News::Refreshed]), Ok(true));
    kept.publish();
    assert_eq!(kept.says("user c"), None);
    assert_eq!(kept.says("user b"), None, "it has another name");
    assert!(kept.says("user a").is_some() && kept.says("user x").is_some());
}

#[test]
fn who_was_not_named_in_the_delete_phase_is_still_there() {
    let mut kept = three();
    assert_eq!(hear(&mut kept, vec![News::Gone(ids(&[2, 7])), News::Refreshed]), Ok(true));
    kept.publish();
    assert_eq!(kept.says("user c"), None);
    assert!(kept.says("user a").is_some() && kept.says("user b").is_some());
}

/// More users than may vanish, followed from the cookie "1" on.
fn many() -> Kept {
    let kept = (0..120_u32).fold(Kept::default(), |kept, number| {
        kept.user(0, &user(number.into(), &[&format!("u{number}")], 1001 + number))
    });
    let mut kept = kept.published();
    kept.population.set_cookie(Map::Users, 0, Some(cookie("1")));
    kept.population.begin_to_hear(Map::Users, 0);
    kept
}

#[test]
fn a_refresh_that_names_most_as_gone_is_not_believed_nor_is_its_cookie() {
    let mut kept = many();
    let batch = |range: std::ops::Range<u128>| News::Gone(range.map(EntryId).collect());
    hear(&mut kept, vec![batch(0..50), News::Cookie(cookie("2"))]).unwrap();
    let heard = hear(&mut kept, vec![batch(50..61), News::Refreshed]);
    assert!(matches!(heard, Err(NewsError::Vanished(_))), "{heard:?}");
    kept.population.end_to_hear(Map::Users, 0);
    assert_eq!(kept.population.counts().0, 120, "nobody has gone");
    assert_eq!(kept.population.cookie(Map::Users, 0), Some(&cookie("1")));
}

#[test]
fn a_refresh_that_names_half_as_gone_is_believed() {
    let mut kept = many();
    let gone = News::Gone((0..60).map(EntryId).collect());
    assert_eq!(hear(&mut kept, vec![gone, News::Refreshed]), Ok(true));
    assert_eq!(kept.population.counts().0, 60);
}

#[test]
fn who_has_come_back_in_the_same_refresh_is_there() {
    let mut kept = three();
    let news = [News::Gone(ids(&[2])), News::Entry(user(2, &["c"], 1003)), News::Refreshed];
    hear(&mut kept, news.into()).unwrap();
    kept.publish();
    assert!(kept.says("user c").is_some());
}

#[test]
fn without_a_cookie_what_was_not_told_is_gone() {
    let mut kept = three();
    kept.population.set_cookie(Map::Users, 0, None);
    assert_eq!(kept.population.begin_to_hear(Map::Users, 0), None);
    hear(&mut kept, vec![News::Entry(user(0, &["a"], 1001)), News::Refreshed]).unwrap();
    kept.publish();
    assert!(kept.says("user a").is_some());
    assert_eq!(kept.says("user b"), None);
}

#[test]
fn a_cookie_in_a_refresh_counts_only_when_that_has_ended() {
    let mut kept = three();
    hear(&mut kept, vec![News::Present(ids(&[0, 1])), News::Cookie(cookie("2"))]).unwrap();
    assert_eq!(kept.population.cookie(Map::Users, 0), Some(&cookie("1")));
    hear(&mut kept, vec![News::PresentEnds, News::Refreshed]).unwrap();
    assert_eq!(kept.population.cookie(Map::Users, 0), Some(&cookie("2")));
    hear(&mut kept, vec![News::Cookie(cookie("3"))]).unwrap();
    assert_eq!(kept.population.cookie(Map::Users, 0), Some(&cookie("3")));
    assert_eq!(kept.population.cookie(Map::Groups, 0), None, "each map has its own");
}

#[test]
fn what_was_announced_counts_until_it_has_come_or_is_gone() {
    let mut kept = three();
    hear(&mut kept, vec![News::Present(ids(&[0, 1, 2, 7, 8]))]).unwrap();
    assert_eq!(kept.population.promised(), 2);
    hear(&mut kept, vec![News::Entry(user(7, &["x"], 1007)), News::Gone(ids(&[8, 9]))]).unwrap();
    assert_eq!(kept.population.promised(), 0);
    assert_eq!(hear(&mut kept, vec![News::Refreshed]), Ok(true));
    assert_eq!(kept.population.counts().0, 4);
}

#[test]
fn half_of_a_refresh_is_held_but_not_for_ever() {
    let mut kept = three();
    let now = std::time::Instant::now();
    assert!(kept.population.is_held(now));
    assert!(!kept.population.is_held(now + std::time::Duration::from_secs(61)));
    hear(&mut kept, vec![News::Refreshed]).unwrap();
    assert!(!kept.population.is_held(now));
    kept.population.begin_to_hear(Map::Users, 0);
    kept.population.end_to_hear(Map::Users, 0);
    assert!(!kept.population.is_held(now), "nothing more comes");
}

#[test]
fn an_entry_that_is_called_present_and_does_not_come_is_told() {
    for end in [News::PresentEnds, News::Refreshed] {
        let mut kept = three();
        assert_eq!(hear(&mut kept, vec![News::Present(ids(&[0, 9]))]), Ok(false));
        assert_eq!(hear(&mut kept, vec![end]), Err(NewsError::Unknown));
    }
    let mut kept = three();
    hear(&mut kept, vec![News::Refreshed]).unwrap();
    let late = hear(&mut kept, vec![News::Present(ids(&[9]))]);
    assert_eq!(late, Err(NewsError::Unknown), "there is no end to wait for");
}

#[test]
fn an_entry_may_be_called_present_before_it_comes() {
    let mut kept = three();
    hear(&mut kept, vec![News::Present(ids(&[0, 1, 2, 9]))]).unwrap();
    let come = vec![News::Entry(user(9, &["new"], 1009)), News::PresentEnds, News::Refreshed];
    assert_eq!(hear(&mut kept, come), Ok(true));
    kept.publish();
    assert!(kept.says("user new").is_some());
    assert!(kept.says("user c").is_some());
}

#[test]
fn a_map_does_not_vanish_by_what_a_present_phase_leaves_out() {
    let fill = |kept: Kept, ids: std::ops::Range<u32>| {
        ids.fold(kept, |kept, n| kept.user(0, &user(n.into(), &[&format!("u{n}")], 1001 + n)))
    };
    let mut kept = fill(Kept::default(), 0..200);
    kept.population.begin_to_hear(Map::Users, 0);
    let vanished = hear(&mut kept, vec![News::PresentEnds]);
    assert!(matches!(vanished, Err(NewsError::Vanished(balance)) if balance.before == 200));
    assert_eq!(kept.population.counts().0, 200);

    // The same people with other ids, but for a few: the server was built anew.
    kept.population.begin_to_hear(Map::Users, 0);
    let anew =
        (0..190).map(|n| News::Entry(user((1000 + n).into(), &[&format!("u{n}")], 1001 + n)));
    hear(&mut kept, anew.chain([News::PresentEnds]).collect()).unwrap();
    assert_eq!(kept.population.counts().0, 190);
}

/// What a server holds of a map: for each id the version of its entry.
type Content = BTreeMap<u128, usize>;

/// A change of the content: an entry is there in this version, or isn't.
type Edit = (u128, Option<usize>);

/// A way to tell what has happened since a cookie, as a server may do it.
#[derive(Debug, Clone)]
struct Telling {
    way: u8,
    order: Vec<Index>,
    /// So much of it comes, and then the connection breaks.
    cut: Option<Index>,
}

fn telling() -> impl Strategy<Value = Telling> {
    let order = prop::collection::vec(any::<Index>(), 12);
    (0..4_u8, order, prop::option::of(any::<Index>())).prop_map(|(way, order, cut)| Telling {
        way,
        order,
        cut,
    })
}

fn edits() -> impl Strategy<Value = Vec<Edit>> {
    prop::collection::vec((0..6_u128, prop::option::of(0..36_usize)), 0..8)
}

trait Versions: Kind {
    fn version(id: u128, version: usize) -> Read<Self>;
}

impl Versions for UserEntry {
    fn version(id: u128, version: usize) -> Read<Self> {
        let uid = 1001 + u32::try_from(version / 6 % 3).unwrap();
        if version == 35 { rejected(id) } else { user(id, &[NAMES[version % 6]], uid) }
    }
}

impl Versions for GroupEntry {
    fn version(id: u128, version: usize) -> Read<Self> {
        let gid = 2001 + u32::try_from(version % 3).unwrap();
        let members = [NAMES[version % 6], NAMES[version / 6]];
        group(id, &[NAMES[(version + 1) % 6]], gid, &members)
    }
}

/// All that a refresh tells, in an order that RFC 4533 allows.
fn refresh<E: Versions>(before: &Content, now: &Content, telling: &Telling) -> Vec<News<E>> {
    let mut news = Vec::new();
    let entry = |(id, version): (&u128, &usize)| News::Entry(E::version(*id, *version));
    let is_new = |(id, version): &(&u128, &usize)| before.get(id) != Some(version);
    let has_phase = match telling.way {
        // Everything, as if there were no cookie.
        0 => {
            news.extend(now.iter().map(entry));
            true
        }
        // The present phase; an entry may be told although it is as it was.
        1 => {
            news.extend(now.iter().filter(is_new).map(entry));
            let same = now.iter().filter(|at| !is_new(at)).map(|(id, _)| *id);
            news.extend(same.map(|id| News::Present(ids(&[id]))));
            true
        }
        // The delete phase, one by one or all at once.
        2 => {
            news.extend(now.iter().filter(is_new).map(entry));
            let gone = before.keys().filter(|id| !now.contains_key(id));
            news.extend(gone.map(|id| News::Gone(ids(&[*id]))));
            false
        }
        _ => {
            news.extend(now.iter().filter(is_new).map(entry));
            // Also those that came and went meanwhile.
            let gone: Vec<u128> = (0..6).filter(|id| !now.contains_key(id)).collect();
            news.push(News::Gone(ids(&gone)));
            false
        }
    };
    let length = news.len();
    for (at, index) in telling.order.iter().enumerate().take(length) {
        news.swap(at, index.index(length));
    }
    if has_phase {
        news.push(News::PresentEnds);
    }
    news.extend([News::Cookie(cookie("now")), News::Refreshed]);
    if let Some(cut) = &telling.cut {
        // Without its end: else it would be a whole one.
        news.truncate(cut.index(news.len()));
    }
    news
}

fn apply(content: &mut Content, (id, version): Edit) {
    match version {
        Some(version) => drop(content.insert(id, version)),
        None => drop(content.remove(&id)),
    }
}

fn live<E: Versions>((id, version): Edit) -> News<E> {
    match version {
        Some(version) => News::Entry(E::version(id, version)),
        None => News::Gone(ids(&[id])),
    }
}

/// Follows a server's map through breaks and restarts, and ends with what it holds.
fn follow<E: Versions>(
    kept: &mut Kept,
    content: &mut Content,
    rounds: &[(Vec<Edit>, Telling, Vec<Edit>)],
) {
    let mut known = content.clone();
    for (missed, telling, told) in rounds {
        for edit in missed {
            apply(content, *edit);
        }
        let whole = Telling { cut: None, ..telling.clone() };
        for telling in [telling, &whole] {
            kept.population.begin_to_hear(E::MAP, 0);
            let news = refresh::<E>(&known, content, telling);
            kept.population.hear(0, news).unwrap();
            kept.population.end_to_hear(E::MAP, 0);
            kept.publish();
        }
        for edit in told {
            apply(content, *edit);
            kept.population.hear(0, [live::<E>(*edit)]).unwrap();
        }
        known.clone_from(content);
        kept.publish();
    }
}

/// What is said by a population that has just been loaded.
fn loaded(users: &Content, groups: &Content) -> Said {
    let kept = users.iter().fold(Kept::default(), |kept, (id, version)| {
        kept.user(0, &UserEntry::version(*id, *version))
    });
    let kept = groups
        .iter()
        .fold(kept, |kept, (id, version)| kept.group(0, &GroupEntry::version(*id, *version)));
    kept.published().said
}

fn rounds() -> impl Strategy<Value = Vec<(Vec<Edit>, Telling, Vec<Edit>)>> {
    prop::collection::vec((edits(), telling(), edits()), 1..4)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn whatever_a_server_tells_ends_in_what_it_holds(
        first in (edits(), edits()),
        users in rounds(),
        groups in rounds(),
    ) {
        let (mut user_content, mut group_content) = (Content::new(), Content::new());
        first.0.into_iter().for_each(|edit| apply(&mut user_content, edit));
        first.1.into_iter().for_each(|edit| apply(&mut group_content, edit));
        let kept = user_content.iter().fold(Kept::default(), |kept, (id, version)| {
            kept.user(0, &UserEntry::version(*id, *version))
        });
        let mut kept = group_content.iter().fold(kept, |kept, (id, version)| {
            kept.group(0, &GroupEntry::version(*id, *version))
        });
        for map in [Map::Users, Map::Groups] {
            kept.population.set_cookie(map, 0, Some(cookie("0")));
        }
        kept.publish();
        follow::<UserEntry>(&mut kept, &mut user_content, &users);
        follow::<GroupEntry>(&mut kept, &mut group_content, &groups);
        let expected = loaded(&user_content, &group_content);
        prop_assert_eq!(&kept.said.facts, &expected.facts);
    }
}

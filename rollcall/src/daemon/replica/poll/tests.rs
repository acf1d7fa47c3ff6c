use common::directory::sync::Stamp;

use super::*;

const LONGEST: Duration = Duration::from_secs(300);

fn seen(stamp: u64, modified: &str) -> Seen {
    Seen { id: EntryId(1), stamp: Stamp(stamp), modified: Moment::parse(modified) }
}

#[test]
fn an_entry_counts_as_come_only_in_the_state_that_was_seen_or_a_later_one() {
    let came = |seen: Seen| HashMap::from([(seen.id, seen)]);
    let known = seen(1, "20260101000001Z");
    assert!(has_come(&came(known), &known));
    assert!(has_come(&came(seen(2, "20260101000002Z")), &known));
    assert!(!has_come(&came(seen(2, "20260101000000Z")), &known), "an older state");
    assert!(!has_come(&came(seen(2, "20260101000001Z")), &known), "nobody knows");
    assert!(!has_come(&HashMap::new(), &known));
}

#[test]
fn a_dear_reading_never_waits_longer_than_the_longest_pause() {
    let ended = Instant::now().checked_sub(LONGEST).unwrap();
    let pause = Pause(Some((ended, Duration::from_secs(100))));
    assert!(pause.is_over(PAUSE, LONGEST));
    assert!(!pause.is_over(PAUSE, LONGEST * 2));
}

#[test]
fn the_ids_are_compared_no_sooner_than_what_it_took_allows() {
    let mut readings = DirectoryReadings::default();
    assert_eq!(readings.rest(LONGEST), Duration::ZERO, "they never were");
    readings.have_looked(Instant::now().checked_sub(Duration::from_secs(1)).unwrap());
    let rest = readings.rest(LONGEST);
    assert!(rest > Duration::from_secs(150) && rest <= LONGEST, "{rest:?}");
    assert!(readings.rest(Duration::from_secs(5)) <= Duration::from_secs(5));
}

#[test]
fn a_reading_that_lost_most_stays_refused_however_often_it_is_tried_again() {
    let mut reading = Reading::default();
    let now = Instant::now();
    for _ in 0..5 {
        assert!(!reading.believes_in_loss(Some(3), now), "nobody has asked since it was shown");
        reading.has_vanished(3);
    }
    reading.has_vanished(4);
    assert!(!reading.believes_in_loss(None, now), "a poll isn't for anybody's sake");
    assert!(reading.believes_in_loss(Some(4), now), "somebody was told, and has asked");
}

#[test]
fn nothing_is_left_out_while_something_is_not_known_for_sure() {
    let number = |numbers| Some(Change { server: 0, numbers });
    let now = Instant::now();
    let mut readings = DirectoryReadings::default();
    readings.unchanged.note(number(1), number(1), now);
    readings.unchanged.note(number(2), number(2), now);
    assert!(readings.may_leave_out(number(2)));
    readings.groups.unsure = true;
    assert!(!readings.may_leave_out(number(2)));
    readings.groups.unsure = false;
    readings.is_owed = true;
    assert!(!readings.may_leave_out(number(2)));
}

#[test]
fn everything_was_looked_at_if_it_was_in_both_maps_with_the_same_number() {
    let number = |numbers| Some(Change { server: 0, numbers });
    let mut readings = DirectoryReadings::default();
    readings.users.looked_at = number(1);
    assert_eq!(readings.looked_at(), None);
    readings.groups.looked_at = number(2);
    assert_eq!(readings.looked_at(), None);
    readings.groups.looked_at = number(1);
    assert_eq!(readings.looked_at(), number(1));
}

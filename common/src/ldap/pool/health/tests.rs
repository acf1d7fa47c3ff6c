use super::known::{QUICK, SLOW};
use super::*;

const A: usize = 1;
const B: usize = 2;
const C: usize = 3;
const TOOK: Duration = Duration::from_millis(2);

fn server(host: &str) -> Server {
    Server::named(host, 389).unwrap()
}

/// Servers a, b, c …, each preferred to the next.
fn health(hosts: &[&str], now: Instant) -> Health {
    let mut health = Health::default();
    let servers = hosts.iter().enumerate().map(|(tier, host)| (tier, server(host))).collect();
    health.list(servers, None, now);
    health
}

fn refused() -> LdapError {
    LdapError::Connect("refused".into())
}

fn fail(health: &mut Health, id: usize, now: Instant) -> Turn {
    health.failed(id, &refused(), now, now, 1.0)
}

fn order(health: &Health) -> Vec<usize> {
    health.order().into_iter().map(|candidate| candidate.id).collect()
}

/// Probes a server that stays away until then, and gives the times of the probes.
fn probe(health: &mut Health, from: Instant, until: Instant) -> Vec<Instant> {
    let (mut now, mut probes) = (from, Vec::new());
    loop {
        let (due, next) = health.due(now).unwrap();
        for candidate in due {
            assert!(health.judge(candidate.id, now));
            probes.push(now);
            fail(health, candidate.id, now);
            health.judged(candidate.id);
        }
        now = health.due(now).map_or(next, |(_, next)| next);
        if now > until {
            return probes;
        }
    }
}

fn longest_pause(probes: &[Instant]) -> Duration {
    probes.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap()
}

#[test]
fn a_server_that_failed_is_tried_last_until_it_answers() {
    let now = Instant::now();
    let mut health = health(&["a", "b", "c"], now);
    fail(&mut health, A, now);
    assert_eq!(order(&health), [B, C, A]);
    health.answered(A, TOOK, now);
    assert_eq!(order(&health), [A, B, C]);
}

#[test]
fn a_doubted_server_is_tried_after_the_well_and_before_the_failed() {
    let now = Instant::now();
    let mut health = health(&["a", "b", "c"], now);
    assert!(health.doubt(A, now));
    assert!(!health.doubt(A, now), "it is doubted already");
    fail(&mut health, B, now);
    assert_eq!(order(&health), [C, A, B]);
}

#[test]
fn an_outage_is_when_all_have_failed_and_ends_with_the_first_answer() {
    let now = Instant::now();
    let mut health = health(&["a", "b"], now);
    assert_eq!(fail(&mut health, A, now).began, None);
    assert_eq!(health.outage(), None);
    assert!(fail(&mut health, B, now).began.is_some());
    assert_eq!(fail(&mut health, B, now).began, None, "it began before");
    assert!(health.outage().is_some());
    assert!(health.answered(B, TOOK, now).ended);
    assert_eq!(health.outage(), None);
}

#[test]
fn doubts_alone_are_no_outage() {
    let now = Instant::now();
    let mut health = health(&["a"], now);
    health.doubt(A, now);
    assert_eq!(health.outage(), None);
}

#[test]
fn a_broken_configuration_is_no_outage() {
    let now = Instant::now();
    let mut health = health(&["a"], now);
    let error = LdapError::Configuration("ca_file".into());
    assert_eq!(health.failed(A, &error, now, now, 1.0), Turn::default());
    assert_eq!(health.outage(), None);
}

#[test]
fn a_failure_that_began_before_an_answer_is_an_older_story() {
    let begun = Instant::now();
    let now = begun + Duration::from_secs(1);
    let mut health = health(&["a"], begun);
    health.answered(A, TOOK, now);
    assert_eq!(health.failed(A, &refused(), begun, now + TOOK, 1.0), Turn::default());
    assert_eq!(health.outage(), None);
}

#[test]
fn a_reason_says_more_than_too_late() {
    let now = Instant::now();
    let mut health = health(&["a", "b"], now);
    health.failed(A, &LdapError::TimedOut, now, now, 1.0);
    fail(&mut health, B, now);
    assert_eq!(health.outage().as_deref(), Some("refused"));
}

#[test]
fn a_young_outage_is_probed_twice_a_second() {
    let now = Instant::now();
    let mut health = health(&["a"], now);
    fail(&mut health, A, now);
    let probes = probe(&mut health, now, now + WAITS);
    assert!(probes.len() >= 100, "{}", probes.len());
    assert!(longest_pause(&probes) <= QUICK);
}

#[test]
fn an_old_outage_is_probed_less_often_but_for_ever() {
    let now = Instant::now();
    let mut health = health(&["a"], now);
    fail(&mut health, A, now);
    let probes = probe(&mut health, now, now + Duration::from_secs(3600));
    assert!(probes.len() < 400, "{}", probes.len());
    assert_eq!(longest_pause(&probes), SLOW);
    assert!(*probes.last().unwrap() > now + Duration::from_secs(3580));
}

#[test]
fn a_request_in_an_old_outage_brings_the_quick_probes_back() {
    let now = Instant::now();
    let mut health = health(&["a"], now);
    fail(&mut health, A, now);
    let asked = now + Duration::from_secs(3600);
    probe(&mut health, now, asked);
    assert!(health.somebody_waits(asked));
    assert!(!health.somebody_waits(asked), "once is enough");
    let probes = probe(&mut health, asked, asked + WAITS);
    assert!(probes[0] <= asked + QUICK && longest_pause(&probes) <= QUICK);
}

#[test]
fn pauses_differ_by_chance() {
    let now = Instant::now();
    let next = |chance| {
        let mut health = health(&["a"], now);
        health.failed(A, &refused(), now, now, chance);
        health.due(now).unwrap().1 - now
    };
    assert!(next(0.0) < next(0.5) && next(0.5) < next(1.0) && next(1.0) <= QUICK);
}

#[test]
fn there_is_one_judge_at_a_time_and_one_more_when_the_network_changed() {
    let now = Instant::now();
    let mut health = health(&["a"], now);
    fail(&mut health, A, now);
    assert!(health.judge(A, now));
    assert!(!health.judge(A, now));
    health.network_changed(now);
    assert_eq!(health.due(now).unwrap().0.len(), 1);
    assert!(health.judge(A, now));
    health.network_changed(now);
    assert!(!health.judge(A, now), "two are enough");
    health.judged(A);
    health.judged(A);
    assert!(health.judge(A, now));
}

#[test]
fn who_looks_after_the_failed_ends_when_none_are_left() {
    let now = Instant::now();
    let mut health = health(&["a", "b"], now);
    assert!(!health.begin_probing(), "all is well");
    fail(&mut health, A, now);
    assert!(health.begin_probing());
    assert!(!health.begin_probing(), "there is one at a time");
    health.answered(A, TOOK, now);
    assert_eq!(health.due(now), None);
    fail(&mut health, B, now);
    assert!(health.begin_probing());
}

#[test]
fn a_connection_to_a_server_is_good_until_a_preferred_one_is_well() {
    let now = Instant::now();
    let mut health = health(&["a", "b"], now);
    fail(&mut health, A, now);
    health.answered(B, TOOK, now);
    assert!(health.is_preferred(B));
    health.answered(A, TOOK, now);
    assert!(health.is_preferred(A) && !health.is_preferred(B));
    health.doubt(A, now);
    assert!(health.is_preferred(B));
}

#[test]
fn servers_of_one_tier_are_as_good_as_each_other() {
    let now = Instant::now();
    let mut health = Health::default();
    health.list(vec![(7, server("a")), (7, server("b"))], None, now);
    health.answered(A, TOOK, now);
    assert!(health.is_preferred(B));
}

#[test]
fn a_new_list_keeps_what_is_known() {
    let now = Instant::now();
    let mut health = health(&["a", "b"], now);
    fail(&mut health, B, now);
    let listed = vec![(0, server("c")), (1, server("b")), (2, server("c"))];
    let (gone, _) = health.list(listed, None, now);
    assert_eq!(gone, [A]);
    assert_eq!(order(&health), [C, B], "b has failed; c is there once");
}

#[test]
fn no_server_at_all_is_an_outage_once_the_reason_is_known() {
    let now = Instant::now();
    let mut health = health(&[], now);
    assert_eq!(health.outage(), None);
    let (_, turn) = health.list(Vec::new(), Some("no record".into()), now);
    assert_eq!(turn.began.as_deref(), Some("no record"));
    let (_, turn) = health.list(vec![(0, server("a"))], None, now);
    assert!(turn.ended);
}

#[test]
fn the_status_says_since_when_and_why() {
    let now = Instant::now();
    let wall = SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
    let mut health = health(&["a", "b", "c"], now);
    fail(&mut health, A, now);
    health.answered(B, TOOK, now + Duration::from_secs(10));
    let status = health.status(now + Duration::from_secs(30), wall);
    let told: Vec<_> = status
        .iter()
        .map(|s| (s.address.as_str(), s.state, s.since, s.latency, s.why.as_deref()))
        .collect();
    assert_eq!(
        told,
        [
            ("ldap://a", ServerState::Failed, 970, 0, Some("refused")),
            ("ldap://b", ServerState::Answers, 980, 2000, None),
            ("ldap://c", ServerState::Untried, 0, 0, None),
        ]
    );
}

#[test]
fn a_new_server_that_is_preferred_is_probed_at_once() {
    let now = Instant::now();
    let mut health = health(&["b"], now);
    health.answered(A, TOOK, now);
    health.list(vec![(0, server("a")), (1, server("b")), (2, server("c"))], None, now);
    let due: Vec<_> = health.due(now).unwrap().0.into_iter().map(|due| due.id).collect();
    assert_eq!(due, [B], "and c, which nobody needs, isn't");
    assert!(health.is_preferred(A), "until it answers");
}

#[test]
fn a_server_that_answers_on_an_older_connection_is_doubted_and_not_failed() {
    let now = Instant::now();
    let mut health = health(&["a"], now);
    health.answered(A, TOOK, now);
    let later = now + Duration::from_secs(1);
    let turn = health.failed_beside_a_living(A, &refused(), later, later, 1.0);
    assert_eq!(turn, Turn::default());
    assert_eq!(health.outage(), None);
    let (due, next) = health.due(later).unwrap();
    assert!(due.is_empty() && next > later);
}

#[test]
fn a_preferred_server_is_well_since_it_was_last_doubted() {
    let now = Instant::now();
    let mut health = health(&["a", "b"], now);
    health.answered(A, TOOK, now);
    assert_eq!(health.better_since(B), Some(now));
    assert_eq!(health.better_since(A), None);
    let later = now + Duration::from_secs(60);
    health.doubt(A, later);
    assert_eq!(health.better_since(B), None);
    health.answered(A, TOOK, later);
    assert_eq!(health.better_since(B), Some(later));
}

#[test]
fn a_network_that_changes_for_ever_makes_nobody_impatient_for_ever() {
    let now = Instant::now();
    let mut health = health(&["a"], now);
    fail(&mut health, A, now);
    let ten_seconds = Duration::from_secs(10);
    (1..30).for_each(|n| health.network_changed(now + ten_seconds * n));
    let later = now + ten_seconds * 30;
    fail(&mut health, A, later);
    fail(&mut health, A, later);
    let (_, next) = health.due(later).unwrap();
    assert!(next > later + QUICK);
}

#[test]
fn silence_is_found_out_when_all_have_been_judged_or_one_has_said_something() {
    let start = Instant::now();
    let mut health = health(&["a", "b"], start);
    let mut now = start;
    let mut later = || {
        now += Duration::from_secs(1);
        now
    };
    health.answered(A, TOOK, later());
    let since = later();
    assert_eq!(health.is_silent_since(since), None, "that was before");
    fail(&mut health, A, later());
    assert_eq!(health.is_silent_since(since), None, "the other one may answer");
    fail(&mut health, B, later());
    assert_eq!(health.is_silent_since(since), Some(true));
    health.answered(B, TOOK, later());
    assert_eq!(health.is_silent_since(since), Some(false));
    assert_eq!(health.is_silent_since(later()), None);

    let (refusal, begun) = (LdapError::ReaderRefused("49".into()), later());
    health.failed(B, &refusal, begun, begun, 1.0);
    assert_eq!(health.is_silent_since(later()), Some(false), "an outage, but no silence");
}

#[test]
fn who_answers_on_an_earlier_connection_is_not_silent() {
    let since = Instant::now();
    let mut health = health(&["a"], since);
    health.failed_beside_a_living(A, &refused(), since, since, 1.0);
    assert_eq!(health.is_silent_since(since), Some(false));
}

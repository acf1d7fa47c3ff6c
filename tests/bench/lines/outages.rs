//! The lines about a server that is away: each figure for each trouble.

use super::{Line, Than, line, on_demand, replica};
use crate::unit::Unit::{Plain, Time};

/// A figure in each of the troubles. With `as`: as fast as another one of the same trouble.
macro_rules! in_trouble {
    ($before:literal, $after:literal, $text:literal, as $own:literal) => {
        [
            line(
                concat!($before, ".killed.", $after),
                concat!($text, ", server killed"),
                Time,
                as_before!(concat!($before, ".killed.", $own)),
            ),
            line(
                concat!($before, ".frozen.", $after),
                concat!($text, ", server frozen"),
                Time,
                as_before!(concat!($before, ".frozen.", $own)),
            ),
            line(
                concat!($before, ".blackholed.", $after),
                concat!($text, ", packets dropped"),
                Time,
                as_before!(concat!($before, ".blackholed.", $own)),
            ),
        ]
    };
    ($before:literal, $after:literal, $text:literal, $unit:expr, $aims:expr) => {
        [
            line(
                concat!($before, ".killed.", $after),
                concat!($text, ", server killed"),
                $unit,
                $aims,
            ),
            line(
                concat!($before, ".frozen.", $after),
                concat!($text, ", server frozen"),
                $unit,
                $aims,
            ),
            line(
                concat!($before, ".blackholed.", $after),
                concat!($text, ", packets dropped"),
                $unit,
                $aims,
            ),
        ]
    };
}

/// A figure with the server, as text and as something to compare with.
macro_rules! before {
    ($figure:literal, $text:literal) => {
        [line($figure, concat!($text, ", with the server"), Time, &[])]
    };
}

/// As fast as with the server, as far as two runs can tell.
macro_rules! as_before {
    ($figure:expr) => {
        &[replica(1.5, Than::Own($figure)), on_demand(1.5, Than::Own($figure))]
    };
}

/// At most so many nanoseconds.
macro_rules! at_most {
    ($nanoseconds:expr) => {
        &[replica($nanoseconds, Than::Number), on_demand($nanoseconds, Than::Number)]
    };
}

const MS: f64 = 1e6;
const SECOND: f64 = 1e9;
/// `common::deadline`: a lookup's and a login's.
const LOOKUP: f64 = 5.0 * SECOND;
const LOGIN: f64 = 15.0 * SECOND;

/// All of them.
pub(super) const LINES: &[&[Line]] = &[
    &before!("out.before.known", "a user who is cached"),
    &in_trouble!("out", "known", "the same", Time, as_before!("out.before.known")),
    &before!("out.before.known.worst", "the slowest of them"),
    &in_trouble!("out", "known.worst", "the slowest of them", Time, &[]),
    &in_trouble!("out", "missed", "the share of them that is not found", Plain, at_most!(0.0)),
    &before!("out.before.unknown.first", "a user that there isn't, first"),
    &in_trouble!(
        "out",
        "unknown.first",
        "the same",
        Time,
        &[replica(1.5, Than::Own("out.before.unknown.first")), on_demand(LOOKUP, Than::Number),]
    ),
    &before!("out.before.unknown", "users that there aren't, later ones"),
    &in_trouble!(
        "out",
        "unknown",
        "the same",
        Time,
        &[replica(1.5, Than::Own("out.before.unknown")), on_demand(MS, Than::Number)]
    ),
    &in_trouble!("out", "unknown.worst", "the slowest of them", Time, &[]),
    &before!("out.before.local.first", "groups of a local user, first"),
    &in_trouble!("out", "local.first", "the same", Time, as_before!("out.before.local.first")),
    &before!("out.before.local", "groups of a local user, later"),
    &in_trouble!("out", "local", "the same", Time, as_before!("out.before.local")),
    &before!("out.before.login", "login"),
    &in_trouble!(
        "out",
        "login.record.first",
        "login with an offline record, first",
        Time,
        at_most!(LOGIN)
    ),
    &in_trouble!(
        "out",
        "login.record",
        "login with an offline record, later",
        Time,
        at_most!(100.0 * MS)
    ),
    &in_trouble!(
        "out",
        "login.record.out",
        "the share of them that is turned away",
        Plain,
        at_most!(0.0)
    ),
    &in_trouble!("out", "login.none.first", "login without a record, first", Time, at_most!(LOGIN)),
    &in_trouble!("out", "login.none", "login without a record, later", Time, at_most!(100.0 * MS)),
    &in_trouble!("out", "login.none.in", "the share of them that is let in", Plain, at_most!(0.0)),
    &in_trouble!(
        "out",
        "back",
        "from its end to the first online login, the longest",
        Time,
        at_most!(SECOND)
    ),
    &in_trouble!("second", "before", "login, two servers, both fine, before it", Time, &[]),
    &in_trouble!("second", "first", "the first login after it", Time, at_most!(SECOND)),
    &in_trouble!("second", "later", "later ones", as "before"),
    &in_trouble!("second", "later.worst", "the slowest of them", Time, &[]),
    &in_trouble!("second", "back", "from its end until logins are back there", Time, &[]),
    &[
        line("slow.refused", "of 200 logins at once, 2 s a bind: not in", Plain, at_most!(0.0)),
        line("slow.time", "until all have their answer", Time, at_most!(LOGIN)),
        line("slow.before", "a user who is cached, before those logins", Time, &[]),
        line("slow.known", "the same meanwhile", Time, as_before!("slow.before")),
        line("slow.known.worst", "the slowest of them", Time, &[]),
    ],
];

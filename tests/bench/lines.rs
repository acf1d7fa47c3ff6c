//! The lines of the table: what each figure is called, and what is aimed at.

mod outages;

use crate::providers::Kind;
use crate::unit::Unit::{self, Bytes, MiB, PerSecond, Plain, Time};

/// What a figure is compared with.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Than {
    /// The best of the peers, by the same figure.
    BestPeer,
    /// The best of the peers, by another figure: what it takes them warm.
    BestPeerBy(&'static str),
    /// The same figure of this one.
    Of(Kind),
    /// Another figure of the same one.
    Own(&'static str),
    /// A number.
    Number,
    /// A number for so many users at most; in proportion for more than any of them.
    ByUsers(&'static [(u32, f64)]),
}

/// At most so many times as much; for a rate, at least.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Aim {
    /// With which of its ways of caching Rollcall is to reach it.
    pub(crate) with: Kind,
    pub(crate) times: f64,
    pub(crate) than: Than,
}

/// A line of the table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Line {
    pub(crate) figure: &'static str,
    pub(crate) text: &'static str,
    pub(crate) unit: Unit,
    pub(crate) aims: &'static [Aim],
}

const fn replica(times: f64, than: Than) -> Aim {
    Aim { with: Kind::Replica, times, than }
}

const fn on_demand(times: f64, than: Than) -> Aim {
    Aim { with: Kind::OnDemand, times, than }
}

const fn line(figure: &'static str, text: &'static str, unit: Unit, aims: &'static [Aim]) -> Line {
    Line { figure, text, unit, aims }
}

/// No slower than nscd, which answers in the process as well.
const NSCD: &[Aim] = &[replica(1.0, Than::Of(Kind::Nscd)), on_demand(1.0, Than::Of(Kind::Nscd))];
/// That, and 20 times faster than SSSD.
const NSCD_AND_SSSD: &[Aim] = &[
    replica(1.0, Than::Of(Kind::Nscd)),
    replica(0.05, Than::Of(Kind::Sssd)),
    on_demand(1.0, Than::Of(Kind::Nscd)),
    on_demand(0.05, Than::Of(Kind::Sssd)),
];
/// No slower than nscd when that knows the answer.
const NSCD_WARM_LS: &[Aim] =
    &[replica(1.0, Than::BestPeerBy("ls.warm")), on_demand(1.0, Than::BestPeerBy("ls.warm"))];

/// As with flat files that are short; and, as 500 lines aren't, no slower than nscd warm.
const ID: &[Aim] =
    &[replica(1.1, Than::Of(Kind::ShortFiles)), replica(1.0, Than::BestPeerBy("id.warm"))];

/// MiB of the daemon beyond the table.
const MEMORY: Than = Than::ByUsers(&[(10_000, 20.0), (100_000, 60.0)]);

/// All of them, in their order.
pub(crate) fn all() -> impl Iterator<Item = Line> {
    LINES.into_iter().chain(outages::LINES.iter().flat_map(|lines| lines.iter().copied()))
}

const LINES: [Line; 43] = [
    line("warm.user", "`getpwnam_r`, warm", Time, NSCD_AND_SSSD),
    line("warm.uid", "`getpwuid_r`, warm", Time, NSCD_AND_SSSD),
    line("warm.gid", "`getgrgid_r`, 50 members, warm", Time, NSCD_AND_SSSD),
    line(
        "module.user",
        "the module alone: the same without glibc's `stat` of `nsswitch.conf`",
        Time,
        &[
            replica(1.0, Than::BestPeerBy("warm.user")),
            on_demand(1.0, Than::BestPeerBy("warm.user")),
        ],
    ),
    line("stat", "that `stat`", Time, &[]),
    line(
        "random.user",
        "the module alone, all users at random",
        Time,
        &[replica(1.5, Than::Own("three.misses")), on_demand(1.5, Than::Own("three.misses"))],
    ),
    line("three.misses", "three dependent cache misses", Time, &[]),
    line(
        "first.user",
        "`getpwnam_r`, first ever",
        Time,
        &[replica(1.0, Than::Own("warm.user")), on_demand(1.3, Than::Of(Kind::Client))],
    ),
    line("first.user.p99", "the same, 99 % of the lookups", Time, &[]),
    line("miss.first", "no such user, first", Time, &[replica(0.001, Than::BestPeer)]),
    line("miss.again", "no such user, again", Time, &[replica(1.0, Than::Own("warm.user"))]),
    line(
        "gids5.first",
        "`getgrouplist`, 5 groups, first",
        Time,
        &[replica(1.0, Than::Own("warm.user"))],
    ),
    line("gids5.warm", "`getgrouplist`, 5 groups, warm", Time, NSCD),
    line(
        "gids500.first",
        "`getgrouplist`, 500 groups, first",
        Time,
        &[replica(1.0, Than::Own("gids500.warm"))],
    ),
    line("gids500.warm", "`getgrouplist`, 500 groups, warm", Time, NSCD),
    line(
        "large.first",
        "`getgrnam_r`, large group, first, growing buffer",
        Time,
        &[replica(0.01, Than::BestPeer)],
    ),
    line("large.warm", "`getgrnam_r`, large group, warm, growing buffer", Time, NSCD),
    line("large.kept", "`getgrnam_r`, large group, warm, buffer kept", Time, NSCD),
    line("threads.warm", "`getpwnam_r`, warm, 8 threads", PerSecond, NSCD),
    line(
        "threads.module",
        "the module alone, 8 threads",
        PerSecond,
        &[
            replica(1.0, Than::BestPeerBy("threads.warm")),
            on_demand(1.0, Than::BestPeerBy("threads.warm")),
        ],
    ),
    line("getent.first", "`getent passwd USER`, first", Time, &[]),
    line(
        "getent.warm",
        "`getent passwd USER`, warm",
        Time,
        &[replica(1.1, Than::Of(Kind::ShortFiles)), on_demand(1.1, Than::Of(Kind::ShortFiles))],
    ),
    line("id.first", "`id`, 500 groups, first", Time, ID),
    line("id.warm", "`id`, 500 groups, warm", Time, ID),
    line(
        "ls.first",
        "`ls -l`, an owner a file, first",
        Time,
        &[replica(1.0, Than::BestPeerBy("ls.warm"))],
    ),
    line("ls.warm", "`ls -l`, an owner a file, warm", Time, NSCD_WARM_LS),
    line(
        "enumerate.rate",
        "`getent passwd`, users",
        PerSecond,
        &[replica(1_500_000.0, Than::Number)],
    ),
    line(
        "enumerate.memory",
        "`getent passwd`, memory beyond that for one user",
        MiB,
        &[replica(1.0, Than::Number)],
    ),
    line(
        "login.first",
        "login, first of a user",
        Time,
        &[replica(0.25, Than::BestPeer), on_demand(0.25, Than::BestPeer)],
    ),
    line(
        "login.again",
        "login, again",
        Time,
        &[replica(0.25, Than::BestPeer), on_demand(0.25, Than::BestPeer)],
    ),
    line(
        "login.rate",
        "logins, 8 processes",
        PerSecond,
        &[replica(4.0, Than::BestPeer), on_demand(4.0, Than::BestPeer)],
    ),
    line(
        "login.searches",
        "searches a login, without those of the root DSE",
        Plain,
        &[replica(1.0, Than::Number), on_demand(1.0, Than::Number)],
    ),
    line(
        "login.binds",
        "binds a login, without those of the searching identity",
        Plain,
        &[replica(1.0, Than::Number), on_demand(1.0, Than::Number)],
    ),
    line("login.connections", "new connections for all of these logins", Plain, &[]),
    line("login.reader", "binds of the searching identity for all of them", Plain, &[]),
    line(
        "many.searches",
        "searches for 1000 users looked up by 100 processes",
        Plain,
        &[replica(0.0, Than::Number), on_demand(1000.0, Than::Number)],
    ),
    line(
        "many.connections",
        "new connections for them",
        Plain,
        &[replica(0.0, Than::Number), on_demand(1.0, Than::Number)],
    ),
    line("memory.rss", "memory of the daemons, RSS", MiB, &[]),
    line("memory.pss", "memory of the daemons, PSS", MiB, &[]),
    line(
        "memory.beyond",
        "memory of the daemon, RSS without the table",
        MiB,
        &[replica(1.0, MEMORY), on_demand(1.0, MEMORY)],
    ),
    line(
        "table.user",
        "table, bytes a user without member lists",
        Bytes,
        &[replica(150.0, Than::Number)],
    ),
    line("table.size", "table, the file", MiB, &[]),
    line(
        "load.time",
        "loading everything; `ldapsearch` of the same",
        Time,
        &[replica(1.3, Than::Of(Kind::Client))],
    ),
];

//! `rollcall status`: says how the daemon is doing.

use std::fmt::{self, Write as _};
use std::io::Write as _;
use std::time::SystemTime;

use common::client::Client;
use common::deadline::{self, Deadline};
use common::protocol::{
    CacheMode, Following, OfflineStatus, Phase, Request, Response, ServerState, ServerStatus,
    Status, TableStatus, Way,
};

use super::Done;
use crate::cli::StatusOptions;

pub(crate) fn run(options: &StatusOptions) -> Done {
    let deadline = Deadline::after(deadline::LOOKUP);
    match Client::Socket(&options.socket).ask(&Request::Status, deadline) {
        Response::Status(status) => {
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs();
            std::io::stdout().lock().write_all(summary(&status, now)?.as_bytes())?;
            Ok(())
        }
        Response::Unavailable(why) => Err(why.to_string().into()),
        _ => Err("the daemon answered something else".into()),
    }
}

/// The lines of the answer; `now` is in seconds since 1970.
fn summary(status: &Status, now: u64) -> Result<String, fmt::Error> {
    let mut text = String::new();
    writeln!(text, "rollcall {} has been running for {}:", status.version, span(status.running))?;
    let mut line = |key: &str, value: &str| writeln!(text, "  {key:<12} {value}");
    line("kept", &kept(status))?;
    let table = status.table.map_or("none".into(), |facts| table(&facts));
    line("table", &table)?;
    let (hits, searches) = (status.hits, status.searches);
    line(
        "lookups",
        &format!("{hits} answered by the daemon from the table, {searches} by the directory"),
    )?;
    line("requests", &format!("{} under way", status.connections))?;
    for (position, known) in status.servers.iter().enumerate() {
        line(if position == 0 { "servers" } else { "" }, &server(known, now))?;
    }
    let heard = match status.heard {
        0 => "never".into(),
        heard => format!("{} ago", span(now.saturating_sub(heard))),
    };
    line("heard of", &format!("the directory last answered {heard}"))?;
    if status.in_step > 0 {
        line("copy", &format!("last in step {} ago", span(now.saturating_sub(status.in_step))))?;
    }
    for followed in &status.following {
        line("changes", &following(followed, now))?;
    }
    for kept in &status.offline {
        line("offline", &offline(kept, now))?;
    }
    if let Some(why) = &status.outage {
        line("outage", &why.replace('\n', " "))?;
    }
    Ok(text)
}

fn kept(status: &Status) -> String {
    if status.phase == Phase::Loading && status.loaded > 0 {
        return format!(
            "what was asked for, while all users and groups are read ({} so far)",
            status.loaded
        );
    }
    match (status.mode, status.phase) {
        (None, _) => "nothing: the configuration can't be used",
        (Some(CacheMode::Off), _) => "nothing (mode off)",
        (Some(CacheMode::OnDemand), _) => "what was asked for (mode on-demand)",
        (_, Phase::Loading) => "what was asked for, while all users and groups are read",
        (_, Phase::InStep) => "all users and groups, in step with the directory",
        (_, Phase::OutOfStep) if status.in_step == 0 => {
            "what was asked for: the copy can't be loaded, so lookups ask the directory on demand"
        }
        (_, Phase::OutOfStep) => "all users and groups that were heard of; not in step",
        (_, Phase::TooMany) => {
            "what was asked for: more accounts than cache.max_replica; raise that, or set \
             cache.mode = \"on-demand\" (a reload decides anew)"
        }
        (_, Phase::Off) => "what was asked for",
    }
    .into()
}

fn server(server: &ServerStatus, now: u64) -> String {
    let ServerStatus { address, state, since, latency, why } = server;
    let since = match since {
        0 => String::new(),
        since => format!(" since {}", span(now.saturating_sub(*since))),
    };
    let state = match state {
        ServerState::Untried => "not needed so far".into(),
        ServerState::Answers if *latency > 0 => format!("answers{since}, in {} ms", ms(*latency)),
        ServerState::Answers => format!("answers{since}"),
        ServerState::Failed => format!("fails{since}"),
    };
    let why = why.as_ref().map_or_else(String::new, |why| format!(": {}", why.replace('\n', " ")));
    format!("{address} {state}{why}")
}

/// Milliseconds of microseconds, with a digit behind the point.
fn ms(micros: u32) -> String {
    let tenths = micros.div_ceil(100);
    format!("{}.{}", tenths / 10, tenths % 10)
}

fn following(following: &Following, now: u64) -> String {
    let Following { base, way, why, newest } = following;
    let way = match way {
        Way::Push => "told by the server as they happen",
        Way::Polling => "asked for every cache.refresh seconds",
    };
    let why = why.as_ref().map_or_else(String::new, |why| format!(" ({})", why.replace('\n', " ")));
    let newest = match newest {
        0 => "none so far".into(),
        newest => format!("the newest {} ago", span(now.saturating_sub(*newest))),
    };
    format!("of {base:?} {way}{why}; {newest}")
}

fn offline(offline: &OfflineStatus, now: u64) -> String {
    let OfflineStatus { name, until, failures } = offline;
    let failures = match failures {
        0 => String::new(),
        failures => format!(", {failures} wrong passwords since the last right one"),
    };
    match until.saturating_sub(now) {
        0 => format!("{name} may not log in without a server at the moment{failures}"),
        left => format!("{name} may log in without a server for {}{failures}", span(left)),
    }
}

fn table(facts: &TableStatus) -> String {
    let TableStatus { users, groups, keys, size, used } = facts;
    format!(
        "{users} users, {groups} groups, {keys} names and ids; {} of {} in use",
        bytes(*used),
        bytes(*size)
    )
}

fn bytes(count: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "one digit is shown")]
    let mut count = count as f64;
    for unit in ["B", "KiB", "MiB"] {
        if count < 1024.0 {
            return format!("{count:.0} {unit}");
        }
        count /= 1024.0;
    }
    format!("{count:.1} GiB")
}

/// A span of time in its two largest units.
pub(super) fn span(seconds: u64) -> String {
    let minutes = seconds / 60;
    let [(many, unit), (few, part)] = match seconds {
        0..60 => return format!("{seconds} s"),
        60..3600 => [(minutes, "min"), (seconds % 60, "s")],
        3600..86_400 => [(minutes / 60, "h"), (minutes % 60, "min")],
        _ => [(minutes / 1440, "d"), (minutes / 60 % 24, "h")],
    };
    if few == 0 { format!("{many} {unit}") } else { format!("{many} {unit} {few} {part}") }
}

#[cfg(test)]
mod tests {
    use common::account::Name;

    use super::*;

    fn status() -> Status {
        Status {
            version: "1.0".into(),
            running: 3725,
            mode: Some(CacheMode::Auto),
            phase: Phase::InStep,
            loaded: 0,
            in_step: 990,
            table: Some(TableStatus { users: 3, groups: 2, keys: 10, size: 1 << 20, used: 5000 }),
            hits: 7,
            searches: 8,
            connections: 1,
            servers: vec![answers("ldap://a"), fails("ldap://b")],
            following: vec![pushed()],
            offline: vec![kept("alice")],
            heard: 1000,
            outage: None,
        }
    }

    fn answers(address: &str) -> ServerStatus {
        let (state, address) = (ServerState::Answers, address.into());
        ServerStatus { address, state, since: 905, latency: 1234, why: None }
    }

    fn fails(address: &str) -> ServerStatus {
        let (state, address, why) = (ServerState::Failed, address.into(), Some("refused".into()));
        ServerStatus { address, state, since: 1000, latency: 0, why }
    }

    fn pushed() -> Following {
        Following { base: "dc=x".into(), way: Way::Push, why: None, newest: 1003 }
    }

    fn kept(name: &str) -> OfflineStatus {
        OfflineStatus { name: Name::parse(name).unwrap(), until: 87_405, failures: 2 }
    }

    #[test]
    fn it_is_told_in_aligned_lines() {
        let text = summary(&status(), 1005).unwrap();
        assert_eq!(
            text,
            "rollcall 1.0 has been running for 1 h 2 min:\n\
             \x20 kept         all users and groups, in step with the directory\n\
             \x20 table        3 users, 2 groups, 10 names and ids; 5 KiB of 1 MiB in use\n\
             \x20 lookups      7 answered by the daemon from the table, 8 by the directory\n\
             \x20 requests     1 under way\n\
             \x20 servers      ldap://a answers since 1 min 40 s, in 1.3 ms\n\
             \x20              ldap://b fails since 5 s: refused\n\
             \x20 heard of     the directory last answered 5 s ago\n\
             \x20 copy         last in step 15 s ago\n\
             \x20 changes      of \"dc=x\" told by the server as they happen; the newest 2 s ago\n\
             \x20 offline      alice may log in without a server for 1 d, 2 wrong passwords since the last right one\n"
        );
    }

    #[test]
    fn a_copy_that_was_never_loaded_is_told_from_one_that_is_not_in_step() {
        let failing = Status { phase: Phase::OutOfStep, ..status() };
        assert!(summary(&failing, 1005).unwrap().contains("that were heard of; not in step"));
        let text = summary(&Status { in_step: 0, ..failing }, 1005).unwrap();
        assert!(text.contains("the copy can't be loaded"), "{text}");
    }

    #[test]
    fn who_has_too_many_accounts_reads_what_to_do() {
        let text = summary(&Status { phase: Phase::TooMany, ..status() }, 1005).unwrap();
        assert!(text.contains("cache.max_replica") && text.contains("reload"), "{text}");
    }

    #[test]
    fn an_outage_is_one_line() {
        let outage = Some("first\nsecond".into());
        let text = summary(&Status { outage, table: None, ..status() }, 0).unwrap();
        assert!(text.contains("  outage       first second\n"), "{text}");
        assert!(text.contains("  table        none\n"), "{text}");
    }
}

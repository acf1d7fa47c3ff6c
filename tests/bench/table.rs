//! The table that is printed, in Markdown.

use std::fmt::Write;

use crate::lines::{self, Aim, Line, Than};
use crate::measure::Results;
use crate::providers::Kind;
use crate::unit::{Unit, digits};

/// The columns; SSSD's enumeration is shown with the rest of SSSD.
const COLUMNS: [(&str, &[Kind]); 6] = [
    ("Rollcall, replica", &[Kind::Replica]),
    ("on demand", &[Kind::OnDemand]),
    ("SSSD", &[Kind::Sssd, Kind::SssdEnumerating]),
    ("nslcd", &[Kind::Nslcd]),
    ("nslcd + nscd", &[Kind::Nscd]),
    ("flat files", &[Kind::Files]),
];

/// The whole table, and below it what could not be measured.
pub(crate) fn text(results: &Results) -> String {
    let columns: Vec<_> = COLUMNS.iter().filter(|(_, kinds)| is_there(results, kinds)).collect();
    let mut text = "| what |".to_owned();
    for (title, _) in &columns {
        let _ = write!(text, " {title} |");
    }
    text += " to best peer | aim | met |\n|---|";
    text += &"--:|".repeat(columns.len());
    text += "--:|---|---|\n";
    for line in lines::all() {
        let cells: Vec<_> =
            columns.iter().map(|(_, kinds)| value(results, kinds, line.figure)).collect();
        if cells.iter().all(Option::is_none) {
            continue;
        }
        let _ = write!(text, "| {} |", line.text);
        for cell in cells {
            let _ = write!(text, " {} |", cell.map_or("–".into(), |cell| line.unit.show(cell)));
        }
        let _ = write!(text, " {} |", ratio(results, &line));
        let aims: Vec<_> = line.aims.iter().filter_map(|aim| judge(results, &line, aim)).collect();
        let join = |part: fn(&(String, String)) -> &String| {
            aims.iter().map(part).map(String::as_str).collect::<Vec<_>>().join("<br>")
        };
        let _ = writeln!(text, " {} | {} |", join(|aim| &aim.0), join(|aim| &aim.1));
    }
    for missing in &results.missing {
        let _ = write!(text, "\nNot measured: {missing}\n");
    }
    text
}

fn is_there(results: &Results, kinds: &[Kind]) -> bool {
    kinds.iter().any(|kind| results.figures.contains_key(kind))
}

fn value(results: &Results, kinds: &[Kind], figure: &str) -> Option<f64> {
    kinds.iter().find_map(|kind| results.figures.get(kind)?.get(figure).copied())
}

fn best_peer(results: &Results, figure: &str, unit: Unit) -> Option<f64> {
    let peers = results.figures.iter().filter(|(kind, _)| kind.is_peer());
    let values = peers.filter_map(|(_, figures)| figures.get(figure).copied());
    values.reduce(if unit.is_rate() { f64::max } else { f64::min })
}

/// How many times the best peer's.
fn ratio(results: &Results, line: &Line) -> String {
    let ours = value(results, &[Kind::Replica, Kind::OnDemand], line.figure);
    let best = best_peer(results, line.figure, line.unit).filter(|best| *best > 0.0);
    ours.zip(best).map_or("–".into(), |(ours, best)| digits(ours / best))
}

/// An aim in words, and whether it is met.
fn judge(results: &Results, line: &Line, aim: &Aim) -> Option<(String, String)> {
    let ours = value(results, &[aim.with], line.figure)?;
    let (limit, words) = match aim.than {
        Than::Number => {
            let limit = line.unit.of_shown(aim.times);
            (Some(limit), line.unit.show(limit))
        }
        Than::ByUsers(steps) => {
            let limit = line.unit.of_shown(by_users(steps, results.users) * aim.times);
            (Some(limit), line.unit.show(limit))
        }
        Than::BestPeer => {
            compared(best_peer(results, line.figure, line.unit), aim, "best peer", line)
        }
        Than::BestPeerBy(figure) => {
            compared(best_peer(results, figure, line.unit), aim, "best peer, warm", line)
        }
        Than::Of(kind) => compared(value(results, &[kind], line.figure), aim, kind.name(), line),
        Than::Own(figure) => compared(value(results, &[aim.with], figure), aim, figure, line),
    };
    let rate = line.unit.is_rate();
    let sign = if rate { "≥" } else { "≤" };
    let met = match limit {
        None => "?",
        Some(limit) if (rate && ours >= limit) || (!rate && ours <= limit) => "yes",
        Some(_) => "no",
    };
    let way = if aim.with == Kind::OnDemand { " (on demand)" } else { "" };
    Some((format!("{sign} {words}{way}"), met.into()))
}

fn by_users(steps: &[(u32, f64)], users: u32) -> f64 {
    let fitting = steps.iter().find(|(most, _)| users <= *most).map(|(_, value)| *value);
    let in_proportion = |(most, value): &(u32, f64)| value * f64::from(users) / f64::from(*most);
    fitting.or_else(|| steps.last().map(in_proportion)).unwrap_or_default()
}

fn compared(than: Option<f64>, aim: &Aim, whom: &str, line: &Line) -> (Option<f64>, String) {
    let shown = than.map_or("not measured".into(), |value| line.unit.show(value));
    (than.map(|value| value * aim.times), format!("{} × {whom} ({shown})", aim.times))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: Line = Line {
        figure: "f",
        text: "a figure",
        unit: Unit::Time,
        aims: &[Aim { with: Kind::Replica, times: 0.5, than: Than::BestPeer }],
    };

    fn results(figures: &[(Kind, f64)]) -> Results {
        let one = |(kind, value): &(Kind, f64)| (*kind, [("f".to_owned(), *value)].into());
        Results { figures: figures.iter().map(one).collect(), ..Results::default() }
    }

    fn met(results: &Results) -> String {
        judge(results, &LINE, &LINE.aims[0]).unwrap().1
    }

    #[test]
    fn an_aim_is_met_against_the_best_peer_and_not_against_files() {
        let others = [(Kind::Sssd, 100.0), (Kind::Nslcd, 80.0), (Kind::Files, 1.0)];
        let with = |ours| results(&[&others[..], &[(Kind::Replica, ours)]].concat());
        assert_eq!(met(&with(40.0)), "yes");
        assert_eq!(met(&with(41.0)), "no");
        assert_eq!(ratio(&with(40.0), &LINE), "0.500");
    }

    #[test]
    fn an_aim_whose_peer_is_missing_is_neither_met_nor_not() {
        assert_eq!(met(&results(&[(Kind::Replica, 40.0)])), "?");
    }
}

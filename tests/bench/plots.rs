//! Pictures of what the table says in numbers: SVG files.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::Path;

use plotters::prelude::*;

use crate::arguments::Arguments;
use crate::measure::{self, Results};
use crate::people::People;
use crate::providers::Kind;
use crate::site::Site;

/// Where they are put, below cargo's target folder.
const FOLDER: &str = "plots";
/// The numbers of accounts of the plots that have them on their axis.
const SIZES: [u32; 5] = [100, 1000, 10_000, 100_000, 1_000_000];
/// The largest of them with which the others are measured: more takes them too long.
const LARGEST_FOR_PEERS: u32 = 10_000;
/// What is measured for each of them.
const TASKS: [&str; 3] = ["first-users", "warm", "memory"];
/// Those whose lines would lie over others.
const LEFT_OUT: [Kind; 4] = [Kind::SssdEnumerating, Kind::ShortFiles, Kind::Files, Kind::Client];

type Points = Vec<(f64, f64)>;
/// A line for each who was measured.
type Curves = BTreeMap<Kind, Points>;

/// Measures, up to the number of users that was asked for, and draws.
///
/// # Errors
/// What could not be written.
pub(crate) fn draw(arguments: &Arguments) -> Result<(), String> {
    let mut sizes: BTreeMap<u32, Results> = BTreeMap::new();
    for size in SIZES.into_iter().filter(|size| *size <= arguments.people.0) {
        eprintln!("{size} users");
        sizes.insert(size, measure(arguments, size));
    }
    let folder = crate::packages::target_folder().join(FOLDER);
    std::fs::create_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    let save = |file: &str, title: &str, axes: [&str; 2], curves: &Curves| {
        let path = folder.join(file);
        save(&path, title, axes, curves).map_err(|e| format!("{}: {e}", path.display()))?;
        println!("{}", path.display());
        Ok::<_, String>(())
    };
    if let Some((size, results)) = sizes.iter().rev().find(|(size, _)| **size <= LARGEST_FOR_PEERS)
    {
        for (file, what) in [("first", "first"), ("warm", "warm")] {
            let title = format!("getpwnam_r, {what}, {size} users");
            let curves = distribution(results, what);
            save(&format!("distribution-{file}.svg"), &title, ["ns", "% of lookups"], &curves)?;
        }
    }
    let over_sizes = [
        ("warm.user", "cost-warm.svg", "getpwnam_r, warm", "ns"),
        ("first.user", "cost-first.svg", "getpwnam_r, first ever", "ns"),
        ("memory.pss", "memory.svg", "memory of the daemons, PSS", "KiB"),
    ];
    for (figure, file, title, unit) in over_sizes {
        save(file, title, ["accounts", unit], &by_size(&sizes, figure))?;
    }
    Ok(())
}

fn measure(arguments: &Arguments, users: u32) -> Results {
    let mut site = Site::start(People(users));
    let mut results = Results::default();
    let tasks = measure::TASKS.iter().filter(|task| TASKS.contains(&task.name));
    let tasks: Vec<_> = tasks.chain([&measure::DISTRIBUTION]).collect();
    for kind in &arguments.kinds {
        let is_quick = kind.is_ours() || users <= LARGEST_FOR_PEERS;
        if is_quick && !LEFT_OUT.contains(kind) {
            measure::one(*kind, &tasks, &mut site, &mut results);
        }
    }
    for missing in &results.missing {
        eprintln!("not measured: {missing}");
    }
    results
}

/// How many lookups took at most so long.
fn distribution(results: &Results, what: &str) -> Curves {
    let points = |figures: &measure::Figures| {
        (0..=100_u32)
            .filter_map(|percent| {
                let time = *figures.get(&format!("cdf.{what}.{percent}"))?;
                Some((time.max(1.0), f64::from(percent)))
            })
            .collect()
    };
    results.figures.iter().map(|(kind, figures)| (*kind, points(figures))).collect()
}

/// A figure against the number of accounts.
fn by_size(sizes: &BTreeMap<u32, Results>, figure: &str) -> Curves {
    let mut curves = Curves::new();
    for (size, results) in sizes {
        for (kind, figures) in &results.figures {
            if let Some(value) = figures.get(figure) {
                curves.entry(*kind).or_default().push((f64::from(*size), value.max(1.0)));
            }
        }
    }
    curves
}

/// One picture. Its horizontal axis is logarithmic; the vertical one, too,
/// unless it is a percentage.
fn save(path: &Path, title: &str, axes: [&str; 2], curves: &Curves) -> Result<(), String> {
    let text = |e: &dyn Display| e.to_string();
    let ends = |of: fn(&(f64, f64)) -> f64| {
        let values = curves.values().flatten().map(of);
        let (low, high) = values.fold((f64::MAX, 1.0), |(l, h), v| (v.min(l), v.max(h)));
        low.min(high) / 1.2..high * 1.2
    };
    let root = SVGBackend::new(path, (900, 560)).into_drawing_area();
    root.fill(&WHITE).map_err(|e| text(&e))?;
    let mut builder = ChartBuilder::on(&root);
    builder.caption(title, ("sans-serif", 20)).margin(14);
    builder.x_label_area_size(44).y_label_area_size(72);
    let [across, up] = axes;
    // The two kinds of axes are two types.
    macro_rules! chart {
        ($vertical:expr) => {{
            let mut chart = builder
                .build_cartesian_2d(ends(|point| point.0).log_scale(), $vertical)
                .map_err(|e| text(&e))?;
            chart.configure_mesh().x_desc(across).y_desc(up).draw().map_err(|e| text(&e))?;
            for (index, (kind, points)) in curves.iter().enumerate() {
                let style = Palette99::pick(index).stroke_width(2);
                chart
                    .draw_series(LineSeries::new(points.iter().copied(), style).point_size(3))
                    .map_err(|e| text(&e))?
                    .label(kind.name())
                    .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], style));
            }
            let labels = &mut chart.configure_series_labels();
            labels.background_style(WHITE.mix(0.8)).border_style(BLACK.mix(0.3));
            labels.position(SeriesLabelPosition::UpperLeft).draw().map_err(|e| text(&e))?;
        }};
    }
    if up.starts_with('%') {
        chart!(0.0..100.0);
    } else {
        chart!(ends(|point| point.1).log_scale());
    }
    root.present().map_err(|e| text(&e))
}

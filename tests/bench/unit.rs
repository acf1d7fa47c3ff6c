//! Units, and how a figure is written.

/// What a figure is shown in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Nanoseconds inside.
    Time,
    PerSecond,
    /// KiB inside.
    MiB,
    Bytes,
    Plain,
}

impl Unit {
    /// Whether more is better.
    pub(crate) fn is_rate(self) -> bool {
        self == Self::PerSecond
    }

    /// A figure as text, with three digits that count.
    pub(crate) fn show(self, value: f64) -> String {
        match self {
            Self::Time if value >= 1e9 => format!("{} s", digits(value / 1e9)),
            Self::Time if value >= 1e6 => format!("{} ms", digits(value / 1e6)),
            Self::Time if value >= 1e3 => format!("{} µs", digits(value / 1e3)),
            Self::Time => format!("{} ns", digits(value)),
            Self::PerSecond if value >= 1e6 => format!("{} M/s", digits(value / 1e6)),
            Self::PerSecond if value >= 1e4 => format!("{} k/s", digits(value / 1e3)),
            Self::PerSecond => format!("{}/s", digits(value)),
            Self::MiB => format!("{} MiB", digits(value / 1024.0)),
            Self::Bytes => format!("{} B", digits(value)),
            Self::Plain => digits(value),
        }
    }

    /// A number of an aim, which is written in the unit, as text.
    pub(crate) fn of_shown(self, number: f64) -> f64 {
        if self == Self::MiB { number * 1024.0 } else { number }
    }
}

/// Three digits that count; more before the point.
pub(crate) fn digits(value: f64) -> String {
    match value.abs() {
        0.0 => "0".into(),
        v if v < 0.01 => format!("{value:.4}"),
        v if v < 1.0 => format!("{value:.3}"),
        v if v < 10.0 => format!("{value:.2}"),
        v if v < 100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_has_three_digits() {
        assert_eq!(Unit::Time.show(41.26), "41.3 ns");
        assert_eq!(Unit::Time.show(41_260.0), "41.3 µs");
        assert_eq!(Unit::PerSecond.show(7_812_000.0), "7.81 M/s");
    }
}

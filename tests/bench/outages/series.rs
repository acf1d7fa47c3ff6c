//! What the calls on a host took, one by one.

use crate::measure::Figures;
use crate::talk::Talk;

/// The times of some calls in nanoseconds, in their order.
#[derive(Debug, Default)]
pub(super) struct Series {
    pub(super) times: Vec<f64>,
    /// How many found what they looked for.
    found: f64,
}

impl Series {
    /// Tells a process to make them, and waits.
    ///
    /// # Errors
    /// If it has ended.
    pub(super) fn of(talk: &mut Talk, what: &str) -> Result<Self, String> {
        talk.tell(what);
        Self::hear(talk)
    }

    /// Waits for what it was told before.
    ///
    /// # Errors
    /// If it has ended.
    pub(super) fn hear(talk: &mut Talk) -> Result<Self, String> {
        let line = talk.hear().ok_or("its process has ended")?;
        let mut numbers = line.split(' ').filter_map(|number| number.parse().ok());
        let found = numbers.next().ok_or("it says nothing")?;
        Ok(Self { times: numbers.collect(), found })
    }

    /// Whether all were answered as a user wants it.
    pub(super) fn all_found(&self) -> bool {
        self.share() >= 1.0
    }

    /// How many of them were.
    #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52")]
    pub(super) fn share(&self) -> f64 {
        self.found / self.times.len() as f64
    }

    /// The first one, as a figure.
    pub(super) fn first(&self, figure: String, to: &mut Figures) {
        to.extend(self.times.first().map(|time| (figure, *time)));
    }

    /// The same without the first one.
    pub(super) fn later(&self) -> Self {
        Self { times: self.times.iter().skip(1).copied().collect(), found: f64::NAN }
    }

    /// Their median, and with `.worst` behind the name the slowest of them.
    pub(super) fn median_and_worst(&self, figure: &str, to: &mut Figures) {
        let mut times = self.times.clone();
        times.sort_unstable_by(f64::total_cmp);
        to.extend(times.get(times.len() / 2).map(|time| (figure.to_owned(), *time)));
        to.extend(times.last().map(|time| (format!("{figure}.worst"), *time)));
    }
}

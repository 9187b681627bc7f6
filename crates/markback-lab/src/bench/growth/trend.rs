//! Whether a cost grows too fast.

/// What a cost belongs to, which decides how fast it may grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Of {
    /// One thing, such as an event or a page: all of them together grow as n log n if it grows as log n.
    One,
    /// All schools together, which may grow as n log n with the schools, and as log n with what is stored.
    AllSchools,
}

/// How much faster a cost may seem to grow, as a power of the size, because times vary between runs.
const MARGIN: f64 = 0.15;

/// How a cost grows with a size.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Trend {
    /// The cost grows as this power of the size: 0 for a constant, 1 for a line.
    pub(super) power: f64,
    /// The power of what is allowed between the same sizes, without the margin.
    pub(super) allowed: f64,
}

impl Trend {
    /// Of sizes above 1 and their costs, which are above 0: the power that fits best. `None` for fewer than two sizes.
    pub(super) fn of(points: &[(f64, f64)], is_whole: bool) -> Option<Self> {
        let logs: Vec<(f64, f64)> = points
            .iter()
            .map(|(size, cost)| (size.ln(), cost.max(f64::MIN_POSITIVE).ln()))
            .collect();
        let power = slope(&logs)?;
        let logarithm: Vec<(f64, f64)> = logs.iter().map(|(size, _)| (*size, size.ln())).collect();
        let allowed = slope(&logarithm)? + if is_whole { 1.0 } else { 0.0 };
        Some(Self { power, allowed })
    }

    /// Whether it grows no faster than allowed.
    pub(super) fn is_met(self) -> bool {
        self.power <= self.allowed + MARGIN
    }
}

/// The slope of the line that fits best.
fn slope(points: &[(f64, f64)]) -> Option<f64> {
    #[expect(clippy::cast_precision_loss, reason = "a few sizes")]
    let count = points.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
    let (x, y) = (mean(|point| point.0), mean(|point| point.1));
    let spread: f64 = points.iter().map(|point| (point.0 - x).powi(2)).sum();
    let joint: f64 = points
        .iter()
        .map(|point| (point.0 - x) * (point.1 - y))
        .sum();
    (spread > 0.0).then(|| joint / spread)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_grows_faster_than_n_log_n_in_all_is_missed() {
        let sizes = [1e4, 1e5, 1e6];
        for (cost, is_whole, is_met) in [
            ((|_| 3.0) as fn(f64) -> f64, false, true),
            (|n: f64| n.ln(), false, true),
            (|n: f64| n.powf(0.1) * n.ln(), false, true),
            (|n: f64| n.powf(0.3), false, false),
            (|n: f64| n, false, false),
            (|n: f64| n, true, true),
            (|n: f64| n * n.ln(), true, true),
            (|n: f64| n.powf(1.5), true, false),
            (|n: f64| n * n, true, false),
        ] {
            let points = sizes.map(|size| (size, cost(size)));
            let trend = Trend::of(&points, is_whole).unwrap();
            assert_eq!(trend.is_met(), is_met, "{points:?}: {trend:?}");
        }
        assert_eq!(Trend::of(&[(10.0, 1.0)], false), None);
        assert_eq!(Trend::of(&[(10.0, 1.0), (10.0, 2.0)], false), None);
    }
}

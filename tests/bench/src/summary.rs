//! Statistics over repeated measurements: medians, spread, percentiles, and ratios in which more is
//! always better. Pure; knows neither servers nor tables.

/// What several readings of one thing come to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    pub median: f64,
    pub low: f64,
    pub high: f64,
    pub count: usize,
}

impl Spread {
    /// None without readings, or where one of them is no number.
    pub fn of(readings: &[f64]) -> Option<Self> {
        if readings.is_empty() || readings.iter().any(|reading| !reading.is_finite()) {
            return None;
        }
        let mut sorted = readings.to_vec();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        let median =
            if sorted.len() % 2 == 1 { sorted[middle] } else { f64::midpoint(sorted[middle - 1], sorted[middle]) };
        Some(Spread { median, low: sorted[0], high: sorted[sorted.len() - 1], count: sorted.len() })
    }
}

/// Which way a figure is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Better {
    More,
    Less,
}

impl Better {
    /// How many times better `ours` is than `theirs`.
    pub fn ratio(self, ours: f64, theirs: f64) -> Option<f64> {
        let (over, under) = match self {
            Better::More => (ours, theirs),
            Better::Less => (theirs, ours),
        };
        (under > 0.0 && over.is_finite()).then(|| over / under)
    }
}

/// The value below which `share` (0 to 1) of the readings lie, by nearest rank. Sorts them.
pub fn percentile(readings: &mut [u32], share: f64) -> Option<u32> {
    readings.sort_unstable();
    let rank = (share * readings.len() as f64).ceil() as usize;
    readings.get(rank.saturating_sub(1).min(readings.len().checked_sub(1)?)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_spread() {
        let cases = [
            (vec![], None),
            (vec![3.0], Some((3.0, 3.0, 3.0))),
            (vec![9.0, 1.0, 2.0], Some((2.0, 1.0, 9.0))),
            (vec![4.0, 1.0, 2.0, 100.0], Some((3.0, 1.0, 100.0))),
            (vec![1.0, f64::NAN], None),
        ];
        for (readings, expected) in cases {
            let got = Spread::of(&readings).map(|spread| (spread.median, spread.low, spread.high));
            assert_eq!(got, expected, "{readings:?}");
        }
    }

    #[test]
    fn a_ratio_above_one_is_better_whichever_way_the_figure_goes() {
        assert_eq!(Better::More.ratio(1000.0, 100.0), Some(10.0));
        assert_eq!(Better::Less.ratio(100.0, 1000.0), Some(10.0));
        assert_eq!(Better::More.ratio(1.0, 0.0), None);
        assert_eq!(Better::Less.ratio(0.0, 1.0), None);
    }

    #[test]
    fn percentiles_are_by_nearest_rank() {
        let mut readings: Vec<u32> = (1..=100).rev().collect();
        assert_eq!(percentile(&mut readings, 0.5), Some(50));
        assert_eq!(percentile(&mut readings, 0.99), Some(99));
        assert_eq!(percentile(&mut readings, 1.0), Some(100));
        assert_eq!(percentile(&mut [7], 0.0), Some(7));
        assert_eq!(percentile(&mut [], 0.5), None);
    }
}

//! Lengths: how a count (tokens, tests) is spread over rows.
//!
//! A quantile q of n values in order is the value at place ⌈q·n⌉: a length that some row really has.

use serde::Serialize;

/// The most bars of a histogram.
const BARS_MAX: usize = 24;

/// A summary of lengths.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Lengths {
    /// The sum.
    pub total: u64,
    /// The mean.
    pub mean: f64,
    /// The smallest.
    pub min: u64,
    /// A quarter is at most this.
    pub p25: u64,
    /// Half is at most this.
    pub p50: u64,
    /// Three quarters are at most this.
    pub p75: u64,
    /// Nine tenths are at most this.
    pub p90: u64,
    /// 95 in a hundred are at most this.
    pub p95: u64,
    /// 99 in a hundred are at most this.
    pub p99: u64,
    /// The largest.
    pub max: u64,
    /// Counts in classes of equal width.
    pub histogram: Histogram,
}

/// How many values lie in each class: class i holds [i·width, (i+1)·width).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Histogram {
    /// The width of a class: 1, 2 or 5 times a power of ten.
    pub width: u64,
    /// The counts, from zero to the class of the largest value.
    pub counts: Vec<usize>,
}

impl Lengths {
    /// The summary of these lengths; `None` where there are none.
    pub fn of(lengths: impl IntoIterator<Item = u64>) -> Option<Self> {
        let mut sorted: Vec<u64> = lengths.into_iter().collect();
        sorted.sort_unstable();
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        let total = sorted.iter().sum::<u64>();
        let quantile = |hundredths: usize| sorted[(hundredths * sorted.len()).div_ceil(100).max(1) - 1];
        Some(Self {
            total,
            mean: total as f64 / sorted.len() as f64,
            min,
            p25: quantile(25),
            p50: quantile(50),
            p75: quantile(75),
            p90: quantile(90),
            p95: quantile(95),
            p99: quantile(99),
            max,
            histogram: Histogram::of(&sorted, max),
        })
    }
}

impl Histogram {
    fn of(values: &[u64], max: u64) -> Self {
        let widths = (0..19).flat_map(|power| [1, 2, 5].map(|factor| factor * 10_u64.pow(power)));
        let width = widths.into_iter().find(|width| max / width < BARS_MAX as u64).unwrap_or(u64::MAX);
        let mut counts = vec![0; (max / width) as usize + 1];
        values.iter().for_each(|value| counts[(value / width) as usize] += 1);
        Self { width, counts }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_values_that_occur() {
        let lengths = Lengths::of((1..=100).rev()).expect("there are some");
        assert_eq!((lengths.min, lengths.p25, lengths.p50, lengths.p75), (1, 25, 50, 75));
        assert_eq!((lengths.p90, lengths.p95, lengths.p99, lengths.max), (90, 95, 99, 100));
        assert_eq!((lengths.total, lengths.mean), (5050, 50.5));
        let one = Lengths::of([7]).expect("there is one");
        assert_eq!((one.min, one.p25, one.p99, one.max), (7, 7, 7, 7));
        assert_eq!(Lengths::of([]), None);
    }

    #[test]
    fn the_histogram_holds_every_value_in_few_bars() {
        for values in [vec![0], vec![3, 3, 9], (0..5000).collect::<Vec<u64>>(), vec![u64::MAX]] {
            let max = values.iter().copied().max().expect("there are some");
            let histogram = Histogram::of(&values, max);
            assert!(histogram.counts.len() <= BARS_MAX, "{histogram:?}");
            assert_eq!(histogram.counts.iter().sum::<usize>(), values.len());
        }
        assert_eq!(
            Histogram::of(&[0, 99, 100, 239], 239),
            Histogram {
                width: 10,
                counts: {
                    let mut counts = vec![0; 24];
                    [0, 9, 10, 23].into_iter().for_each(|class| counts[class] += 1);
                    counts
                }
            }
        );
    }
}

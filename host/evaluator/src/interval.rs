//! An interval: how far a measured mean may be from the truth, at 95 % confidence. The unit that is drawn is the
//! problem, never the sample: answers to one problem resemble each other.
//!
//! A mean of scores in [0, 1] gets Wilson's interval over the number of problems n, with z = 1.95996:
//!
//! ```text
//! (p + z²/2n ± z √(p(1−p)/n + z²/4n²)) / (1 + z²/n)
//! ```
//!
//! A score in [0, 1] with mean p has at most the variance p(1−p) of a coin, so with several samples a problem the
//! interval is wider than it must be, never narrower, and it keeps its width where every score is 0 or 1.
//!
//! A paired difference gets the percentile bootstrap: problems are drawn with replacement from a seeded stream. Where
//! every problem differs by the same amount the bootstrap sees no variance and the interval is a point.

use serde::{Deserialize, Serialize};

use super::seeded_stream::SeededStream;

/// The standard normal quantile at 0.975.
const Z: f64 = 1.959_963_984_540_054;

/// Resamples of a bootstrap.
const RESAMPLES: usize = 10_000;

/// A value with its 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Estimate {
    /// The measured value.
    pub value: f64,
    /// The interval's lower end.
    pub low: f64,
    /// The interval's upper end.
    pub high: f64,
}

impl Estimate {
    /// A mean of `count` scores in [0, 1] with Wilson's interval; with no scores the interval is [0, 1].
    pub(crate) fn of_mean(mean: f64, count: usize) -> Self {
        if count == 0 {
            return Self { value: mean, low: 0.0, high: 1.0 };
        }
        let n = count as f64;
        let scale = 1.0 + Z * Z / n;
        let centre = (mean + Z * Z / (2.0 * n)) / scale;
        let half = Z / scale * (mean * (1.0 - mean) / n + Z * Z / (4.0 * n * n)).max(0.0).sqrt();
        // At 0 and 1 the formula reaches the end exactly but for its rounding.
        let low = if mean == 0.0 { 0.0 } else { (centre - half).max(0.0) };
        let high = if mean == 1.0 { 1.0 } else { (centre + half).min(1.0) };
        Self { value: mean, low, high }
    }

    /// The mean of paired differences with the bootstrap's interval.
    pub(crate) fn of_paired_differences(mean: f64, differences: &[f64], seed: u64) -> Self {
        if differences.is_empty() {
            return Self { value: mean, low: -1.0, high: 1.0 };
        }
        let mut stream = SeededStream::new(seed);
        let mut means: Vec<f64> = (0..RESAMPLES)
            .map(|_| {
                let sum: f64 = differences.iter().map(|_| differences[stream.below(differences.len())]).sum();
                sum / differences.len() as f64
            })
            .collect();
        means.sort_by(f64::total_cmp);
        let quantile = |q: f64| means[((RESAMPLES - 1) as f64 * q).round() as usize];
        Self { value: mean, low: quantile(0.025), high: quantile(0.975) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Newcombe 1998, "Two-sided confidence intervals for the single proportion", table I, method 3.
    #[test]
    fn equals_wilsons_published_intervals() {
        for (right, n, low, high) in
            [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)]
        {
            let got = Estimate::of_mean(f64::from(right) / n as f64, n);
            assert!((got.low - low).abs() < 5e-5 && (got.high - high).abs() < 5e-5, "{right}/{n}: {got:?}");
        }
        assert_eq!(Estimate::of_mean(1.0, 20).high, 1.0);
    }

    #[test]
    fn the_bootstrap_agrees_with_the_normal_interval_of_many_differences() {
        let differences: Vec<f64> = (0..400).map(|i| if i % 4 == 0 { 1.0 } else { 0.0 }).collect();
        let got = Estimate::of_paired_differences(0.25, &differences, 11);
        let half = Z * (0.25_f64 * 0.75 / 400.0).sqrt();
        assert!((got.low - (0.25 - half)).abs() < 0.005, "{got:?}");
        assert!((got.high - (0.25 + half)).abs() < 0.005, "{got:?}");
        assert_eq!(got, Estimate::of_paired_differences(0.25, &differences, 11));
    }
}

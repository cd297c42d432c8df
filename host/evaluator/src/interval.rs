//! An interval: how far a measured mean may be from the truth, at 95 % confidence. The unit that is drawn is the
//! problem, never the sample: answers to one problem resemble each other.
//!
//! n problems with one answer each, x of them right: **Blaker's** interval (2000), all rates p with
//!
//! ```text
//! min(P(X ≥ x), P(X ≤ x)) + the greatest probability of the opposite tail that does not exceed it > 5 %
//! ```
//!
//! It covers any true rate in at least 95 % of all samples, and lies within Clopper's and Pearson's.
//!
//! n problems with several answers each, so that a score may lie between 0 and 1: **Gaffke's** interval (2005) as a mid-p,
//! the 2.5 % and 97.5 % quantiles of the mean under weights that are uniform over all that add up to 1 (`dirichlet_mean`),
//! with one more problem that is always solved or never, each with probability ½:
//!
//! ```text
//! ½ P(Σ D x ≤ t) + ½ P(Σ D x + D' ≤ t)
//! ```
//!
//! Where every score is 0 or 1 this is Clopper's and Pearson's interval as a mid-p; where answers to one problem differ it
//! is narrower, by as much as the scores say. The problem that nobody has seen keeps it honest where a few problems that are
//! always solved, among many that hardly ever are, decide the mean: an interval by the variance, as Korn's and Graubard's,
//! covers 74 % then.
//!
//! A paired difference d of n problems with one answer of each model: **Tango's** score interval (1998), all differences δ
//! with |b − c − nδ| ≤ z √(n (2q + δ(1 − δ))), where b problems are gained, c lost, and q is the probability of a loss that is
//! likeliest given δ. Where all problems that differ were gained, δ is nearly a rate, and the upper end is at least Clopper's
//! and Pearson's of b in n (so for losses): without that, 5 problems cover 92 % at 90 points. With several answers each:
//! Gaffke's as above, with a problem more whose difference is −1 or 1. No interval is ever a point.
//!
//! The documentation has a table of what each of them covers; `interval/tests.rs` makes it.

use serde::{Deserialize, Serialize};

use super::dirichlet_mean::Scores;
use super::distributions::{beta_quantile, binomial_upper_tail, where_reached};

/// The standard normal quantile at 0.975.
const Z: f64 = 1.959_963_984_540_054;

/// One minus the confidence.
const ALPHA: f64 = 0.05;

/// Steps in which the end of Blaker's interval is looked for between that of Clopper's and Pearson's and the estimate.
const BLAKER_STEPS: u32 = 256;

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
    /// The fraction `right / of` of single answers to different problems; with none the interval is [0, 1].
    pub(crate) fn of_count(right: u64, of: u64) -> Self {
        if of == 0 {
            return Self { value: 0.0, low: 0.0, high: 1.0 };
        }
        let low = blaker_low(right, of);
        // The upper end is the lower end of what was not right.
        Self { value: right as f64 / of as f64, low, high: 1.0 - blaker_low(of - right, of) }
    }

    /// A mean of problems' scores in [0, 1]; with none the interval is [0, 1].
    pub(crate) fn of_scores(mean: f64, scores: &[f64]) -> Self {
        if scores.iter().all(|score| *score == 0.0 || *score == 1.0) {
            let right = scores.iter().sum::<f64>().round() as u64;
            return Self { value: mean, ..Self::of_count(right, scores.len() as u64) };
        }
        Self { value: mean, ..Self::of_bounded(scores, 0.0, 1.0) }
    }

    /// The mean of paired differences in [−1, 1]; with none the interval is [−1, 1].
    pub(crate) fn of_paired_differences(mean: f64, differences: &[f64]) -> Self {
        let n = differences.len() as f64;
        if differences.is_empty() {
            return Self { value: mean, low: -1.0, high: 1.0 };
        }
        if differences.iter().any(|difference| difference.fract() != 0.0) {
            return Self { value: mean, ..Self::of_bounded(differences, -1.0, 1.0) };
        }
        let sum = |part: fn(f64) -> f64| differences.iter().map(|difference| part(*difference)).sum::<f64>();
        let (low, high) = difference_interval(sum(|d| d.max(0.0)), sum(|d| (-d).max(0.0)), n);
        Self { value: mean, low, high }
    }

    /// Gaffke's interval of scores between two bounds.
    fn of_bounded(scores: &[f64], least: f64, most: f64) -> Self {
        let scores = Scores::of(scores);
        let quantile = |probability| scores.quantile(probability, least, most);
        Self { value: 0.0, low: quantile(ALPHA / 2.0), high: quantile(1.0 - ALPHA / 2.0) }
    }

    /// The same in hundredths.
    pub(crate) fn in_points(self) -> Self {
        Self { value: 100.0 * self.value, low: 100.0 * self.low, high: 100.0 * self.high }
    }
}

/// The lower end of Blaker's interval.
fn blaker_low(right: u64, of: u64) -> f64 {
    if right == 0 {
        return 0.0;
    }
    let value = right as f64 / of as f64;
    let start = beta_quantile(right as f64, (of - right) as f64 + 1.0, ALPHA / 2.0);
    // Acceptability jumps, so the first rate that is acceptable is looked for from outside.
    let step = |index: u32| start + (value - start) * f64::from(index) / f64::from(BLAKER_STEPS);
    let acceptable = |rate: f64| acceptability(right, of, rate) > ALPHA;
    let first = (1..=BLAKER_STEPS).find(|index| acceptable(step(*index))).unwrap_or(BLAKER_STEPS);
    where_reached(step(first - 1), step(first), acceptable)
}

/// Blaker's acceptability of a rate that is below the measured one.
fn acceptability(right: u64, of: u64, rate: f64) -> f64 {
    let tail = binomial_upper_tail(of, rate, right);
    let lower = |at_most: u64| 1.0 - binomial_upper_tail(of, rate, at_most + 1);
    if lower(right) <= tail {
        return 1.0;
    }
    // The greatest opposite tail that does not exceed this one, by halving: tails grow with the count.
    let (mut none, mut too_many) = (None, right);
    loop {
        let low = none.map_or(0, |count: u64| count + 1);
        if low >= too_many {
            return tail + none.map_or(0.0, lower);
        }
        let middle = u64::midpoint(low, too_many);
        if lower(middle) <= tail {
            none = Some(middle);
        } else {
            too_many = middle;
        }
    }
}

/// The interval of (gained − lost) / n.
fn difference_interval(gained: f64, lost: f64, n: f64) -> (f64, f64) {
    let (low, high) = tango(gained, lost, n);
    let furthest = |count: f64| beta_quantile(count + 1.0, n - count, 1.0 - ALPHA / 2.0);
    if gained > 0.0 && lost <= 0.0 {
        (low, high.max(furthest(gained)))
    } else if lost > 0.0 && gained <= 0.0 {
        (low.min(-furthest(lost)), high)
    } else {
        (low, high)
    }
}

/// Tango's interval of (gained − lost) / n.
fn tango(gained: f64, lost: f64, n: f64) -> (f64, f64) {
    let difference = (gained - lost) / n;
    let score = |delta: f64| {
        let a = 2.0 * n;
        let b = (2.0 * n - gained + lost) * delta - gained - lost;
        let c = -lost * delta * (1.0 - delta);
        let q = ((b * b - 4.0 * a * c).max(0.0).sqrt() - b) / (2.0 * a);
        let variance = n * (2.0 * q + delta * (1.0 - delta));
        let distance = gained - lost - n * delta;
        if distance == 0.0 { 0.0 } else { distance / variance.max(f64::MIN_POSITIVE).sqrt() }
    };
    let low = where_reached(-1.0, difference, |delta| score(delta) <= Z);
    let high = where_reached(difference, 1.0, |delta| score(delta) <= -Z);
    (low, high)
}

#[cfg(test)]
mod tests;

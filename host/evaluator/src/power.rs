//! Power: the smallest difference of pass@1 that n problems can show, and the problems that a wished one asks for, told
//! before anything is drawn. *Shown* means that the paired test's p value is below 5 % (two-sided), with a probability of
//! 80 %.
//!
//! Of single answers g is the probability that a problem is gained and l that one is lost, with the difference δ = g − l.
//! Up to 1,000 problems the power is that of McNemar's exact mid-p test, summed over every outcome; beyond that Connor's
//! formula (1987) stands for it:
//!
//! ```text
//! n = (1.960 √(g + l) + 0.842 √(g + l − δ²))² / δ²
//! ```
//!
//! Before anything is measured the two models are taken to be right or wrong independently, around one half:
//! g = ((1 + δ)/2)², l = ((1 − δ)/2)². Nothing varies more, but for models that contradict each other. Where a measurement
//! is there, its own spread of the problems' differences is taken: δ = (t(97.5 %) + t(80 %)) · s / √n.

use super::comparison::Comparison;
use super::distributions::{binomial_probability, binomial_upper_tail, t_quantile, where_reached};

/// The probability with which a difference is to be shown.
pub const POWER: f64 = 0.8;

/// The two-sided level of the test.
pub const LEVEL: f64 = 0.05;

/// The standard normal quantiles of both.
const LEVEL_QUANTILE: f64 = 1.959_963_984_540_054;
const POWER_QUANTILE: f64 = 0.841_621_233_572_914_2;

/// Up to so many single answers the power is computed exactly.
const EXACT_MAX: u64 = 1_000;

/// Power tables of McNemar's test, computed once.
pub struct Power {
    /// For each number of problems that differ, the fewest gains among them that show an improvement.
    fewest_gains: Vec<Option<u64>>,
}

impl Power {
    /// Computes the tables.
    #[expect(clippy::new_without_default, reason = "it computes for a while, and nobody wants it by default")]
    pub fn new() -> Self {
        Self { fewest_gains: (0..=EXACT_MAX).map(fewest_gains).collect() }
    }

    /// The smallest difference of pass@1, in points, that so many single answers can show, whatever pass@1 is. `None` if
    /// even the greatest cannot be shown.
    pub fn smallest_points(&self, answers: u64) -> Option<f64> {
        let shows = |delta: f64| self.of_independent(answers, delta) >= POWER;
        shows(1.0).then(|| 100.0 * where_reached(0.0, 1.0, shows))
    }

    /// The single answers that a difference of so many points asks for, whatever pass@1 is.
    pub fn answers_needed(&self, points: f64) -> u64 {
        let delta = points / 100.0;
        let (mut low, mut high) = (0, 1);
        while self.of_independent(high, delta) < POWER {
            (low, high) = (high, 2 * high);
        }
        while high - low > 1 {
            let middle = u64::midpoint(low, high);
            if self.of_independent(middle, delta) >= POWER { high = middle } else { low = middle }
        }
        high
    }

    /// The power where the models are independent.
    fn of_independent(&self, answers: u64, delta: f64) -> f64 {
        let (gain, loss) = (((1.0 + delta) / 2.0).powi(2), ((1.0 - delta) / 2.0).powi(2));
        if answers <= EXACT_MAX { self.exact(answers, gain, loss) } else { connor(answers, gain, loss) }
    }

    /// The power of the exact test over `answers` pairs with these probabilities of a gain and of a loss.
    fn exact(&self, answers: u64, gain: f64, loss: f64) -> f64 {
        let share = gain / (gain + loss);
        let shown = (0..=answers).zip(&self.fewest_gains).filter_map(|(differing, fewest)| {
            let differ = binomial_probability(answers, gain + loss, differing);
            // What is this rare moves no digit that is told.
            if differ < 1e-12 { None } else { Some(differ * binomial_upper_tail(differing, share, (*fewest)?)) }
        });
        shown.sum()
    }
}

/// The fewest gains among so many differing problems of which McNemar's mid-p value is below the level.
fn fewest_gains(differing: u64) -> Option<u64> {
    let shows = |gains: u64| {
        let tail = |at_least| binomial_upper_tail(differing, 0.5, at_least);
        tail(gains) + tail(gains + 1) < LEVEL
    };
    if !shows(differing) {
        return None;
    }
    let (mut too_few, mut enough) = (differing / 2, differing);
    while enough - too_few > 1 {
        let middle = u64::midpoint(too_few, enough);
        if shows(middle) { enough = middle } else { too_few = middle }
    }
    Some(enough)
}

/// The power by Connor's formula, as a number that reaches `POWER` where the formula's n is reached.
fn connor(answers: u64, gain: f64, loss: f64) -> f64 {
    let (sum, delta) = (gain + loss, gain - loss);
    let reached = (answers as f64).sqrt() * delta - LEVEL_QUANTILE * sum.sqrt();
    let needed = POWER_QUANTILE * (sum - delta * delta).max(0.0).sqrt();
    if reached >= needed { POWER } else { 0.0 }
}

/// The spread of a measurement's differences.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MeasuredSpread {
    /// The standard deviation of the problems' differences of pass@1, in points.
    deviation_points: f64,
}

impl MeasuredSpread {
    /// The spread in a comparison; `None` if it has fewer than two problems or none of them differs.
    pub fn of(comparison: &Comparison) -> Option<Self> {
        let pairs = comparison.base.outcomes.iter().zip(&comparison.adapter.outcomes);
        let differences: Vec<f64> = pairs.map(|(base, adapter)| 100.0 * (adapter.score() - base.score())).collect();
        let n = differences.len() as f64;
        let mean = differences.iter().sum::<f64>() / n;
        let squares: f64 = differences.iter().map(|difference| (difference - mean) * (difference - mean)).sum();
        let deviation_points = (squares / (n - 1.0)).sqrt();
        (n >= 2.0 && deviation_points > 0.0).then_some(Self { deviation_points })
    }

    /// The smallest difference in points that so many problems can show; `None` with fewer than two.
    pub fn smallest_points(&self, problems: u64) -> Option<f64> {
        let degrees = (problems >= 2).then_some(problems as f64 - 1.0)?;
        let quantiles = t_quantile(degrees, 1.0 - LEVEL / 2.0) + t_quantile(degrees, POWER);
        Some(quantiles * self.deviation_points / (problems as f64).sqrt())
    }

    /// The problems that a difference of so many points asks for.
    pub fn problems_needed(&self, points: f64) -> u64 {
        let enough = |problems: u64| self.smallest_points(problems).is_some_and(|smallest| smallest <= points);
        let (mut too_few, mut high) = (1, 2);
        while !enough(high) {
            (too_few, high) = (high, 2 * high);
        }
        while high - too_few > 1 {
            let middle = u64::midpoint(too_few, high);
            if enough(middle) { high = middle } else { too_few = middle }
        }
        high
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::EvaluatorError;
    use crate::evaluation::Evaluation;
    use crate::fakes::outcome;

    #[test]
    fn exact_and_approximate_power_meet() {
        let power = Power::new();
        for delta in [0.1, 0.15, 0.3] {
            let (gain, loss) = (((1.0_f64 + delta) / 2.0).powi(2), ((1.0_f64 - delta) / 2.0).powi(2));
            let by_formula = (1..).find(|n| connor(*n, gain, loss) >= POWER).expect("some number is enough");
            let exact = power.exact(by_formula, gain, loss);
            assert!((exact - POWER).abs() < 0.03, "{delta}: {by_formula} answers have the power {exact}");
            let needed = power.answers_needed(100.0 * delta);
            assert!(needed.abs_diff(by_formula) <= 3 + by_formula / 20, "{delta}: {needed} against {by_formula}");
        }
    }

    #[test]
    fn few_problems_show_little_and_too_few_nothing() {
        let power = Power::new();
        // Of four differing problems not even four gains are significant: 2 · ½⁴ · ½ = 0.0625.
        assert_eq!((fewest_gains(4), fewest_gains(5), power.smallest_points(4)), (None, Some(5), None));
        let smallest: Vec<f64> = [5, 20, 300, 2_000].map(|n| power.smallest_points(n).expect("it can")).into();
        assert!(smallest.windows(2).all(|pair| pair[0] > pair[1]), "{smallest:?}");
        // All five must be gained: g⁵ = 0.8.
        let all_five = 100.0 * (2.0 * 0.8_f64.powf(0.1) - 1.0);
        assert!((smallest[0] - all_five).abs() < 1e-6, "{smallest:?}");
        assert!(power.answers_needed(smallest[2] + 0.1) <= 300);
    }

    #[test]
    fn a_measured_spread_is_that_of_the_differences() -> Result<(), EvaluatorError> {
        let evaluation = |right: [usize; 4]| {
            let outcomes = right.iter().enumerate().map(|(id, right)| outcome(&id.to_string(), *right, 4));
            Evaluation::of_outcomes(outcomes.collect(), &[1])
        };
        let spread = MeasuredSpread::of(&Comparison::of(evaluation([0, 0, 0, 0])?, evaluation([0, 4, 0, 4])?)?);
        let spread = spread.expect("two of them differ");
        // statsmodels 0.15.0: TTestPower().solve_power(nobs=300, alpha=0.05, power=0.8) is 0.16227 deviations.
        let smallest = spread.smallest_points(300).expect("it can") / spread.deviation_points;
        assert!((smallest - 0.162_27).abs() < 1e-4, "{smallest}");
        assert!((spread.deviation_points - 57.735).abs() < 1e-3);
        assert!(spread.problems_needed(smallest * spread.deviation_points).abs_diff(300) <= 1);
        assert_eq!(MeasuredSpread::of(&Comparison::of(evaluation([1; 4])?, evaluation([2; 4])?)?), None);
        Ok(())
    }
}

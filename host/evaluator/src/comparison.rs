//! A comparison: a base and its adapter on the same problems, with the same seeds. The difference is paired by
//! problem, which is far sharper than two intervals side by side.

use serde::{Deserialize, Serialize};

use super::error::EvaluatorError;
use super::evaluation::{Evaluation, ProblemOutcome};
use super::interval::Estimate;

/// A base and its adapter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Comparison {
    /// The base without an adapter.
    pub base: Evaluation,
    /// The base with the adapter.
    pub adapter: Evaluation,
    /// The adapter's pass@1 above the base's, in points (hundredths), with its paired interval.
    pub improvement_points: Estimate,
    /// Problems of which the adapter got more answers right.
    pub problems_better: u64,
    /// Problems of which it got fewer right.
    pub problems_worse: u64,
    /// Problems of which it got as many right.
    pub problems_equal: u64,
}

impl Comparison {
    /// Compares two evaluations of the same problems. The seed draws the interval's resamples.
    pub fn of(base: Evaluation, adapter: Evaluation, seed: u64) -> Result<Self, EvaluatorError> {
        check_same("answers a problem", base.samples_per_problem, adapter.samples_per_problem)?;
        check_same("problems", base.problems, adapter.problems)?;
        for (left, right) in base.outcomes.iter().zip(&adapter.outcomes) {
            check_same("problem", &left.id, &right.id)?;
        }
        let pairs: Vec<_> = base.outcomes.iter().zip(&adapter.outcomes).collect();
        let better = pairs.iter().filter(|(left, right)| right.correct() > left.correct()).count() as u64;
        let worse = pairs.iter().filter(|(left, right)| right.correct() < left.correct()).count() as u64;
        Ok(Self {
            improvement_points: improvement_points(&pairs, seed),
            problems_better: better,
            problems_worse: worse,
            problems_equal: pairs.len() as u64 - better - worse,
            base,
            adapter,
        })
    }
}

/// The paired difference of pass@1 over these problems, in points.
pub(crate) fn improvement_points(pairs: &[(&ProblemOutcome, &ProblemOutcome)], seed: u64) -> Estimate {
    let differences: Vec<f64> = pairs.iter().map(|(base, adapter)| 100.0 * (adapter.score() - base.score())).collect();
    let gained: i64 = pairs.iter().map(|(base, adapter)| adapter.correct() as i64 - base.correct() as i64).sum();
    let answers: usize = pairs.iter().map(|(base, _)| base.samples.len()).sum();
    // Whole numbers until the one division: a gain of exactly 5 points is 5.0, not a hair above it.
    let mean = if answers == 0 { 0.0 } else { 100.0 * gained as f64 / answers as f64 };
    Estimate::of_paired_differences(mean, &differences, seed)
}

fn check_same<T: PartialEq + ToString>(what: &'static str, base: T, adapter: T) -> Result<(), EvaluatorError> {
    if base == adapter {
        return Ok(());
    }
    Err(EvaluatorError::Mismatch { what, expected: base.to_string(), got: adapter.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fakes::outcome;

    fn evaluation(correct_of_4: &[usize]) -> Evaluation {
        let outcomes = correct_of_4.iter().enumerate().map(|(i, &c)| outcome(&format!("p{i}"), c, 4)).collect();
        Evaluation::of_outcomes(outcomes, &[1, 4]).expect("every problem has four answers")
    }

    #[test]
    fn a_gain_of_exactly_five_points_is_five() -> Result<(), EvaluatorError> {
        // 28 against 32 right answers of 80: 0.40 − 0.35 is 0.050000000000000044 in doubles.
        let base = evaluation(&[4, 4, 4, 4, 4, 4, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        let adapter = evaluation(&[4, 4, 4, 4, 4, 4, 4, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        let comparison = Comparison::of(base, adapter, 1)?;
        assert_eq!(comparison.improvement_points.value, 5.0);
        assert_eq!((comparison.problems_better, comparison.problems_worse, comparison.problems_equal), (1, 0, 19));
        Ok(())
    }

    #[test]
    fn other_problems_cannot_be_compared() {
        let mut other = evaluation(&[1, 2]);
        other.outcomes[1].id = "q".to_owned();
        let refused = Comparison::of(evaluation(&[1, 2]), other, 1).expect_err("the second problem differs");
        assert_eq!(refused.to_string(), "the two evaluations do not match: problem: expected p1, got q");
        assert!(Comparison::of(evaluation(&[1, 2]), evaluation(&[1]), 1).is_err());
    }
}

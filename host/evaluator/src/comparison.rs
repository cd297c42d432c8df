//! A comparison: a base and its adapter on the same problems, with the same seeds. The difference is paired by
//! problem, which is far sharper than two intervals side by side. Neither the interval nor the test draws anything.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::error::EvaluatorError;
use super::evaluation::{Evaluation, ProblemOutcome};
use super::interval::Estimate;
use super::paired_test::sign_flip_p_value;

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
    /// How likely a difference of pass@1 at least as great would be if neither were better (`paired_test`).
    #[serde(default)]
    pub p_value: f64,
    /// Problems of which the adapter got more answers right.
    pub problems_better: u64,
    /// Problems of which it got fewer right.
    pub problems_worse: u64,
    /// Problems of which it got as many right.
    pub problems_equal: u64,
}

impl Comparison {
    /// Compares two evaluations of the same problems.
    pub fn of(base: Evaluation, adapter: Evaluation) -> Result<Self, EvaluatorError> {
        check_same("answers a problem", base.samples_per_problem, adapter.samples_per_problem)?;
        check_same("problems", base.problems, adapter.problems)?;
        for (left, right) in base.outcomes.iter().zip(&adapter.outcomes) {
            check_same("problem", &left.id, &right.id)?;
        }
        let pairs: Vec<_> = base.outcomes.iter().zip(&adapter.outcomes).collect();
        let better = pairs.iter().filter(|(left, right)| right.correct() > left.correct()).count() as u64;
        let worse = pairs.iter().filter(|(left, right)| right.correct() < left.correct()).count() as u64;
        Ok(Self {
            improvement_points: improvement_points(&pairs),
            p_value: p_value(&pairs),
            problems_better: better,
            problems_worse: worse,
            problems_equal: pairs.len() as u64 - better - worse,
            base,
            adapter,
        })
    }
}

impl Comparison {
    /// The base and the adapter.
    pub(crate) fn sides(&self) -> [&Evaluation; 2] {
        [&self.base, &self.adapter]
    }

    /// Each domain's improvement, in points.
    pub(crate) fn improvement_by_domain(&self) -> BTreeMap<String, Estimate> {
        let mut domains: BTreeMap<String, Vec<Pair<'_>>> = BTreeMap::new();
        for pair in self.base.outcomes.iter().zip(&self.adapter.outcomes) {
            domains.entry(pair.0.domain.to_string()).or_default().push(pair);
        }
        domains.into_iter().map(|(domain, pairs)| (domain, improvement_points(&pairs))).collect()
    }
}

/// A problem's outcomes with the base and with the adapter.
pub(crate) type Pair<'a> = (&'a ProblemOutcome, &'a ProblemOutcome);

/// The paired difference of pass@1 over these problems, in points.
pub(crate) fn improvement_points(pairs: &[Pair<'_>]) -> Estimate {
    let differences: Vec<f64> = pairs.iter().map(|(base, adapter)| adapter.score() - base.score()).collect();
    let gained: i64 = pairs.iter().map(gained_answers).sum();
    let answers: usize = pairs.iter().map(|(base, _)| base.samples.len()).sum();
    let mean = if answers == 0 { 0.0 } else { gained as f64 / answers as f64 };
    let estimate = Estimate::of_paired_differences(mean, &differences).in_points();
    // Whole numbers until the one division: a gain of exactly 5 points is 5.0, not a hair above it.
    Estimate { value: if answers == 0 { 0.0 } else { 100.0 * gained as f64 / answers as f64 }, ..estimate }
}

/// How likely a difference at least as great would be over these problems if neither model were better.
pub(crate) fn p_value(pairs: &[Pair<'_>]) -> f64 {
    sign_flip_p_value(pairs.iter().map(gained_answers))
}

fn gained_answers((base, adapter): &Pair<'_>) -> i64 {
    adapter.correct() as i64 - base.correct() as i64
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
        let comparison = Comparison::of(base, adapter)?;
        assert_eq!(comparison.improvement_points.value, 5.0);
        assert_eq!((comparison.problems_better, comparison.problems_worse, comparison.problems_equal), (1, 0, 19));
        Ok(())
    }

    #[test]
    fn other_problems_cannot_be_compared() {
        let mut other = evaluation(&[1, 2]);
        other.outcomes[1].id = "q".to_owned();
        let refused = Comparison::of(evaluation(&[1, 2]), other).expect_err("the second problem differs");
        assert_eq!(refused.to_string(), "the two evaluations do not match: problem: expected p1, got q");
        assert!(Comparison::of(evaluation(&[1, 2]), evaluation(&[1])).is_err());
    }
}

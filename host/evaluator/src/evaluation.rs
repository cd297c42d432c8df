//! An evaluation: one model's answers to held-out problems, each judged by every test of its problem, and the rates
//! that follow.
//!
//! An answer is right when every test accepts it. An *error* is an answer that never ran to a comparison by its own
//! fault: no code could be found in it, it needs a module that is not there, or it crashed. Wrong answers and answers
//! over a limit are no errors. An answer that the formatter failed on, or that could not be judged, is counted as an error,
//! too; if there are many, the evaluation ends (`failures`, `judging`).

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::error::EvaluatorError;
use super::failed_test::FailedTest;
use super::interval::Estimate;
use super::pass_at_k::pass_at_k;
use hilora_contract::dataset::{Domain, EvaluationProblem};
use hilora_judge::Verdict;

/// A measured model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evaluation {
    /// How many problems.
    pub problems: u64,
    /// How many answers to each.
    pub samples_per_problem: u32,
    /// How many answers were right.
    pub correct: u64,
    /// pass@k by k, each the mean over problems.
    pub pass_at: BTreeMap<u32, Estimate>,
    /// The fraction of answers that are errors.
    pub error_rate: Estimate,
    /// Errors by cause.
    pub errors: BTreeMap<String, u64>,
    /// Answers by verdict; `no-code` if there was nothing to judge.
    pub verdicts: BTreeMap<String, u64>,
    /// Answers that were cut at `max_new_tokens`.
    pub cut: u64,
    /// Every problem with its answers.
    pub outcomes: Vec<ProblemOutcome>,
}

/// One problem's answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProblemOutcome {
    /// The problem.
    pub id: String,
    /// Its short name.
    pub title: String,
    /// Its domain.
    pub domain: Domain,
    /// Its answers, in the order they were drawn.
    pub samples: Vec<SampleOutcome>,
}

/// One judged answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SampleOutcome {
    /// The completion.
    pub completion: String,
    /// Its length in tokens.
    pub tokens: u64,
    /// Whether it was cut at `max_new_tokens`.
    pub cut: bool,
    /// The verdict; none if no code was found.
    pub verdict: Option<Verdict>,
    /// Why it is an error, if it is one.
    pub error: Option<String>,
    /// The test that it did not pass, with the cause or with what was expected and what came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed_test: Option<FailedTest>,
}

impl ProblemOutcome {
    /// How many answers were right.
    pub fn correct(&self) -> u64 {
        self.samples.iter().filter(|sample| sample.verdict == Some(Verdict::Accepted)).count() as u64
    }

    /// The fraction of answers that were right.
    pub fn score(&self) -> f64 {
        pass_at_k(self.samples.len() as u64, self.correct(), 1).unwrap_or(0.0)
    }
}

impl Evaluation {
    /// Answers of which nothing is known, because the machine or a checker kept them from being judged: the problem and
    /// the completion.
    pub fn undecided(&self) -> impl Iterator<Item = (&str, &str)> {
        let answers =
            self.outcomes.iter().flat_map(|outcome| outcome.samples.iter().map(|sample| (&outcome.id, sample)));
        let undecided = answers.filter(|(_, sample)| sample.verdict == Some(Verdict::InternalError));
        undecided.map(|(id, sample)| (id.as_str(), sample.completion.as_str()))
    }

    /// The rates of judged answers. Every problem must have the same number of them.
    pub fn of_outcomes(outcomes: Vec<ProblemOutcome>, every_k: &[u32]) -> Result<Self, EvaluatorError> {
        let samples_per_problem = outcomes.first().ok_or(EvaluatorError::NoProblems)?.samples.len();
        for outcome in &outcomes {
            let (expected, got) = (samples_per_problem, outcome.samples.len());
            if got != expected || got == 0 {
                return Err(EvaluatorError::Answers { id: outcome.id.clone(), expected: expected.max(1), got });
            }
        }
        let problems = outcomes.len();
        let correct: u64 = outcomes.iter().map(ProblemOutcome::correct).sum();
        let answers = (problems * samples_per_problem) as f64;
        let mut pass_at = BTreeMap::new();
        for &k in every_k {
            let scores: Option<Vec<f64>> = outcomes
                .iter()
                .map(|outcome| pass_at_k(samples_per_problem as u64, outcome.correct(), u64::from(k)))
                .collect();
            let scores = scores.ok_or_else(|| EvaluatorError::Answers {
                id: outcomes[0].id.clone(),
                expected: k as usize,
                got: samples_per_problem,
            })?;
            // pass@1 is rounded once, so that a threshold compares exactly.
            let mean = if k == 1 { correct as f64 / answers } else { scores.iter().sum::<f64>() / problems as f64 };
            pass_at.insert(k, Estimate::of_mean(mean, problems));
        }
        let samples = || outcomes.iter().flat_map(|outcome| &outcome.samples);
        let errors = count(samples().filter_map(|sample| sample.error.clone()));
        let error_rate = errors.values().sum::<u64>() as f64 / answers;
        Ok(Self {
            problems: problems as u64,
            samples_per_problem: samples_per_problem as u32,
            correct,
            pass_at,
            error_rate: Estimate::of_mean(error_rate, problems),
            errors,
            verdicts: count(samples().map(|sample| verdict_word(sample.verdict))),
            cut: samples().filter(|sample| sample.cut).count() as u64,
            outcomes,
        })
    }

    /// pass@1 with its interval.
    pub fn pass_at_1(&self) -> Estimate {
        // `EvaluationConfig::every_k` always holds 1; a file that lacks it says nothing about pass@1.
        self.pass_at.get(&1).copied().unwrap_or(Estimate { value: f64::NAN, low: 0.0, high: 1.0 })
    }
}

/// A verdict's word, as it stands in every file and table.
pub(crate) fn verdict_word(verdict: Option<Verdict>) -> String {
    verdict.map_or_else(|| "no-code".to_owned(), |verdict| verdict.to_string())
}

/// How often each word occurs.
fn count(words: impl Iterator<Item = String>) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    words.for_each(|word| *counts.entry(word).or_default() += 1);
    counts
}

/// Refuses problems whose answers could not be measured.
pub(crate) fn check_problems(problems: &[EvaluationProblem]) -> Result<(), EvaluatorError> {
    if problems.is_empty() {
        return Err(EvaluatorError::NoProblems);
    }
    let mut ids = BTreeSet::new();
    for problem in problems {
        let id = &problem.text.id;
        if problem.tests.is_empty() {
            return Err(EvaluatorError::NoTest { id: id.clone() });
        }
        if !ids.insert(id) {
            return Err(EvaluatorError::DuplicateProblem { id: id.clone() });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fakes::{doubling_problem, outcome};

    #[test]
    fn unmeasurable_problems_are_refused() {
        let mut untested = doubling_problem("p");
        untested.tests = [].into();
        assert!(matches!(check_problems(&[]), Err(EvaluatorError::NoProblems)));
        assert!(matches!(check_problems(&[untested]), Err(EvaluatorError::NoTest { .. })));
        let twice = [doubling_problem("p"), doubling_problem("p")];
        assert!(matches!(check_problems(&twice), Err(EvaluatorError::DuplicateProblem { .. })));
        let uneven = vec![outcome("a", 1, 2), outcome("b", 1, 3)];
        assert!(matches!(Evaluation::of_outcomes(uneven, &[1]), Err(EvaluatorError::Answers { .. })));
    }
}

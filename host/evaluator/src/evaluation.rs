//! An evaluation: one model's answers to held-out problems, each judged by every test of its problem, and the rates
//! that follow.
//!
//! An answer is right when every test accepts it. An *error* is an answer that never ran to a comparison by its own
//! fault: no code could be found in it, it needs a module that is not there, or it crashed. Wrong answers and answers
//! over a limit are no errors. An answer that the formatter failed on, or that could not be judged, is counted as an error,
//! too; if there are many, the evaluation ends (`failures`, `judging`). Answers of which nothing is known, and those that
//! need a module that the sandbox lacks, are also counted apart: they are not right, and nobody has shown that they are wrong.
//!
//! pass^k is the probability that k answers are all right. The majority's answer to a problem is the program that most of
//! its answers are, but for blank lines and the ends of lines; of several the one that was drawn first. Answers without a
//! program have no vote. Programs that do the same in other words count apart, because their outputs are not kept.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::error::EvaluatorError;
use super::extraction::Extraction;
use super::failed_test::FailedTest;
use super::failures::FORMATTER_FAILED;
use super::interval::Estimate;
use super::pass_at_k::{pass_all_k, pass_at_k};
use hilora_contract::artifact::ContentHash;
use hilora_contract::dataset::{AnswerForm, Domain, EvaluationProblem};
use hilora_judge::Verdict;

/// Hexadecimal digits that tell a program from others.
const PROGRAM_DIGITS: usize = 16;

/// A majority takes at least so many answers.
const VOTERS_MIN: usize = 3;

/// A measured model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evaluation {
    /// How many problems.
    pub problems: u64,
    /// How many answers to each; the fewest, where they differ.
    pub samples_per_problem: u32,
    /// How many answers were right.
    pub correct: u64,
    /// pass@k by k, each the mean over problems.
    pub pass_at: BTreeMap<u32, Estimate>,
    /// pass^k by k above 1: the probability that k answers are all right, the mean over problems.
    #[serde(default)]
    pub pass_all: BTreeMap<u32, Estimate>,
    /// The fraction of problems whose majority's answer is right; none with fewer than three answers, or if it is not
    /// known which of them are the same program.
    #[serde(default)]
    pub majority: Option<Estimate>,
    /// The fraction of answers that are errors.
    pub error_rate: Estimate,
    /// Errors by cause.
    pub errors: BTreeMap<String, u64>,
    /// Answers by verdict; `no-code` if there was nothing to judge.
    pub verdicts: BTreeMap<String, u64>,
    /// Answers that were cut at `max_new_tokens`.
    pub cut: u64,
    /// Answers that the machine, a checker or a formatter kept from being judged.
    #[serde(default)]
    pub not_judged: u64,
    /// Answers that need a module which the sandbox lacks.
    #[serde(default)]
    pub unsupported: u64,
    /// Every problem with its answers.
    pub outcomes: Vec<ProblemOutcome>,
}

/// One problem's answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SampleOutcome {
    /// The completion.
    pub completion: String,
    /// Its length in tokens; 0 where whoever drew it does not say.
    pub tokens: u64,
    /// Whether it was cut at `max_new_tokens`.
    pub cut: bool,
    /// The verdict; none if no code was found.
    pub verdict: Option<Verdict>,
    /// Why it is an error, if it is one.
    pub error: Option<String>,
    /// The beginning of the hash of its program without blank lines and the ends of lines; none if no code was found, or
    /// in a record of an older version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<String>,
    /// The test that it did not pass, with the cause or with what was expected and what came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed_test: Option<FailedTest>,
    /// The natural logarithm of its probability, where that was asked for and given: the sum over its tokens, the one that
    /// ends it included if whoever drew it tells that, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_probability: Option<f64>,
}

impl SampleOutcome {
    /// What tells a program from others: `program`. An answer in words is none.
    pub(crate) fn program_of(found: &Extraction, form: AnswerForm) -> Option<String> {
        let code = found.text().filter(|_| form == AnswerForm::Program)?;
        let lines: Vec<&str> = code.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
        let mut hash = ContentHash::of(lines.join("\n").as_bytes()).to_string();
        hash.truncate(PROGRAM_DIGITS);
        Some(hash)
    }

    /// Whether nothing is known of the answer, because something else than the model failed on it.
    pub(crate) fn is_not_judged(&self) -> bool {
        let by_the_formatter = self.verdict.is_none() && self.error.as_deref() == Some(FORMATTER_FAILED);
        self.verdict == Some(Verdict::InternalError) || by_the_formatter
    }
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

    /// The fraction of answers that are errors.
    fn error_share(&self) -> f64 {
        self.samples.iter().filter(|sample| sample.error.is_some()).count() as f64 / self.samples.len().max(1) as f64
    }

    /// Whether the majority's answer is right; `None` if it is not known which answers are the same program.
    pub(crate) fn majority(&self) -> Option<bool> {
        let mut votes: Vec<(&str, u64, bool)> = Vec::new();
        for sample in self.samples.iter().filter(|sample| sample.verdict.is_some()) {
            let program = sample.program.as_deref()?;
            match votes.iter_mut().find(|(other, ..)| *other == program) {
                Some((_, count, _)) => *count += 1,
                None => votes.push((program, 1, sample.verdict == Some(Verdict::Accepted))),
            }
        }
        let most = votes.iter().map(|(_, count, _)| *count).max();
        Some(votes.iter().find(|(_, count, _)| Some(*count) == most).is_some_and(|(.., right)| *right))
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
        Self::of_uneven_outcomes(outcomes, every_k)
    }

    /// The rates of judged answers, of which each problem has its own number: at least one, and at least the largest k.
    pub fn of_uneven_outcomes(outcomes: Vec<ProblemOutcome>, every_k: &[u32]) -> Result<Self, EvaluatorError> {
        let problems = outcomes.len();
        let fewest = outcomes.iter().map(|outcome| outcome.samples.len()).min().ok_or(EvaluatorError::NoProblems)?;
        let answers: usize = outcomes.iter().map(|outcome| outcome.samples.len()).sum();
        let is_even = answers == fewest * problems;
        let correct: u64 = outcomes.iter().map(ProblemOutcome::correct).sum();
        let (mut pass_at, mut pass_all) = (BTreeMap::new(), BTreeMap::new());
        for &k in every_k {
            let scores_by = |estimator: fn(u64, u64, u64) -> Option<f64>| -> Result<Vec<f64>, EvaluatorError> {
                let score = |outcome: &ProblemOutcome| {
                    let got = outcome.samples.len();
                    let score = estimator(got as u64, outcome.correct(), u64::from(k));
                    score.ok_or_else(|| EvaluatorError::Answers {
                        id: outcome.id.clone(),
                        expected: (k as usize).max(1),
                        got,
                    })
                };
                outcomes.iter().map(score).collect()
            };
            let scores = scores_by(pass_at_k)?;
            if k == 1 {
                // Rounded once, so that a threshold compares exactly.
                let mean = if is_even { correct as f64 / answers as f64 } else { mean(&scores) };
                pass_at.insert(k, Estimate::of_scores(mean, &scores));
            } else {
                pass_at.insert(k, Estimate::of_scores(mean(&scores), &scores));
                let scores = scores_by(pass_all_k)?;
                pass_all.insert(k, Estimate::of_scores(mean(&scores), &scores));
            }
        }
        let votes: Option<Vec<bool>> = outcomes.iter().map(ProblemOutcome::majority).collect();
        let votes = votes.filter(|_| fewest >= VOTERS_MIN);
        let all = || outcomes.iter().flat_map(|outcome| &outcome.samples);
        let errors = count(all().filter_map(|sample| sample.error.clone()));
        let error_shares: Vec<f64> = outcomes.iter().map(ProblemOutcome::error_share).collect();
        let error_rate =
            if is_even { errors.values().sum::<u64>() as f64 / answers as f64 } else { mean(&error_shares) };
        Ok(Self {
            problems: problems as u64,
            samples_per_problem: fewest as u32,
            correct,
            pass_at,
            pass_all,
            majority: votes.map(|votes| {
                Estimate::of_count(votes.iter().filter(|right| **right).count() as u64, votes.len() as u64)
            }),
            error_rate: Estimate::of_scores(error_rate, &error_shares),
            errors,
            verdicts: count(all().map(|sample| verdict_word(sample.verdict))),
            cut: all().filter(|sample| sample.cut).count() as u64,
            not_judged: all().filter(|sample| sample.is_not_judged()).count() as u64,
            unsupported: all().filter(|sample| sample.verdict == Some(Verdict::Unsupported)).count() as u64,
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

fn mean(scores: &[f64]) -> f64 {
    scores.iter().sum::<f64>() / scores.len().max(1) as f64
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

    #[test]
    fn the_majority_is_the_program_that_most_answers_are() -> Result<(), EvaluatorError> {
        let answers = |codes: [(&str, bool); 4]| {
            let right = outcome("p", 1, 1).samples.remove(0);
            let samples = codes.map(|(code, is_right)| SampleOutcome {
                program: SampleOutcome::program_of(
                    &if code.is_empty() { Extraction::None } else { Extraction::Found(code.to_owned()) },
                    AnswerForm::Program,
                ),
                verdict: (!code.is_empty()).then_some(if is_right { Verdict::Accepted } else { Verdict::WrongAnswer }),
                ..right.clone()
            });
            ProblemOutcome { samples: samples.to_vec(), ..outcome("p", 0, 0) }
        };
        let (right, spaced) = (("a = 1\nprint(a)", true), ("a = 1  \n\nprint(a)\n", true));
        for (codes, expected) in [
            ([("print(2)", false), right, spaced, ("print(3)", false)], true),
            ([("print(2)", false), ("print(2)", false), right, ("", false)], false),
            // A tie goes to what was drawn first, and what is no program has no vote.
            ([("print(2)", false), right, ("", false), ("", false)], false),
            ([("", false), right, ("", false), ("", false)], true),
            ([("", false); 4], false),
        ] {
            assert_eq!(answers(codes).majority(), Some(expected), "{codes:?}");
        }
        // An older record does not tell the programs.
        assert_eq!(outcome("p", 1, 4).majority(), None);
        let of = |samples| Evaluation::of_outcomes(vec![ProblemOutcome { samples, ..outcome("p", 0, 0) }], &[1]);
        let voted = answers([right; 4]).samples;
        assert_eq!(of(voted.clone())?.majority.map(|majority| majority.value), Some(1.0));
        assert_eq!(of(voted[..2].to_vec())?.majority, None);
        Ok(())
    }

    #[test]
    fn what_nobody_has_shown_to_be_wrong_is_counted_apart() -> Result<(), EvaluatorError> {
        let mut problem = outcome("p", 1, 5);
        for (sample, verdict, error) in [
            (1, Some(Verdict::InternalError), "not-judged"),
            (2, None, FORMATTER_FAILED),
            (3, Some(Verdict::Unsupported), "no module `numpy`"),
            (4, None, "no-code"),
        ] {
            problem.samples[sample].verdict = verdict;
            problem.samples[sample].error = Some(error.to_owned());
        }
        let evaluation = Evaluation::of_outcomes(vec![problem], &[1])?;
        assert_eq!((evaluation.not_judged, evaluation.unsupported, evaluation.correct), (2, 1, 1));
        Ok(())
    }
}

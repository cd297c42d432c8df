//! An evaluation: one model's answers to held-out problems, each judged by every test of its problem, and the rates
//! that follow.
//!
//! An answer is right when every test accepts it. An *error* is an answer that never ran to a comparison by its own
//! fault: no code could be found in it, it needs a module that is not there, or it crashed. Wrong answers and answers
//! over a limit are no errors. A failure of the judge itself is neither: it ends the evaluation.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::judging::{Answer, judge_answers};
use super::sampling::{Completion, CompletionEnd, Generator, SampleRequest, prompts, stream};
use super::{Estimate, EvaluationConfig, EvaluatorError, pass_at_k};
use hilora_contract::dataset::{Domain, EvaluationProblem, ProblemText};
use hilora_contract::plugin::PromptFormatter;
use hilora_judge::{Judge, Verdict};

/// Who is told how far an evaluation is; each is called with how many more are done.
pub struct Observer<'a> {
    /// Completions.
    pub generated: &'a dyn Fn(u64),
    /// Judged answers.
    pub judged: &'a (dyn Fn(u64) + Sync),
}

impl Observer<'static> {
    /// Tells nobody.
    pub const SILENT: Self = Observer { generated: &|_| {}, judged: &|_| {} };
}

/// Everything but the model that makes an evaluation.
pub struct Evaluator<'a> {
    /// Lays out prompts and finds the code in completions.
    pub formatter: &'a dyn PromptFormatter,
    /// Judges the code.
    pub judge: &'a Judge,
    /// What the formatter calls the specialist.
    pub specialist: &'a str,
    /// How many answers are drawn and which pass@k is estimated.
    pub config: &'a EvaluationConfig,
}

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
    /// Answers by verdict; `no-code` where there was nothing to judge.
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
    /// The verdict; none where no code was found.
    pub verdict: Option<Verdict>,
    /// Why it is an error, where it is one.
    pub error: Option<String>,
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
    /// The rates of judged answers. Every problem must have the same number of them.
    pub fn of_outcomes(outcomes: Vec<ProblemOutcome>, every_k: &[u32]) -> Result<Self, EvaluatorError> {
        let samples_per_problem = outcomes.first().ok_or(EvaluatorError::NoProblems)?.samples.len();
        for outcome in &outcomes {
            if outcome.samples.len() != samples_per_problem {
                let what = format!("answers to `{}`", outcome.id);
                return Err(EvaluatorError::Count { what, expected: samples_per_problem, got: outcome.samples.len() });
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
            let scores = scores.ok_or_else(|| EvaluatorError::Count {
                what: format!("answers a problem for pass@{k}"),
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

impl Evaluator<'_> {
    /// Draws and judges answers to every problem.
    pub fn evaluate(
        &self,
        generator: &dyn Generator,
        problems: &[EvaluationProblem],
        observer: &Observer<'_>,
    ) -> Result<Evaluation, EvaluatorError> {
        check_problems(problems)?;
        let completions = self.draw(generator, problems, observer.generated)?;
        let samples = self.config.samples_per_problem as usize;
        let mut codes = Vec::with_capacity(completions.len());
        for completion in &completions {
            codes.push(self.formatter.extract_solution(&completion.text)?);
        }
        let answers: Vec<Answer<'_>> = codes
            .iter()
            .enumerate()
            .filter_map(|(index, code)| Some(Answer { problem: &problems[index / samples], code: code.as_deref()? }))
            .collect();
        let mut judged = judge_answers(self.judge, &answers, observer.judged)?.into_iter();
        let mut outcomes = Vec::with_capacity(problems.len());
        let mut drawn = completions.into_iter().zip(codes);
        for problem in problems {
            let mut outcome = ProblemOutcome {
                id: problem.text.id.clone(),
                title: problem.text.title.clone(),
                domain: problem.domain.clone(),
                samples: Vec::with_capacity(samples),
            };
            for (completion, code) in drawn.by_ref().take(samples) {
                let judgement = code.and_then(|_| judged.next());
                let (verdict, error) = match judgement {
                    Some(judged) => (Some(judged.verdict), judged.error),
                    None if completion.end == CompletionEnd::PromptTooLong => {
                        (None, Some("prompt-too-long".to_owned()))
                    }
                    None => (None, Some("no-code".to_owned())),
                };
                let cut = completion.end == CompletionEnd::Cut;
                let Completion { text, tokens, .. } = completion;
                outcome.samples.push(SampleOutcome { completion: text, tokens, cut, verdict, error });
            }
            outcomes.push(outcome);
        }
        Evaluation::of_outcomes(outcomes, &self.config.every_k())
    }

    /// Every problem's completions, problem by problem.
    fn draw(
        &self,
        generator: &dyn Generator,
        problems: &[EvaluationProblem],
        on_done: &dyn Fn(u64),
    ) -> Result<Vec<Completion>, EvaluatorError> {
        let texts: Vec<ProblemText> = problems.iter().map(|problem| problem.text.clone()).collect();
        let prompts = prompts(self.formatter, self.specialist, &texts)?;
        let requests: Vec<SampleRequest<'_>> = prompts
            .iter()
            .zip(&texts)
            .flat_map(|(prompt, text)| {
                (0..self.config.samples_per_problem)
                    .map(|sample| SampleRequest { segments: &prompt.segments, stream: stream(&text.id, sample) })
            })
            .collect();
        let completions = generator.generate(&requests, &|done| on_done(done as u64))?;
        if completions.len() != requests.len() {
            let what = "completions".to_owned();
            return Err(EvaluatorError::Count { what, expected: requests.len(), got: completions.len() });
        }
        Ok(completions)
    }
}

/// A verdict's word, as it stands in every file and table.
pub(super) fn verdict_word(verdict: Option<Verdict>) -> String {
    verdict.map_or_else(|| "no-code".to_owned(), |verdict| verdict.to_string())
}

/// How often each word occurs.
fn count(words: impl Iterator<Item = String>) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    words.for_each(|word| *counts.entry(word).or_default() += 1);
    counts
}

/// Refuses problems whose answers could not be measured.
pub(super) fn check_problems(problems: &[EvaluationProblem]) -> Result<(), EvaluatorError> {
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
    use crate::fakes::{FakeFormatter, FakeGenerator, doubling_problem, fake_judge, outcome};
    use std::sync::atomic::{AtomicU64, Ordering};

    const ANSWERS: [&str; 8] =
        ["CODE:double", "CODE:six", "CODE:raise", "CODE:loop", "CODE:unfinished", "CODE:numpy", "no idea", ""];

    fn evaluate(answer: impl Fn(&str, u64) -> String, problems: &[EvaluationProblem]) -> Evaluation {
        let judge = fake_judge();
        let config = EvaluationConfig { samples_per_problem: 8, k: vec![2], ..EvaluationConfig::default() };
        let formatter = FakeFormatter::new();
        let evaluator = Evaluator { formatter: &formatter, judge: &judge, specialist: "python", config: &config };
        let (generated, judged) = (AtomicU64::new(0), AtomicU64::new(0));
        let observer = Observer {
            generated: &|done| _ = generated.fetch_add(done, Ordering::Relaxed),
            judged: &|done| _ = judged.fetch_add(done, Ordering::Relaxed),
        };
        let evaluation =
            evaluator.evaluate(&FakeGenerator(answer), problems, &observer).expect("the fakes do not fail");
        assert_eq!(generated.into_inner(), 8 * problems.len() as u64);
        let with_code: u64 = evaluation.verdicts.iter().filter(|(word, _)| *word != "no-code").map(|(_, n)| n).sum();
        assert_eq!(judged.into_inner(), with_code);
        evaluation
    }

    #[test]
    fn every_answer_has_a_fate() {
        let turn = std::cell::Cell::new(0);
        let evaluation = evaluate(
            |prompt, _| {
                assert_eq!(prompt, "python: print twice the number, in the way of p");
                turn.set(turn.get() + 1);
                ANSWERS[turn.get() - 1].to_owned()
            },
            &[doubling_problem("p")],
        );
        let counts =
            |counts: &BTreeMap<String, u64>| counts.iter().map(|(k, v)| format!("{k} {v}")).collect::<Vec<_>>();
        assert_eq!(
            counts(&evaluation.verdicts),
            ["accepted 1", "no-code 2", "runtime-error 2", "time-limit 1", "unsupported 1", "wrong-answer 1"]
        );
        assert_eq!(
            counts(&evaluation.errors),
            ["NameError 1", "SyntaxError 1", "no module `numpy` 1", "no-code 1", "prompt-too-long 1"]
        );
        assert_eq!(evaluation.pass_at_1().value, 0.125);
        assert_eq!(evaluation.pass_at[&2].value, 0.25);
        assert_eq!(evaluation.error_rate.value, 5.0 / 8.0);
        let verdicts: Vec<_> = evaluation.outcomes[0].samples.iter().map(|sample| sample.verdict).collect();
        assert_eq!(verdicts[..2], [Some(Verdict::Accepted), Some(Verdict::WrongAnswer)]);
        assert_eq!(verdicts[6..], [None, None]);
    }

    #[test]
    fn results_do_not_depend_on_the_order_of_problems() {
        let answer = |_: &str, stream: u64| ANSWERS[(stream % 7) as usize].to_owned();
        let problems: Vec<_> = ["a", "b", "c"].map(doubling_problem).into();
        let turned: Vec<_> = ["c", "a", "b"].map(doubling_problem).into();
        let (one, mut other) = (evaluate(answer, &problems), evaluate(answer, &turned));
        other.outcomes.rotate_left(1);
        assert_eq!(one, other);
        assert_ne!(one.outcomes[0].samples, one.outcomes[1].samples);
    }

    #[test]
    fn unmeasurable_problems_are_refused() {
        let mut untested = doubling_problem("p");
        untested.tests.clear();
        assert!(matches!(check_problems(&[]), Err(EvaluatorError::NoProblems)));
        assert!(matches!(check_problems(&[untested]), Err(EvaluatorError::NoTest { .. })));
        let twice = [doubling_problem("p"), doubling_problem("p")];
        assert!(matches!(check_problems(&twice), Err(EvaluatorError::DuplicateProblem { .. })));
        let uneven = vec![outcome("a", 1, 2), outcome("b", 1, 3)];
        assert!(matches!(Evaluation::of_outcomes(uneven, &[1]), Err(EvaluatorError::Count { .. })));
    }
}

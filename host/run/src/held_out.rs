//! The held-out side of a training: the evaluation file's rows for the loss and, if the metric is pass@1, the held-out
//! problems, which the current adapter answers and the judge runs.

use std::path::PathBuf;
use std::sync::Arc;

use hilora_contract::dataset::EvaluationProblem;
use hilora_contract::fault::Fault;
use hilora_contract::plugin::{OutputCheckers, PluginKind, PromptFormatter, SolutionRunner};
use hilora_evaluator::{Evaluation, EvaluationConfig, Evaluator, EvaluatorError, ModelGenerator, Watch};
use hilora_judge::Judge;
use hilora_model::{Adapter, Model, Tokenizer};
use hilora_trainer::{PassAt1, TrainingSample, Validation, ValidationConfig, ValidationMetric};

use super::data_files::DataFile;
use super::error::RunError;
use super::measurement_watch::MeasurementWatch;
use super::observer::RunObserver;
use super::rows::read_rows;
use super::run::Run;
use super::stage_key::{InputName, StageKey};
use super::tokenization::tokenize;

/// Sequences that are decoded together; results do not depend on it.
pub(crate) const BATCH_ROWS_MAX: usize = 64;

/// What a training is to be measured on, before anything is read.
pub struct HeldOutWork {
    config: ValidationConfig,
    rows: PathBuf,
    problems: Option<ProblemsWork>,
}

struct ProblemsWork {
    file: PathBuf,
    runner: Arc<dyn SolutionRunner>,
    checkers: Arc<dyn OutputCheckers>,
    workers: usize,
    evaluation: EvaluationConfig,
    specialist: String,
    seed: u64,
}

/// What a training is measured on.
pub(crate) struct HeldOut<'a> {
    config: &'a ValidationConfig,
    samples: Vec<TrainingSample>,
    problems: Option<Problems<'a>>,
}

/// What pass@1 is measured with.
struct Problems<'a> {
    work: &'a ProblemsWork,
    problems: Vec<EvaluationProblem>,
    formatter: &'a dyn PromptFormatter,
    judge: Judge,
}

impl HeldOutWork {
    /// Adds everything held out that decides a training's result.
    pub(crate) fn add_to(key: &mut StageKey, run: &Run, config: &ValidationConfig) -> Result<(), RunError> {
        key.insert(&InputName::EvaluationData, run.hash_of_prepared(DataFile::Eval)?);
        if config.metric == ValidationMetric::PassAt1 {
            key.insert(&InputName::EvaluationProblems, run.hash_of_prepared(DataFile::Tests)?);
            let runner = PluginKind::SolutionRunner;
            key.insert(&InputName::Plugin(runner), run.plugins.hash(runner)?);
        }
        Ok(())
    }

    /// What the run's validation needs; `None` if the config asks for none.
    pub(crate) fn of(run: &Run) -> Result<Option<Self>, RunError> {
        let Some(config) = run.config.validation.clone() else { return Ok(None) };
        let problems = match config.metric {
            ValidationMetric::EvalLoss => None,
            ValidationMetric::PassAt1 => Some(ProblemsWork {
                file: run.data.path(DataFile::Tests),
                runner: run.plugins.runner()?,
                checkers: run.plugins.checkers()?,
                workers: run.workers,
                evaluation: run.config.evaluation.clone(),
                specialist: run.config.specialist_type().to_owned(),
                seed: run.config.seed,
            }),
        };
        Ok(Some(Self { config, rows: run.data.path(DataFile::Eval), problems }))
    }
}

impl<'a> HeldOut<'a> {
    /// Reads and tokenizes the evaluation file and, if they are asked for, reads the problems.
    pub(crate) fn open(
        work: &'a HeldOutWork,
        formatter: &'a dyn PromptFormatter,
        specialist: &str,
        tokenizer: &Tokenizer,
        observer: &dyn RunObserver,
    ) -> Result<Self, RunError> {
        let rows = read_rows(&work.rows)?;
        let samples = tokenize(formatter, tokenizer, specialist, &rows, "held out: tokenize", observer)?;
        let mut problems = None;
        if let Some(asked) = &work.problems {
            let read: Vec<EvaluationProblem> = read_rows(&asked.file)?;
            // Nothing but the rate is kept.
            let judge = Judge::new(asked.runner.clone(), asked.workers)
                .with_checkers(asked.checkers.clone())
                .telling_expected(false);
            problems = (!read.is_empty()).then_some(Problems { work: asked, problems: read, formatter, judge });
        }
        Ok(Self { config: &work.config, samples, problems })
    }

    /// Measures pass@1 of a model with an adapter on the held-out problems, with the same seeds each time; `None` if there
    /// are none.
    pub(crate) fn pass_at_1<'b>(
        &'b self,
        tokenizer: &'b Tokenizer,
        observer: &'b dyn RunObserver,
    ) -> Option<Box<PassAt1<'b>>> {
        let problems = self.problems.as_ref()?;
        Some(Box::new(move |model, adapter| problems.measure(tokenizer, model, adapter, observer)))
    }

    /// What the trainer is told of it.
    pub(crate) fn validation<'b>(&'b self, pass_at_1: Option<&'b PassAt1<'b>>) -> Validation<'b> {
        Validation { config: self.config, samples: &self.samples, pass_at_1 }
    }
}

impl Problems<'_> {
    /// `None` if it was asked to stop before all answers were judged.
    fn measure(
        &self,
        tokenizer: &Tokenizer,
        model: &Model,
        adapter: Option<&Adapter>,
        observer: &dyn RunObserver,
    ) -> Result<Option<f64>, Box<dyn Fault + Send + Sync>> {
        let ProblemsWork { evaluation, specialist, seed, .. } = self.work;
        let formatter = self.formatter;
        let evaluator = Evaluator { formatter, judge: &self.judge, specialist, config: evaluation };
        let measured = || -> Result<Option<Evaluation>, EvaluatorError> {
            let generator =
                ModelGenerator::new(model, adapter, tokenizer, formatter, evaluation, *seed, BATCH_ROWS_MAX)?;
            let watch = MeasurementWatch::new(observer);
            let should_stop = || observer.stop_requested();
            // The trainer holds the base's files against their stamps before it saves.
            let watch = Watch { observer: &watch, should_stop: &should_stop, ..Watch::SILENT };
            evaluator.evaluate_once(&generator, &self.problems, &watch)
        };
        let rate = measured().map_err(RunError::from).and_then(|evaluation| evaluation.map(rate_of).transpose());
        rate.map_err(|error| Box::new(error) as Box<dyn Fault + Send + Sync>)
    }
}

/// The rate that the best step is chosen by, of which all answers must be judged.
fn rate_of(evaluation: Evaluation) -> Result<f64, RunError> {
    match evaluation.undecided().count() as u64 {
        0 => Ok(evaluation.pass_at_1().value),
        answers => Err(RunError::NotJudged { answers, hint: "the same command goes on from what was saved" }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hilora_contract::dataset::Domain;
    use hilora_contract::fault::Blame;
    use hilora_evaluator::{ProblemOutcome, SampleOutcome};
    use hilora_judge::Verdict;

    #[test]
    fn no_step_is_chosen_by_answers_that_were_not_judged() -> Result<(), Box<dyn std::error::Error>> {
        let rate = |verdicts: [Verdict; 2]| {
            let sample = |verdict| {
                let completion = "print(1)".to_owned();
                SampleOutcome {
                    completion,
                    tokens: 3,
                    cut: false,
                    verdict: Some(verdict),
                    error: None,
                    program: None,
                    failed_test: None,
                    log_probability: None,
                }
            };
            let (name, domain) = ("one".to_owned(), Domain("python".to_owned()));
            let samples = verdicts.into_iter().map(sample).collect();
            let outcome = ProblemOutcome { id: name.clone(), title: name, domain, samples };
            Evaluation::of_outcomes(vec![outcome], &[1]).map_err(RunError::from).and_then(rate_of)
        };
        assert_eq!(rate([Verdict::Accepted, Verdict::WrongAnswer])?, 0.5);
        let refused = rate([Verdict::Accepted, Verdict::InternalError]).expect_err("one was not judged");
        assert_eq!((refused.to_string().as_str(), refused.blame()), ("1 answers could not be judged", Blame::Machine));
        assert_eq!(refused.hints(), ["the same command goes on from what was saved"]);
        Ok(())
    }
}

//! The held-out side of a training: the evaluation file's rows for the loss and, where the metric is pass@1, the
//! held-out problems, which the current adapter answers and the judge runs.

use anyhow::Result;

use super::job::Job;
use super::tokenization::tokenize;
use super::train::read_rows;
use hilora_contract::artifact::StageInputs;
use hilora_contract::dataset::EvaluationProblem;
use hilora_contract::plugin::{PluginKind, PromptFormatter};
use hilora_evaluator::{Evaluator, ModelGenerator, Observer};
use hilora_judge::Judge;
use hilora_model::{Adapter, Model, Tokenizer};
use hilora_trainer::{PassAt1, TrainingSample, Validation, ValidationConfig, ValidationMetric};

/// Sequences that are decoded together; results do not depend on it.
const BATCH_ROWS_MAX: usize = 64;

/// What a training is measured on.
pub(super) struct HeldOut<'a> {
    config: &'a ValidationConfig,
    samples: Vec<TrainingSample>,
    problems: Option<Problems>,
}

/// What pass@1 is measured with.
struct Problems {
    problems: Vec<EvaluationProblem>,
    formatter: Box<dyn PromptFormatter>,
    judge: Judge,
}

impl<'a> HeldOut<'a> {
    /// Everything held out that decides a training's result.
    pub(super) fn add_inputs(job: &Job, config: &ValidationConfig, inputs: &mut StageInputs) -> Result<()> {
        inputs.insert("evaluation data".to_owned(), job.hash_of_prepared(&job.data_file("eval"))?);
        if config.metric == ValidationMetric::PassAt1 {
            inputs.insert("evaluation problems".to_owned(), job.hash_of_prepared(&job.data_file("tests"))?);
            inputs.insert("solution runner".to_owned(), job.plugin_hash(PluginKind::SolutionRunner)?);
        }
        Ok(())
    }

    /// Reads and tokenizes the evaluation file and, where they are asked for, the problems.
    pub(super) fn open(job: &Job, config: &'a ValidationConfig, tokenizer: &Tokenizer) -> Result<Self> {
        let formatter = job.formatter()?;
        let rows = read_rows(&job.data_file("eval"))?;
        let specialist = job.config.specialist_type();
        let samples = tokenize(&*formatter, tokenizer, specialist, &rows, "held out: tokenize", job.console)?;
        let problems = if config.metric == ValidationMetric::PassAt1 {
            let problems: Vec<EvaluationProblem> = read_rows(&job.data_file("tests"))?;
            let judge = Judge::new(job.runner()?, job.workers);
            (!problems.is_empty()).then_some(Problems { problems, formatter, judge })
        } else {
            None
        };
        Ok(Self { config, samples, problems })
    }

    /// Measures pass@1 of a model with an adapter on the held-out problems, with the same seeds each time.
    pub(super) fn pass_at_1<'b>(&'b self, job: &'b Job, tokenizer: &'b Tokenizer) -> Box<PassAt1<'b>> {
        Box::new(move |model, adapter| {
            let Some(problems) = &self.problems else { return Err("there are no held-out problems".into()) };
            Ok(problems.measure(job, tokenizer, model, adapter)?)
        })
    }

    /// What the trainer is told of it.
    pub(super) fn validation<'b>(&'b self, pass_at_1: Option<&'b PassAt1<'b>>) -> Validation<'b> {
        Validation {
            config: self.config,
            samples: &self.samples,
            pass_at_1: pass_at_1.filter(|_| self.problems.is_some()),
        }
    }
}

impl Problems {
    fn measure(&self, job: &Job, tokenizer: &Tokenizer, model: &Model, adapter: Option<&Adapter>) -> Result<f64> {
        let (config, formatter) = (&job.config, &*self.formatter);
        let evaluator = Evaluator {
            formatter,
            judge: &self.judge,
            specialist: config.specialist_type(),
            config: &config.evaluation,
        };
        let generator =
            ModelGenerator::new(model, adapter, tokenizer, formatter, &config.evaluation, config.seed, BATCH_ROWS_MAX)?;
        let answers = self.problems.len() as u64 * u64::from(config.evaluation.samples_per_problem);
        let bar = job.console.progress().stage("held out", answers, "answers");
        let observer = Observer { generated: &|_| {}, judged: &|more| bar.advance(more) };
        let evaluation = evaluator.evaluate(&generator, &self.problems, &observer)?;
        bar.finish();
        Ok(evaluation.pass_at_1().value)
    }
}

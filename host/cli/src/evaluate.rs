//! `hilora-host evaluate`, and the measuring stage of the main job: base, adapter and controls on the same held-out
//! problems with the same seeds.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use serde::Serialize;

use super::base_model::loaded;
use super::breakdowns::breakdowns;
use super::enrich::training_rows;
use super::failure::BadInput;
use super::job::Job;
use super::train::{Answers, read_examples, read_rows};
use super::{Console, ExitStatus, JobArguments};
use hilora_contract::artifact::{ContentHash, StageInputs};
use hilora_contract::dataset::EvaluationProblem;
use hilora_contract::plugin::{PluginKind, PromptFormatter};
use hilora_evaluator::{
    Comparison, Controls, Evaluation, EvaluationRecord, Evaluator, Latency, ModelDecoder, ModelGenerator, NearestCopy,
    Observer, prompt_tokens, prompts,
};
use hilora_judge::Judge;
use hilora_model::{Adapter, Model, Tokenizer};
use hilora_prepare::PrepareManifest;

/// Sequences that are decoded together; results do not depend on it.
const BATCH_ROWS_MAX: usize = 64;
/// Prompts, and tokens after each, whose decoding is timed for the gate's latency rule.
const LATENCY_PROMPTS: usize = 12;
const LATENCY_TOKENS_PER_PROMPT: usize = 48;

/// Measure the adapter and its base on the held-out problems.
#[derive(Debug, Args)]
pub(super) struct EvaluateCommand {
    #[command(flatten)]
    job: JobArguments,
}

/// A measured run: what was found, whether now or earlier.
#[derive(Debug, Serialize)]
pub(super) struct Measured {
    /// Whether nothing that the measurement reads has changed, so that it was read from its file.
    pub(super) unchanged: bool,
    /// `evaluation.json`.
    pub(super) record: EvaluationRecord,
    /// `latency.json`.
    pub(super) latency: Latency,
    /// The problems, for the report's page.
    #[serde(skip)]
    pub(super) problems: Vec<EvaluationProblem>,
}

impl EvaluateCommand {
    pub(super) fn execute(&self, console: Console) -> Result<ExitStatus> {
        let mut job = Job::open(&self.job, console)?;
        match evaluate_stage(&mut job)? {
            Some(measured) => {
                let text = super::main_job::closing_table(&measured);
                console.result(&measured, &text)?;
            }
            None => console.result(&serde_json::json!({"state": "would-run"}), "evaluate: would run")?,
        }
        Ok(ExitStatus::Done)
    }
}

/// Measures the run, unless nothing that it reads has changed. `None` in a dry run that would measure.
pub(super) fn evaluate_stage(job: &mut Job) -> Result<Option<Measured>> {
    let adapter = job.path(Answers::Own.adapter());
    if !adapter.is_dir() {
        let message = format!("the adapter {} is missing", adapter.display());
        return Err(BadInput::with_hint(message, "`hilora-host train` makes it").into());
    }
    check_is_clean(job)?;
    let inputs = stage_inputs(job)?;
    let problems = read_rows(&job.data_file("tests"))?;
    let (record_file, latency_file) = (job.path("evaluation.json"), job.path("latency.json"));
    if job.ledger.is_current("evaluate", &inputs) {
        let record = EvaluationRecord::read(&record_file)?;
        return Ok(Some(Measured { unchanged: true, record, latency: Latency::read(&latency_file)?, problems }));
    }
    if job.dry_run {
        return Ok(None);
    }
    let (record, latency) = measure(job, &inputs, &problems)?;
    record.write(&record_file)?;
    latency.write(&latency_file)?;
    job.ledger.record("evaluate", inputs, &["evaluation.json", "latency.json"])?;
    Ok(Some(Measured { unchanged: false, record, latency, problems }))
}

/// Refuses to measure an adapter on problems that its training data was not checked against: such a measurement could
/// be one of memory.
fn check_is_clean(job: &Job) -> Result<()> {
    let path = job.path("manifest.json");
    let refuse = |message: String| {
        let hint = "`hilora-host prepare`, then `train`: the manifest names what the training data was checked against";
        anyhow::Error::from(BadInput::with_hint(message, hint))
    };
    let text = std::fs::read(&path).map_err(|error| refuse(format!("cannot read {}: {error}", path.display())))?;
    let manifest: PrepareManifest =
        serde_json::from_slice(&text).map_err(|error| refuse(format!("{}: {error}", path.display())))?;
    let tests = job.data_file("tests");
    if !manifest.is_clean_of(job.hash_of(&tests)?) {
        let tests = tests.display();
        return Err(refuse(format!("the training data was not checked against {tests}, which it is measured on")));
    }
    // What was trained on is what was checked, or what `enrich` made of it.
    let prepared = job.hash_of(&job.data_file("train"))?;
    let checked = manifest.outputs.iter().any(|output| output.content == prepared);
    let trained = job.ledger.recorded_input(Answers::Own.stage(), "training data");
    let enriched = job.ledger.recorded_input("enrich", "training data") == Some(prepared);
    if checked && (trained == Some(prepared) || (enriched && trained == Some(job.hash_of(&training_rows(job)?)?))) {
        return Ok(());
    }
    Err(refuse("the adapter was trained on other data than the manifest says was checked".to_owned()))
}

fn measure(job: &Job, inputs: &StageInputs, problems: &[EvaluationProblem]) -> Result<(EvaluationRecord, Latency)> {
    let config = &job.config;
    let formatter = job.formatter()?;
    let tokenizer = Tokenizer::load(job.base_model()?)?;
    let base = job.base_model()?;
    let model = loaded(job.console, |on_weight| config.training.load_base(base, on_weight))?;
    let judge = Judge::new(job.runner()?, job.workers);
    let evaluator = Evaluator {
        formatter: &*formatter,
        judge: &judge,
        specialist: config.specialist_type(),
        config: &config.evaluation,
    };
    let progress = job.console.progress();
    let evaluate = |label: &str, adapter: Option<&Adapter>| -> Result<Evaluation> {
        let answers = problems.len() as u64 * u64::from(config.evaluation.samples_per_problem);
        let generating = progress.stage(&format!("{label}: draw"), answers, "answers");
        let running = progress.stage(&format!("{label}: run"), answers, "answers");
        let generator = ModelGenerator::new(
            &model,
            adapter,
            &tokenizer,
            &*formatter,
            &config.evaluation,
            config.seed,
            BATCH_ROWS_MAX,
        )?;
        let observer = Observer { generated: &|more| generating.advance(more), judged: &|more| running.advance(more) };
        let evaluation = evaluator.evaluate(&generator, problems, &observer)?;
        generating.finish();
        running.finish();
        Ok(evaluation)
    };

    let adapter = Adapter::load(&job.path(Answers::Own.adapter()))?.to_device(model.device())?;
    adapter.check_against(model.config())?;
    let comparison = Comparison::of(evaluate("base", None)?, evaluate("adapter", Some(&adapter))?, config.seed)?;
    let mut controls = Controls::default();
    if config.controls.shuffled_answers {
        let shuffled = Adapter::load(&job.path(Answers::Shuffled.adapter()))?.to_device(model.device())?;
        controls.shuffled_answers = Some(evaluate("shuffled", Some(&shuffled))?);
    }
    if config.controls.nearest_copy {
        let copying = progress.stage("nearest copy", problems.len() as u64, "answers");
        let examples = read_examples(&job.data_file("train"))?;
        let copy = NearestCopy::measure(problems, &examples, &judge, &|more| copying.advance(more))?;
        copying.finish();
        controls.nearest_copy = Some(copy);
    }
    let latency = measure_latency(job, &model, &adapter, &tokenizer, &*formatter, problems)?;
    let breakdowns = breakdowns(job, &comparison, problems)?;
    let record = EvaluationRecord {
        adapter_name: config.adapter_name.clone(),
        made_from: made_from(inputs),
        seed: config.seed,
        config: config.evaluation.clone(),
        comparison,
        breakdowns,
        controls,
    };
    Ok((record, latency))
}

/// What made the measurement, without the program's own hash: the record is the same bytes for the same inputs.
fn made_from(inputs: &StageInputs) -> BTreeMap<String, String> {
    inputs
        .iter()
        .filter(|(name, _)| *name != "program")
        .map(|(name, hash)| (name.clone(), hash.to_string()))
        .chain([("code version".to_owned(), env!("CARGO_PKG_VERSION").to_owned())])
        .collect()
}

fn measure_latency(
    job: &Job,
    model: &Model,
    adapter: &Adapter,
    tokenizer: &Tokenizer,
    formatter: &dyn PromptFormatter,
    problems: &[EvaluationProblem],
) -> Result<Latency> {
    let texts: Vec<_> = problems.iter().take(LATENCY_PROMPTS).map(|problem| problem.text.clone()).collect();
    let prompts = prompts(formatter, job.config.specialist_type(), &texts)?
        .iter()
        .map(|prompt| prompt_tokens(tokenizer, &prompt.segments))
        .collect::<Result<Vec<_>, _>>()?;
    let mut base = ModelDecoder::new(model, None)?;
    let mut adapted = ModelDecoder::new(model, Some(adapter))?;
    Ok(Latency::measure(&mut base, &mut adapted, &prompts, LATENCY_TOKENS_PER_PROMPT)?)
}

/// Everything that decides the measured answers.
fn stage_inputs(job: &Job) -> Result<StageInputs> {
    let config = &job.config;
    let section = serde_json::to_vec(&(
        &config.evaluation,
        config.seed,
        config.specialist_type(),
        &config.adapter_name,
        config.training.mode,
        config.controls,
        config.chat_template,
    ))?;
    let mut inputs = job.stage_inputs();
    inputs.insert("config".to_owned(), ContentHash::of(&section));
    inputs.insert("base model".to_owned(), job.base_model_hash()?);
    inputs.insert("adapter".to_owned(), job.hash_of(&job.path(Answers::Own.adapter()))?);
    if config.controls.shuffled_answers {
        inputs.insert("shuffled adapter".to_owned(), job.hash_of(&job.path(Answers::Shuffled.adapter()))?);
    }
    let files: [PathBuf; 2] = [job.data_file("tests"), job.data_file("train")];
    for (name, file) in ["evaluation problems", "training data"].into_iter().zip(&files) {
        inputs.insert(name.to_owned(), job.hash_of(file)?);
    }
    for kind in [PluginKind::PromptFormatter, PluginKind::SolutionRunner] {
        inputs.insert(kind.to_string(), job.plugin_hash(kind)?);
    }
    Ok(inputs)
}

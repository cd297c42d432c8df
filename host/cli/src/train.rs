//! `hilora-host train`, and the training stages of the main job: the adapter, and the shuffled-answers control.
//!
//! The trainer sees token ids and a mask and nothing else.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result};
use clap::Args;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::enrich::training_rows;
use super::failure::BadInput;
use super::held_out::HeldOut;
use super::job::Job;
use super::tokenization::tokenize;
use super::training_plan::show_plan;
use super::training_watch::{WatchFiles, observed_training};
use super::{Console, ExitStatus, JobArguments};
use hilora_contract::artifact::{ContentHash, StageInputs, write_atomic};
use hilora_contract::dataset::{Example, Lesson};
use hilora_contract::plugin::PluginKind;
use hilora_evaluator::ShuffledAnswers;
use hilora_model::Tokenizer;
use hilora_trainer::{StartingPoint, TrainingMode, TrainingOutcome, TrainingRun, TrainingSample};

/// Train the adapter on the prepared data.
#[derive(Debug, Args)]
pub(super) struct TrainCommand {
    #[command(flatten)]
    job: JobArguments,
    /// Tell what the training would take in memory and time on this machine, after a short calibration; write nothing
    #[arg(long)]
    plan: bool,
}

/// Which answers an adapter learns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answers {
    /// Each problem's own.
    Own,
    /// Another problem's: the control that shows what the form of the answers alone teaches.
    Shuffled,
}

/// What became of a training stage.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case", tag = "state")]
pub(super) enum TrainStage {
    /// Nothing that it reads has changed.
    Unchanged,
    /// It would run.
    WouldRun,
    /// It ran, to its end or to an interruption.
    Ran(TrainingOutcome),
}

impl Answers {
    /// The stage's name in the ledger.
    pub(super) fn stage(self) -> &'static str {
        match self {
            Self::Own => "train",
            Self::Shuffled => "control",
        }
    }

    /// The adapter's folder in the run folder.
    pub(super) fn adapter(self) -> &'static str {
        match self {
            Self::Own => "adapter",
            Self::Shuffled => "control/adapter",
        }
    }

    /// What became of its rows.
    fn record(self) -> &'static str {
        match self {
            Self::Own => "training.json",
            Self::Shuffled => "control/training.json",
        }
    }

    fn checkpoints(self) -> &'static str {
        match self {
            Self::Own => "checkpoints",
            Self::Shuffled => "control/checkpoints",
        }
    }

    fn watch_files(self, job: &Job) -> WatchFiles {
        let (metrics, tensorboard) = match self {
            Self::Own => ("metrics.jsonl", "tensorboard"),
            Self::Shuffled => ("control/metrics.jsonl", "control/tensorboard"),
        };
        WatchFiles { metrics: job.path(metrics), tensorboard: job.path(tensorboard) }
    }
}

impl TrainCommand {
    pub(super) fn execute(&self, console: Console) -> Result<ExitStatus> {
        if self.plan {
            return show_plan(&Job::open_to_read(&self.job, console)?);
        }
        let mut job = Job::open(&self.job, console)?;
        let stage = train_stage(&mut job, Answers::Own)?;
        console.result(&stage, &stage.summary(Answers::Own))?;
        Ok(stage.exit_status())
    }
}

impl TrainStage {
    /// What a person is told.
    pub(super) fn summary(&self, answers: Answers) -> String {
        let stage = answers.stage();
        match self {
            Self::Unchanged => format!("{stage}: nothing has changed, no work done"),
            Self::WouldRun => format!("{stage}: would run"),
            Self::Ran(outcome) => {
                let TrainingOutcome { steps, steps_total, final_loss, .. } = outcome;
                let interrupted = match (outcome.finished, outcome.stopped_early) {
                    (false, _) => ": interrupted, saved; run again to go on",
                    (true, true) => ": stopped early, its patience was used up",
                    (true, false) => "",
                };
                let mut text =
                    format!("{stage}: {steps} steps of {steps_total}, last loss {final_loss:.4}{interrupted}");
                if let Some(best) = outcome.best {
                    text.push_str(&format!("\n  best at step {}: {:.4}; its weights are kept", best.step, best.value));
                }
                for (count, what) in [
                    (outcome.samples_cut.len(), "rows cut to training.max_seq_length"),
                    (outcome.samples_without_targets.len(), "rows left out: cut, they have no target"),
                    (outcome.held_out_without_targets, "held-out rows left out: cut, they have no target"),
                ] {
                    if count > 0 {
                        text.push_str(&format!("\n  {count:>6}  {what}"));
                    }
                }
                text
            }
        }
    }

    /// An interrupted training has saved, and says so.
    pub(super) fn exit_status(&self) -> ExitStatus {
        match self {
            Self::Ran(outcome) if !outcome.finished => ExitStatus::Interrupted,
            _ => ExitStatus::Done,
        }
    }
}

/// Runs one training stage, unless nothing that it reads has changed.
pub(super) fn train_stage(job: &mut Job, answers: Answers) -> Result<TrainStage> {
    let data = training_rows(job)?;
    let inputs = stage_inputs(job, &data)?;
    if job.ledger.is_current(answers.stage(), &inputs) {
        return Ok(TrainStage::Unchanged);
    }
    if job.dry_run {
        return Ok(TrainStage::WouldRun);
    }
    let lessons = match answers {
        Answers::Own => read_rows(&data)?,
        Answers::Shuffled => {
            let shuffled = ShuffledAnswers::of(&read_examples(&data)?, job.config.seed)?.examples;
            shuffled.into_iter().map(Lesson::Solved).collect()
        }
    };
    check_rows(job, &data, &lessons)?;
    let tokenizer = Tokenizer::load(job.base_model()?)?;
    let label = format!("{}: tokenize", answers.stage());
    let samples =
        tokenize(&*job.formatter()?, &tokenizer, job.config.specialist_type(), &lessons, &label, job.console)?;
    let outcome = run_training(job, answers, &tokenizer, &samples)?;
    for (rows, what) in [
        (&outcome.samples_cut, "cut to training.max_seq_length"),
        (&outcome.samples_without_targets, "left out: no target among its first training.max_seq_length tokens"),
    ] {
        for row in rows {
            tracing::warn!(row, file = %data.display(), "{what}");
        }
    }
    write_record(job, answers, &outcome)?;
    if outcome.finished {
        job.ledger.record(answers.stage(), inputs, &[answers.adapter()])?;
        // They were there to resume from; left behind, they would stand in the way of a run with another config.
        match std::fs::remove_dir_all(job.path(answers.checkpoints())) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).context("cannot remove the finished run's checkpoints");
            }
            _ => {}
        }
    }
    Ok(TrainStage::Ran(outcome))
}

/// Refuses rows that the config does not ask for, before anything is loaded.
fn check_rows(job: &Job, data: &Path, lessons: &[Lesson]) -> Result<()> {
    let config = &job.config.data;
    if lessons.len() < config.min_examples {
        let (file, got, least) = (data.display(), lessons.len(), config.min_examples);
        let message = format!("data.min_examples: expected at least {least} rows in {file}, got {got}");
        return Err(BadInput::with_hint(message, "prepare more data, or lower `data.min_examples`").into());
    }
    let others: Vec<usize> =
        (0..lessons.len()).filter(|row| !config.domains.contains(lessons[*row].domain())).collect();
    let Some(first) = others.first() else { return Ok(()) };
    let domains: BTreeSet<String> = others.iter().map(|row| lessons[*row].domain().to_string()).collect();
    let domains = domains.into_iter().collect::<Vec<_>>().join(", ");
    Err(BadInput::with_hint(
        format!(
            "data.domains: {} rows of {} are of other domains ({domains}), the first is row {first}",
            others.len(),
            data.display()
        ),
        "name the domains in `data.domains`, or leave the rows out",
    )
    .into())
}

/// Everything that decides the adapter's bytes.
fn stage_inputs(job: &Job, data: &Path) -> Result<StageInputs> {
    let config = &job.config;
    let recipe = serde_json::to_vec(&(
        &config.lora,
        &config.training,
        &config.validation,
        config.seed,
        config.specialist_type(),
        config.chat_template,
    ))?;
    let mut inputs = job.stage_inputs();
    inputs.insert("training data".to_owned(), job.hash_of(data)?);
    inputs.insert("base model".to_owned(), job.base_model_hash()?);
    inputs.insert("prompt formatter".to_owned(), job.plugin_hash(PluginKind::PromptFormatter)?);
    inputs.insert("config".to_owned(), ContentHash::of(&recipe));
    if let Some(adapter) = &config.training.init_adapter {
        inputs.insert("initial adapter".to_owned(), job.hash_of(adapter)?);
    }
    if let Some(validation) = &config.validation {
        HeldOut::add_inputs(job, validation, &mut inputs)?;
    }
    Ok(inputs)
}

fn run_training(
    job: &Job,
    answers: Answers,
    tokenizer: &Tokenizer,
    samples: &[TrainingSample],
) -> Result<TrainingOutcome> {
    let config = &job.config;
    if config.training.mode == TrainingMode::Full {
        return Err(BadInput::with_hint(
            "training.mode: full trains a base model, and this job measures an adapter",
            "use qlora or lora here; `hilora-host model pretrain` trains all weights",
        )
        .into());
    }
    let held_out =
        config.validation.as_ref().map(|validation| HeldOut::open(job, validation, tokenizer)).transpose()?;
    let pass_at_1 = held_out.as_ref().map(|held_out| held_out.pass_at_1(job, tokenizer));
    let run = TrainingRun {
        base: StartingPoint::Checkpoint(job.base_model()?.to_owned()),
        base_hash: job.base_model_hash()?,
        config: &config.training,
        lora: Some(&config.lora),
        seed: config.seed,
        samples,
        validation: held_out.as_ref().map(|held_out| held_out.validation(pass_at_1.as_deref())),
        checkpoints: &job.path(answers.checkpoints()),
        output: &job.path(answers.adapter()),
    };
    observed_training(&run, answers.stage(), &answers.watch_files(job), job.console)
}

/// Writes what became of the rows beside the adapter's other records: which were cut and which were left out.
fn write_record(job: &Job, answers: Answers, outcome: &TrainingOutcome) -> Result<()> {
    let path = job.path(answers.record());
    let text = serde_json::to_vec_pretty(outcome)?;
    write_atomic(&path, &text).with_context(|| format!("cannot write {}", path.display()))
}

/// Reads a specialist's rows where each is a solved problem.
pub(super) fn read_examples(path: &Path) -> Result<Vec<Example>> {
    read_rows(path)
}

/// Reads a file of one JSON object per line.
pub(super) fn read_rows<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| BadInput::new(format!("cannot read {}: {error}", path.display())))?;
    text.lines()
        .enumerate()
        .map(|(row, line)| {
            serde_json::from_str(line)
                .map_err(|error| BadInput::new(format!("{} row {row}: {error}", path.display())).into())
        })
        .collect()
}

//! `hilora-host train`, and the training stages of the main job: the adapter, and the shuffled-answers control.
//!
//! Rows become segments in the formatter and tokens in the model's tokenizer; the trainer sees token ids and a mask
//! and nothing else.

use std::path::Path;

use anyhow::{Context, Result};
use clap::Args;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::enrich::training_rows;
use super::failure::BadInput;
use super::interrupt::InterruptGuard;
use super::job::Job;
use super::{Console, ExitStatus, JobArguments};
use crate::artifact::{ContentHash, StageInputs};
use crate::dataset::{Conversation, ConversationLesson, Example, Lesson, PolicyExample, PolicyLesson, ProblemText};
use crate::evaluator::ShuffledAnswers;
use crate::metrics::MetricsFile;
use crate::model::Tokenizer;
use crate::plugin::{FormatterExample, FormatterLesson, PluginKind, PromptFormatter, Segment, SegmentKind};
use crate::trainer::{AfterStep, StartingPoint, TrainingMode, TrainingOutcome, TrainingRun, TrainingSample, train};

/// Train the adapter on the prepared data.
#[derive(Debug, Args)]
pub(super) struct TrainCommand {
    #[command(flatten)]
    job: JobArguments,
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

    fn checkpoints(self) -> &'static str {
        match self {
            Self::Own => "checkpoints",
            Self::Shuffled => "control/checkpoints",
        }
    }

    fn metrics(self) -> &'static str {
        match self {
            Self::Own => "metrics.jsonl",
            Self::Shuffled => "control/metrics.jsonl",
        }
    }
}

impl TrainCommand {
    pub(super) fn execute(&self, console: Console) -> Result<ExitStatus> {
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
                let interrupted = if outcome.finished { "" } else { ": interrupted, saved; run again to go on" };
                let mut text =
                    format!("{stage}: {steps} steps of {steps_total}, last loss {final_loss:.4}{interrupted}");
                let too_long = outcome.samples_too_long.len();
                if too_long > 0 {
                    text.push_str(&format!("\n  {too_long:>6}  rows left out: longer than training.max_seq_length"));
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
    let tokenizer = Tokenizer::load(job.base_model()?)?;
    let samples = tokenize(&*job.formatter()?, &tokenizer, job.config.specialist_type(), &lessons)?;
    let outcome = run_training(job, answers, &samples)?;
    for index in &outcome.samples_too_long {
        tracing::warn!(row = index, file = %data.display(), "left out: longer than training.max_seq_length");
    }
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

/// Everything that decides the adapter's bytes.
fn stage_inputs(job: &Job, data: &Path) -> Result<StageInputs> {
    let config = &job.config;
    let recipe = serde_json::to_vec(&(
        &config.lora,
        &config.training,
        config.seed,
        config.specialist_type(),
        config.chat_template,
    ))?;
    let mut inputs = job.stage_inputs();
    inputs.insert("training data".to_owned(), job.hash_of(data)?);
    inputs.insert("base model".to_owned(), job.base_model_hash()?);
    inputs.insert("prompt formatter".to_owned(), job.plugin_hash(PluginKind::PromptFormatter)?);
    inputs.insert("config".to_owned(), ContentHash::of(&recipe));
    Ok(inputs)
}

fn run_training(job: &Job, answers: Answers, samples: &[TrainingSample]) -> Result<TrainingOutcome> {
    let config = &job.config;
    if config.training.mode == TrainingMode::Full {
        return Err(BadInput::with_hint(
            "training.mode: full trains a base model, and this job measures an adapter",
            "use qlora or lora here; `hilora-host model pretrain` trains all weights",
        )
        .into());
    }
    let run = TrainingRun {
        base: StartingPoint::Checkpoint(job.base_model()?.to_owned()),
        config: &config.training,
        lora: Some(&config.lora),
        seed: config.seed,
        samples,
        checkpoints: &job.path(answers.checkpoints()),
        output: &job.path(answers.adapter()),
    };
    observed_training(&run, answers.stage(), Some(&job.path(answers.metrics())), job.console)
}

/// Trains with a progress bar, a metrics file and an answer to Ctrl-C.
pub(super) fn observed_training(
    run: &TrainingRun<'_>,
    label: &str,
    metrics: Option<&Path>,
    console: Console,
) -> Result<TrainingOutcome> {
    let interrupt = InterruptGuard::arm()?;
    let progress = console.progress();
    let mut bar = None;
    let started = std::time::Instant::now();
    let mut tokens = 0;
    let mut file = None;
    let mut failure = None;
    let outcome = train(run, &mut |report| {
        if file.is_none() && failure.is_none() {
            // The first report tells where a resumed run stands, and so which lines are of a lost future.
            match metrics.map(|path| MetricsFile::resume_after(path, report.step as u64 - 1)).transpose() {
                Ok(opened) => file = opened,
                Err(error) => failure = Some(error),
            }
        }
        if let Some(Err(error)) = file.as_mut().map(|file| file.append(report)) {
            failure = Some(error);
        }
        tokens += report.tokens;
        let bar = bar.get_or_insert_with(|| progress.stage(label, report.steps_total as u64, "steps"));
        bar.set_position(report.step as u64);
        let rate = tokens as f64 / started.elapsed().as_secs_f64();
        bar.set_message(&format!("loss {:.4}, {rate:.0} tokens/s", report.loss));
        if interrupt.requested() || failure.is_some() { AfterStep::SaveAndStop } else { AfterStep::Continue }
    })?;
    if let Some(bar) = bar {
        bar.finish();
    }
    failure.map_or(Ok(outcome), |error| Err(error).context("cannot write the metrics"))
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

/// Rows as token ids with the mask that the formatter drew.
fn tokenize(
    formatter: &dyn PromptFormatter,
    tokenizer: &Tokenizer,
    specialist: &str,
    examples: &[Lesson],
) -> Result<Vec<TrainingSample>> {
    let rows: Vec<FormatterLesson> =
        examples.iter().enumerate().map(|(row, lesson)| formatter_lesson(format!("row {row}"), lesson)).collect();
    let sequences = formatter.format_lessons(specialist, &rows)?;
    sequences.iter().map(|segments| sample_of(tokenizer, segments)).collect()
}

/// A row as a formatter takes it.
pub(super) fn formatter_lesson(id: String, lesson: &Lesson) -> FormatterLesson {
    match lesson.clone() {
        Lesson::Solved(Example { problem, reasoning, solution, domain, difficulty }) => {
            let problem = ProblemText { id, title: String::new(), statement: problem, tags: Vec::new(), difficulty };
            FormatterLesson::Solved(FormatterExample { problem, reasoning, solution, domain })
        }
        Lesson::Conversation(ConversationLesson { messages, difficulty, .. }) => {
            FormatterLesson::Conversation(Conversation { id, messages, tags: Vec::new(), difficulty })
        }
        Lesson::Policy(PolicyLesson { instruction, policy, actions, outputs, difficulty, .. }) => {
            let tags = Vec::new();
            FormatterLesson::Policy(PolicyExample { id, instruction, policy, actions, outputs, tags, difficulty })
        }
    }
}

/// A row's tokens, and which of them are targets.
pub(super) fn sample_of(tokenizer: &Tokenizer, segments: &[Segment]) -> Result<TrainingSample> {
    let mut sample = TrainingSample { tokens: Vec::new(), trained: Vec::new() };
    for segment in segments {
        let tokens = match segment.kind {
            SegmentKind::Control => tokenizer.encode_control(&segment.text)?,
            SegmentKind::Content => tokenizer.encode_content(&segment.text)?,
        };
        sample.trained.extend(std::iter::repeat_n(segment.trained, tokens.len()));
        sample.tokens.extend(tokens);
    }
    Ok(sample)
}

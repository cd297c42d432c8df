//! The training stages: the adapter, and the adapter of the shuffled-answers control.
//!
//! The trainer sees token ids and a mask and nothing else.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use hilora_contract::artifact::{ContentHash, write_atomic};
use hilora_contract::dataset::{Domain, Example, Lesson};
use hilora_contract::fault::BadInput;
use hilora_contract::plugin::{PluginKind, PromptFormatter};
use hilora_evaluator::ShuffledAnswers;
use hilora_model::{BaseFiles, LoraConfig, ModelConfig, Tokenizer};
use hilora_prepare::DataConfig;
use hilora_trainer::{StartingPoint, TrainingConfig, TrainingMode, TrainingOutcome, TrainingRun};

use super::config::RunConfig;
use super::data_files::DataFile;
use super::enrich_stage::training_rows;
use super::error::RunError;
use super::held_out::{HeldOut, HeldOutWork};
use super::observer::RunObserver;
use super::rows::read_rows_watched;
use super::run::Run;
use super::stage::{Stage, StageEnd};
use super::stage_key::{InputName, StageKey, StageName};
use super::stage_result::StageReport;
use super::tokenization::{tokenize, try_out_formatter};
use super::training_watch::{WatchFiles, watched_training};

/// Which answers an adapter learns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answers {
    /// Each problem's own.
    Own,
    /// Another problem's: the control that shows what the form of the answers alone teaches.
    Shuffled,
}

/// Trains an adapter on the run's rows.
#[derive(Debug, Clone, Copy)]
pub struct TrainStage {
    /// Which answers it learns.
    pub answers: Answers,
}

/// What training works on.
pub struct TrainWork {
    answers: Answers,
    rows: PathBuf,
    data: DataConfig,
    specialist: String,
    seed: u64,
    lora: LoraConfig,
    training: TrainingConfig,
    base: PathBuf,
    base_files: BaseFiles,
    base_model: String,
    program: ContentHash,
    formatter: Box<dyn PromptFormatter>,
    held_out: Option<HeldOutWork>,
    checkpoints: PathBuf,
    output: PathBuf,
    record: PathBuf,
    watch_files: WatchFiles,
}

impl Answers {
    /// The stage that trains on them.
    pub fn stage(self) -> StageName {
        match self {
            Self::Own => StageName::Train,
            Self::Shuffled => StageName::Control,
        }
    }

    /// The adapter's folder in the run folder.
    pub fn adapter(self) -> &'static str {
        match self {
            Self::Own => "adapter",
            Self::Shuffled => "control/adapter",
        }
    }

    /// What became of its rows, in the run folder.
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

    /// Where the measurements of its training are kept.
    pub(super) fn watch_files(self, run: &Run) -> WatchFiles {
        let (metrics, tensorboard) = match self {
            Self::Own => ("metrics.jsonl", "tensorboard"),
            Self::Shuffled => ("control/metrics.jsonl", "control/tensorboard"),
        };
        WatchFiles { metrics: run.folder.file(metrics), tensorboard: run.folder.file(tensorboard) }
    }
}

impl Stage for TrainStage {
    type Inputs = TrainWork;

    fn name(&self) -> StageName {
        self.answers.stage()
    }

    fn check(&self, run: &Run, ahead: &[StageName], observer: &dyn RunObserver) -> Result<(), RunError> {
        let config = &run.config;
        if config.training.mode == TrainingMode::Full {
            return Err(BadInput::with_hint(
                "training.mode: full trains a base model, and this job measures an adapter",
                "use qlora or lora here; `hilora-host model pretrain` trains all weights",
            )
            .into());
        }
        let is_prepared_here = ahead.contains(&StageName::Prepare) && !run.data.are_given();
        if !is_prepared_here {
            run.prepared(DataFile::Train)?;
            if config.validation.is_some() {
                run.prepared(DataFile::Eval)?;
            }
        }
        if run.data.are_given() && self.answers == Answers::Own {
            let path = run.prepared(DataFile::Train)?;
            check_rows(&config.data, &path, &read_rows_watched(&path, observer)?)?;
        }
        if let Some(adapter) = &config.training.init_adapter {
            let hint = "`training.init_adapter` names a folder in PEFT's layout, relative to the current folder";
            std::fs::metadata(adapter).map_err(|error| RunError::reading_what_is_made(adapter, error, hint))?;
        }
        config.training.device.choose()?;
        let base = run.base.description(observer)?;
        ModelConfig::load(&base)?;
        let tokenizer = Tokenizer::load(&base)?;
        let formatter = run.plugins.formatter(config.chat_template, || Ok(base))?;
        try_out_formatter(&*formatter, Some(&tokenizer), config.specialist_type())
    }

    fn key(&self, run: &Run, observer: &dyn RunObserver) -> Result<Option<StageKey>, RunError> {
        let config = &run.config;
        let recipe = (
            &config.lora,
            &config.training,
            &config.validation,
            config.seed,
            config.specialist_type(),
            config.chat_template,
        );
        let recipe = serde_json::to_vec(&recipe).map_err(|error| RunError::record("the recipe", error))?;
        let mut key = run.stage_key();
        key.insert(&InputName::TrainingData, run.hash_of(&training_rows(run)?)?);
        key.insert(&InputName::BaseModel, run.base.hash(observer)?);
        let formatter = PluginKind::PromptFormatter;
        key.insert(&InputName::Plugin(formatter), run.plugins.hash(formatter)?);
        key.insert(&InputName::PromptLayout, prompt_layout(config)?);
        key.insert(&InputName::Config, ContentHash::of(&recipe));
        if let Some(adapter) = &config.training.init_adapter {
            key.insert(&InputName::InitialAdapter, run.hash_of(adapter)?);
        }
        if let Some(validation) = &config.validation {
            HeldOutWork::add_to(&mut key, run, validation)?;
        }
        Ok(Some(key))
    }

    fn inputs(&self, run: &Run, _key: Option<&StageKey>, observer: &dyn RunObserver) -> Result<TrainWork, RunError> {
        let (config, answers) = (&run.config, self.answers);
        Ok(TrainWork {
            answers,
            rows: training_rows(run)?,
            data: config.data.clone(),
            specialist: config.specialist_type().to_owned(),
            seed: config.seed,
            lora: config.lora.clone(),
            training: config.training.clone(),
            base: run.base.folder(observer)?.to_owned(),
            base_files: run.base.files(observer)?.clone(),
            base_model: config.base_model.display().to_string(),
            program: run.program(),
            formatter: run.formatter(observer)?,
            held_out: HeldOutWork::of(run)?,
            checkpoints: run.folder.file(answers.checkpoints()),
            output: run.folder.file(answers.adapter()),
            record: run.folder.file(answers.record()),
            watch_files: answers.watch_files(run),
        })
    }

    fn rehearse(&self, _work: TrainWork, _observer: &dyn RunObserver) -> Result<StageReport, RunError> {
        Ok(StageReport::Nothing {})
    }

    fn run(&self, work: TrainWork, observer: &dyn RunObserver) -> Result<StageEnd, RunError> {
        let outcome = work.train(observer)?;
        for (rows, what) in [
            (&outcome.samples_cut, "cut to training.max_seq_length"),
            (&outcome.samples_without_targets, "left out: no target among its first training.max_seq_length tokens"),
        ] {
            for row in rows {
                tracing::debug!(row, file = %work.rows.display(), "{what}");
            }
        }
        let text = serde_json::to_vec_pretty(&outcome).map_err(|error| RunError::record("the training", error))?;
        write_atomic(&work.record, &text)?;
        let is_finished = outcome.finished;
        let report = StageReport::Train(Box::new(outcome));
        Ok(if is_finished {
            StageEnd::finished(report, &[self.answers.adapter()])
        } else {
            StageEnd::interrupted(report)
        })
    }

    /// Removes the checkpoints: they were there to resume from; left behind, they would stand in the way of a run with
    /// another config.
    fn settle(&self, run: &Run) -> Result<(), RunError> {
        let checkpoints = run.folder.file(self.answers.checkpoints());
        match std::fs::remove_dir_all(&checkpoints) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(RunError::writing(&checkpoints, error)),
            _ => Ok(()),
        }
    }
}

impl TrainWork {
    fn train(&self, observer: &dyn RunObserver) -> Result<TrainingOutcome, RunError> {
        let lessons: Vec<Lesson> = match self.answers {
            Answers::Own => read_rows_watched(&self.rows, observer)?,
            Answers::Shuffled => {
                let examples: Vec<Example> = read_rows_watched(&self.rows, observer)?;
                ShuffledAnswers::of(&examples, self.seed)?.examples.into_iter().map(Lesson::Solved).collect()
            }
        };
        check_rows(&self.data, &self.rows, &lessons)?;
        let tokenizer = Tokenizer::load(&self.base)?;
        let (formatter, specialist) = (&*self.formatter, self.specialist.as_str());
        let stage = self.answers.stage().as_str();
        let label = format!("{stage}: tokenize");
        let samples = tokenize(formatter, &tokenizer, specialist, &lessons, &label, observer)?;
        let held_out = match &self.held_out {
            Some(work) => Some(HeldOut::open(work, formatter, specialist, &tokenizer, observer)?),
            None => None,
        };
        let pass_at_1 = held_out.as_ref().and_then(|held_out| held_out.pass_at_1(&tokenizer, observer));
        let run = TrainingRun {
            base: StartingPoint::Checkpoint(self.base.clone()),
            base_files: self.base_files.clone(),
            base_model: Some(&self.base_model),
            program: self.program,
            config: &self.training,
            lora: Some(&self.lora),
            seed: self.seed,
            samples: &samples,
            validation: held_out.as_ref().map(|held_out| held_out.validation(pass_at_1.as_deref())),
            checkpoints: &self.checkpoints,
            output: &self.output,
        };
        watched_training(&run, stage, &self.watch_files, observer)
    }
}

/// What decides the layout of a prompt beside the formatter: an adapter answers only what is laid out as its lessons were.
pub(crate) fn prompt_layout(config: &RunConfig) -> Result<ContentHash, RunError> {
    let layout = serde_json::to_vec(&(config.chat_template, config.specialist_type()))
        .map_err(|error| RunError::record("the layout of prompts", error))?;
    Ok(ContentHash::of(&layout))
}

/// Refuses rows that the config does not ask for, before anything is loaded.
fn check_rows(config: &DataConfig, file: &Path, lessons: &[Lesson]) -> Result<(), RunError> {
    if lessons.len() < config.min_examples {
        let (file, got, least) = (file.display(), lessons.len(), config.min_examples);
        let message = format!("data.min_examples: expected at least {least} rows in {file}, got {got}");
        return Err(BadInput::with_hint(message, "prepare more data, or lower `data.min_examples`").into());
    }
    let is_other = |lesson: &Lesson| !config.domains.contains(lesson.domain());
    let Some(first) = lessons.iter().position(is_other) else { return Ok(()) };
    let others: Vec<&Domain> = lessons.iter().filter(|lesson| is_other(lesson)).map(Lesson::domain).collect();
    let (count, file) = (others.len(), file.display());
    let domains: BTreeSet<String> = others.into_iter().map(ToString::to_string).collect();
    let domains = domains.into_iter().collect::<Vec<_>>().join(", ");
    Err(BadInput::with_hint(
        format!("data.domains: {count} rows of {file} are of other domains ({domains}), the first is row {first}"),
        "name the domains in `data.domains`, or leave the rows out",
    )
    .into())
}

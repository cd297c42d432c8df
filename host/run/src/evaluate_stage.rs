//! The measuring stage: base, adapter and controls on the same held-out problems with the same seeds.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hilora_contract::artifact::{ContentHash, FileError, StageInputs, hash_of_artifact};
use hilora_contract::dataset::{EvaluationProblem, Example};
use hilora_contract::fault::BadInput;
use hilora_contract::plugin::{OutputCheckers, PluginKind, PromptFormatter, SolutionRunner};
use hilora_evaluator::{
    EvaluationConfig, EvaluationRecord, Evaluator, Latency, MeasuredModel, Measurement, MeasurementOutcome,
    ModelGenerator, SampleRecord, Watch,
};
use hilora_judge::Judge;
use hilora_model::{Adapter, BaseFiles, Tokenizer};
use hilora_trainer::TrainingConfig;

use super::base_model::load_base;
use super::data_check::DataCheck;
use super::data_files::DataFile;
use super::error::RunError;
use super::held_out::BATCH_ROWS_MAX;
use super::measurement_watch::MeasurementWatch;
use super::observer::RunObserver;
use super::rows::read_rows;
use super::run::Run;
use super::stage::{Stage, StageEnd};
use super::stage_key::{InputName, StageKey, StageName};
use super::stage_result::StageReport;
use super::train_stage::Answers;

const RECORD: &str = "evaluation.json";
const LATENCY: &str = "latency.json";

/// Measures the run's adapter against its base.
#[derive(Debug, Clone, Copy)]
pub struct EvaluateStage;

/// What measuring works on.
pub struct EvaluateWork {
    adapter_name: String,
    specialist: String,
    seed: u64,
    evaluation: EvaluationConfig,
    training: TrainingConfig,
    made_from: BTreeMap<String, String>,
    problems: Vec<EvaluationProblem>,
    examples: Option<Vec<Example>>,
    base: PathBuf,
    base_files: BaseFiles,
    adapter: HashedFolder,
    shuffled: Option<HashedFolder>,
    contents: Contents,
    formatter: Box<dyn PromptFormatter>,
    runner: Arc<dyn SolutionRunner>,
    checkers: Arc<dyn OutputCheckers>,
    workers: usize,
    program: ContentHash,
    stages: PathBuf,
    record_file: PathBuf,
    latency_file: PathBuf,
}

/// A folder and the hash that it was found with.
struct HashedFolder {
    path: PathBuf,
    hash: ContentHash,
}

/// What decides the completions of each model, besides prompts, sampling and seed.
struct Contents {
    base: ContentHash,
    adapter: ContentHash,
    shuffled: Option<ContentHash>,
}

/// A run's measurement as its files have it.
#[derive(Debug, serde::Serialize)]
pub struct Measured {
    /// `evaluation.json`.
    pub record: EvaluationRecord,
    /// `latency.json`.
    pub latency: Latency,
    /// The problems, for the report's page.
    #[serde(skip)]
    pub problems: Vec<EvaluationProblem>,
}

impl Measured {
    /// Reads what the stage has written.
    pub fn read(run: &Run) -> Result<Self, RunError> {
        Ok(Self {
            record: EvaluationRecord::read(&run.folder.file(RECORD))?,
            latency: Latency::read(&run.folder.file(LATENCY))?,
            problems: read_rows(&run.data.path(DataFile::Tests))?,
        })
    }

    /// Where the record is.
    pub fn record_file(run: &Run) -> PathBuf {
        run.folder.file(RECORD)
    }
}

/// Refuses to decide anything by a measurement in which answers were not judged: pass@k counts them as wrong.
pub fn require_judged(record: &EvaluationRecord) -> Result<(), RunError> {
    match record.undecided() {
        0 => Ok(()),
        answers => Err(RunError::NotJudged { answers, hint: "`hilora-host evaluate` asks for them again" }),
    }
}

/// Whether there is anything to measure: held-out rows without tests (conversations, policy examples) are not measured by
/// running programs.
pub fn has_problems(run: &Run) -> bool {
    std::fs::metadata(run.data.path(DataFile::Tests)).is_ok_and(|tests| tests.len() > 0)
}

/// Where the adapter is that is measured, and whether the user named it.
fn adapter_path(run: &Run, answers: Answers) -> Result<(PathBuf, bool), RunError> {
    let is_named = answers == Answers::Own && run.named_adapter.is_some();
    let folder = match &run.named_adapter {
        Some(named) if is_named => named.clone(),
        _ => run.folder.file(answers.adapter()),
    };
    if !folder.is_dir() {
        let message = format!("the adapter {} is missing", folder.display());
        let hint =
            if is_named { "`--adapter` names a folder in PEFT's layout" } else { "`hilora-host train` makes it" };
        return Err(BadInput::with_hint(message, hint).into());
    }
    Ok((folder, is_named))
}

/// The adapter that is measured, with its hash: the one that the run's training has written and nobody has touched since,
/// or whichever one the user names.
fn adapter_folder(run: &Run, answers: Answers) -> Result<HashedFolder, RunError> {
    const MEASURE_ANY: &str = "`hilora-host evaluate --adapter FOLDER` measures any other, and its evaluation says so";
    let (folder, is_named) = adapter_path(run, answers)?;
    let got = run.hash_of(&folder)?;
    if is_named {
        return Ok(HashedFolder { path: folder, hash: got });
    }
    let message = match run.ledger().recorded_output(answers.stage().as_str(), answers.adapter()) {
        Some(expected) if expected == got => return Ok(HashedFolder { path: folder, hash: got }),
        Some(expected) => format!(
            "the adapter {} is not the one that this run has trained: expected the hash {expected}, got {got}",
            folder.display()
        ),
        None => {
            format!("the adapter {} was not trained by this run: its ledger knows of no training", folder.display())
        }
    };
    let again = "`hilora-host train` makes it anew";
    Err(BadInput::with_hint(message, format!("{again}; {MEASURE_ANY}")).into())
}

/// What made the measurement, without the program's own hash: the record is the same bytes for the same inputs.
fn made_from(inputs: &StageInputs, check: &DataCheck, named: Option<&Path>) -> BTreeMap<String, String> {
    let program = InputName::Program.to_string();
    // A name is told as it is, and not as a hash.
    let named_adapter = InputName::NamedAdapter.to_string();
    let hashes = inputs.iter().filter(|(name, _)| **name != program && **name != named_adapter);
    let mut made_from: BTreeMap<String, String> = hashes.map(|(name, hash)| (name.clone(), hash.to_string())).collect();
    made_from.insert("code version".to_owned(), env!("CARGO_PKG_VERSION").to_owned());
    if let Some(adapter) = named {
        made_from.insert(InputName::NamedAdapter.to_string(), adapter.display().to_string());
    }
    if let Some(words) = check.words() {
        made_from.insert(InputName::TrainingDataCheck.to_string(), words.to_owned());
    }
    made_from
}

impl Stage for EvaluateStage {
    type Inputs = EvaluateWork;

    fn name(&self) -> StageName {
        StageName::Evaluate
    }

    fn is_needed(&self, run: &Run, would_run: &[StageName]) -> Result<bool, RunError> {
        // What is there now says nothing of what preparing would write.
        Ok(would_run.contains(&StageName::Prepare) || !run.data.path(DataFile::Tests).exists() || has_problems(run))
    }

    fn check(&self, run: &Run, ahead: &[StageName], observer: &dyn RunObserver) -> Result<(), RunError> {
        if !ahead.contains(&StageName::Train) {
            adapter_folder(run, Answers::Own)?;
        }
        if run.data.are_given() {
            run.prepared(DataFile::Tests)?;
            if has_problems(run) && run.named_adapter.is_none() {
                DataCheck::of_given(run, observer)?;
            }
        } else if !ahead.contains(&StageName::Prepare) {
            run.prepared(DataFile::Tests)?;
        }
        run.plugins.runner()?;
        run.plugins.formatter(run.config.chat_template, || run.base.description(observer))?;
        Ok(())
    }

    fn key(&self, run: &Run, observer: &dyn RunObserver) -> Result<Option<StageKey>, RunError> {
        let adapter = adapter_folder(run, Answers::Own)?;
        let check = DataCheck::of(run, observer)?;
        let config = &run.config;
        let section = (
            &config.evaluation,
            config.seed,
            config.specialist_type(),
            &config.adapter_name,
            config.training.mode,
            config.controls,
            config.chat_template,
        );
        let section = serde_json::to_vec(&section).map_err(|error| RunError::record("the evaluation", error))?;
        let mut key = run.stage_key();
        key.insert(&InputName::Config, ContentHash::of(&section));
        key.insert(&InputName::BaseModel, run.base.hash(observer)?);
        key.insert(&InputName::Adapter, adapter.hash);
        if config.controls.shuffled_answers {
            key.insert(&InputName::ShuffledAdapter, adapter_folder(run, Answers::Shuffled)?.hash);
        }
        key.insert(&InputName::EvaluationProblems, run.hash_of(&run.data.path(DataFile::Tests))?);
        key.insert(&InputName::TrainingData, run.hash_of(&run.data.path(DataFile::Train))?);
        for kind in [PluginKind::PromptFormatter, PluginKind::SolutionRunner] {
            key.insert(&InputName::Plugin(kind), run.plugins.hash(kind)?);
        }
        if run.named_adapter.is_some() {
            key.insert(&InputName::NamedAdapter, ContentHash::of(adapter.path.as_os_str().as_encoded_bytes()));
        }
        if let Some(words) = check.words() {
            key.insert(&InputName::TrainingDataCheck, ContentHash::of(words.as_bytes()));
        }
        Ok(Some(key))
    }

    fn inputs(&self, run: &Run, key: Option<&StageKey>, observer: &dyn RunObserver) -> Result<EvaluateWork, RunError> {
        let config = &run.config;
        let check = DataCheck::of(run, observer)?;
        let key = key.cloned().unwrap_or_default();
        let controls = config.controls;
        // What the key names is what is measured, or nothing is: it is held against this hash once it is in memory.
        let hashed = |answers, name| match key.get(&name) {
            Some(hash) => adapter_path(run, answers).map(|(path, _)| HashedFolder { path, hash }),
            None => adapter_folder(run, answers),
        };
        let adapter = hashed(Answers::Own, InputName::Adapter)?;
        let shuffled =
            controls.shuffled_answers.then(|| hashed(Answers::Shuffled, InputName::ShuffledAdapter)).transpose()?;
        let base_hash = run.base.hash(observer)?;
        let device = config.training.device.choose()?.name();
        let how = serde_json::to_vec(&(config.training.mode, device, config.chat_template))
            .map_err(|error| RunError::record("the measurement", error))?;
        let content = |adapter: Option<ContentHash>| {
            let adapter: Vec<u8> = adapter.map(|hash| hash.as_bytes().to_vec()).unwrap_or_default();
            ContentHash::of_parts([base_hash.as_bytes(), &how, &adapter])
        };
        let shuffled_content = shuffled.as_ref().map(|folder| content(Some(folder.hash)));
        Ok(EvaluateWork {
            adapter_name: config.adapter_name.clone(),
            specialist: config.specialist_type().to_owned(),
            seed: config.seed,
            evaluation: config.evaluation.clone(),
            training: config.training.clone(),
            made_from: made_from(key.inputs(), &check, run.named_adapter.as_deref()),
            problems: read_rows(&run.data.path(DataFile::Tests))?,
            examples: if controls.nearest_copy { Some(read_rows(&run.data.path(DataFile::Train))?) } else { None },
            base: run.base.folder(observer)?.to_owned(),
            base_files: run.base.files(observer)?.clone(),
            contents: Contents {
                base: content(None),
                adapter: content(Some(adapter.hash)),
                shuffled: shuffled_content,
            },
            adapter,
            shuffled,
            formatter: run.formatter(observer)?,
            runner: run.plugins.runner()?,
            checkers: run.plugins.checkers()?,
            workers: run.workers,
            program: run.program(),
            stages: run.folder.file("stages"),
            record_file: run.folder.file(RECORD),
            latency_file: run.folder.file(LATENCY),
        })
    }

    fn rehearse(&self, _work: EvaluateWork, _observer: &dyn RunObserver) -> Result<StageReport, RunError> {
        Ok(StageReport::Nothing {})
    }

    fn run(&self, work: EvaluateWork, observer: &dyn RunObserver) -> Result<StageEnd, RunError> {
        match work.measure(observer)? {
            MeasurementOutcome::Measured { record, latency } => {
                record.write(&work.record_file)?;
                latency.write(&work.latency_file)?;
                let end = StageEnd::finished(StageReport::Nothing {}, &[RECORD, LATENCY]);
                Ok(StageEnd { undecided: record.undecided(), ..end })
            }
            MeasurementOutcome::Interrupted => Ok(StageEnd::interrupted(StageReport::Nothing {})),
        }
    }
}

impl HashedFolder {
    /// Refuses a folder whose content is another by now.
    fn check(&self) -> Result<(), RunError> {
        let unread = |error| FileError::reading(&self.path, error);
        let got = hash_of_artifact(&self.path).map_err(unread)?;
        if got == self.hash {
            return Ok(());
        }
        let (path, expected) = (self.path.display(), self.hash);
        let message = format!("{path} has changed while it was read: expected the hash {expected}, got {got}");
        Err(BadInput::with_hint(message, "leave an adapter as it is while it is measured").into())
    }
}

impl EvaluateWork {
    fn measure(&self, observer: &dyn RunObserver) -> Result<MeasurementOutcome, RunError> {
        let formatter = &*self.formatter;
        let tokenizer = Tokenizer::load(&self.base)?;
        let model = load_base(observer, |on_weight| self.training.load_base(&self.base, on_weight))?;
        let judge = Judge::new(self.runner.clone(), self.workers)
            .with_checkers(self.checkers.clone())
            .telling_expected(!self.evaluation.hide_expected);
        let adapter_of = |folder: &HashedFolder| -> Result<Adapter, RunError> {
            let adapter = Adapter::load(&folder.path)?.to_device(model.device())?;
            // It is in memory now: what it was hashed as is what is measured.
            folder.check()?;
            adapter.check_against(model.config())?;
            Ok(adapter)
        };
        let adapter = adapter_of(&self.adapter)?;
        let shuffled = self.shuffled.as_ref().map(adapter_of).transpose()?;
        let generator = |adapter| {
            ModelGenerator::new(&model, adapter, &tokenizer, formatter, &self.evaluation, self.seed, BATCH_ROWS_MAX)
        };
        let (base_generator, adapter_generator) = (generator(None)?, generator(Some(&adapter))?);
        let shuffled_generator = shuffled.as_ref().map(|adapter| generator(Some(adapter))).transpose()?;
        let measurement = Measurement {
            adapter_name: &self.adapter_name,
            made_from: self.made_from.clone(),
            seed: self.seed,
            evaluator: Evaluator { formatter, judge: &judge, specialist: &self.specialist, config: &self.evaluation },
            problems: &self.problems,
            base: MeasuredModel { generator: &base_generator, content: self.contents.base },
            adapter: MeasuredModel { generator: &adapter_generator, content: self.contents.adapter },
            shuffled_answers: shuffled_generator
                .as_ref()
                .zip(self.contents.shuffled)
                .map(|(generator, content)| MeasuredModel { generator, content }),
            nearest_copy: self.examples.as_deref(),
        };
        let mut samples = SampleRecord::open(&self.stages, self.program)?;
        let watch = MeasurementWatch::new(observer);
        let should_stop = || observer.stop_requested();
        let check_model = || self.base_files.check();
        let watch = Watch { observer: &watch, should_stop: &should_stop, check_model: &check_model };
        let outcome = measurement.run(&mut samples, &watch)?;
        // The decode times are of the same files.
        self.base_files.check()?;
        Ok(outcome)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_adapter_that_was_changed_since_it_was_hashed_is_refused() -> std::io::Result<()> {
        let folder = tempfile::tempdir()?;
        let weights = folder.path().join("adapter_model.safetensors");
        std::fs::write(&weights, "weights")?;
        let hashed = HashedFolder { path: folder.path().to_owned(), hash: hash_of_artifact(folder.path())? };
        assert!(hashed.check().is_ok());
        std::fs::write(&weights, "others!")?;
        let refused = hashed.check().expect_err("its weights are others").to_string();
        assert!(refused.contains("has changed while it was read: expected the hash"), "{refused}");
        Ok(())
    }
}

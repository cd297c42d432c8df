//! The measuring stage: base, adapter and controls on the same held-out problems with the same seeds.

use std::collections::BTreeMap;
use std::iter;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hilora_contract::artifact::{ContentHash, FileError, StageInputs, hash_of_artifact};
use hilora_contract::dataset::{EvaluationProblem, Example};
use hilora_contract::fault::BadInput;
use hilora_contract::plugin::{OutputCheckers, PluginKind, PromptFormatter, SolutionRunner};
use hilora_endpoint::Api;
use hilora_evaluator::{
    BenchmarkMeasurement, Contamination, EndpointGenerator, EndpointGeneratorConfig, EvaluationConfig,
    EvaluationRecord, Evaluator, EvaluatorError, Latency, MeasuredModel, Measurement, MeasurementOutcome,
    ModelGenerator, PromptRecord, SampleRecord, Side, Watch,
};
use hilora_judge::Judge;
use hilora_model::{Adapter, BaseFiles, ChatTemplateSource, ModelError, Tokenizer};
use hilora_trainer::TrainingConfig;

use super::base_model::load_base;
use super::benchmark::BenchmarkProblems;
use super::benchmark_check::{check_benchmark, rows_learned};
use super::config::RunConfig;
use super::data_check::DataCheck;
use super::data_files::DataFile;
use super::error::RunError;
use super::held_out::BATCH_ROWS_MAX;
use super::measured_benchmark::MeasuredBenchmark;
use super::measurement_watch::MeasurementWatch;
use super::observer::RunObserver;
use super::rows::read_rows;
use super::run::Run;
use super::stage::{Stage, StageEnd};
use super::stage_key::{InputName, StageKey, StageName};
use super::stage_result::StageReport;
use super::tokenization::try_out_formatter;
use super::train_stage::{Answers, prompt_layout};

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
    models: Models,
    made_from: BTreeMap<String, String>,
    problems: Vec<EvaluationProblem>,
    benchmarks: Vec<BenchmarkWork>,
    examples: Option<Vec<Example>>,
    formatter: Box<dyn PromptFormatter>,
    runner: Arc<dyn SolutionRunner>,
    checkers: Arc<dyn OutputCheckers>,
    workers: usize,
    program: ContentHash,
    stages: PathBuf,
    record_file: PathBuf,
    latency_file: PathBuf,
}

/// A benchmark that is measured.
struct BenchmarkWork {
    name: &'static str,
    made_from: BTreeMap<String, String>,
    evaluation: EvaluationConfig,
    prompt: PromptRecord,
    skipped_problems: BTreeMap<String, u64>,
    contamination: Contamination,
    problems: Vec<EvaluationProblem>,
    formatter: Box<dyn PromptFormatter>,
}

/// Whose answers are measured.
enum Models {
    /// The run's own base and adapters.
    Own(Box<OwnModels>),
    /// Those of an endpoint, which reads no file of this run.
    Endpoint(EndpointGeneratorConfig),
}

/// The run's own models, before they are in memory.
struct OwnModels {
    training: TrainingConfig,
    base: PathBuf,
    base_files: BaseFiles,
    adapter: HashedFolder,
    shuffled: Option<HashedFolder>,
    contents: Contents,
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

    /// Where the timings are.
    pub fn latency_file(run: &Run) -> PathBuf {
        run.folder.file(LATENCY)
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

/// Refuses to ask an adapter in another layout than it learned, which measures the layout and not the adapter; where the
/// user wants that, says what the training's was.
fn trained_layout(run: &Run) -> Result<Vec<(InputName, ContentHash)>, RunError> {
    if run.named_adapter.is_some() {
        return Ok(Vec::new());
    }
    let config = &run.config;
    let formatter = run.plugins.hash(PluginKind::PromptFormatter)?;
    let layout = prompt_layout(config)?;
    let mut others = Vec::new();
    let of_controls = config.controls.shuffled_answers.then_some(Answers::Shuffled);
    for answers in [Answers::Own].into_iter().chain(of_controls) {
        let recorded = |name: InputName| run.ledger().recorded_input(answers.stage().as_str(), &name.to_string());
        let other = |name, here: ContentHash| recorded(name).filter(|trained| *trained != here);
        let other_formatter = other(InputName::Plugin(PluginKind::PromptFormatter), formatter);
        let other_layout = other(InputName::PromptLayout, layout);
        if run.is_other_formatter {
            others.extend(other_formatter.map(|trained| (InputName::TrainedFormatter, trained)));
            others.extend(other_layout.map(|trained| (InputName::TrainedLayout, trained)));
            continue;
        }
        let adapter = run.folder.file(answers.adapter());
        let message = match (other_formatter, other_layout) {
            (None, None) => continue,
            (Some(trained), _) => format!(
                "the adapter {} was trained with another formatter than it is to be measured with: expected the \
                 prompt-formatter with the hash {trained}, got {} with the hash {formatter}",
                adapter.display(),
                run.plugins.formatter_file().display()
            ),
            (None, Some(_)) => format!(
                "the adapter {} was trained with another layout of prompts than it is to be measured with: expected the \
                 `chat_template` and `specialist.type` of its training, got `{}` and `{}`",
                adapter.display(),
                match config.chat_template {
                    ChatTemplateSource::Formatter => "formatter",
                    ChatTemplateSource::Model => "model",
                },
                config.specialist_type()
            ),
        };
        let hint = "measure with what it was trained with, train it anew, or measure all the same with `--other-formatter`, \
                    which the evaluation records";
        return Err(BadInput::with_hint(message, hint).into());
    }
    Ok(others)
}

/// What made the measurement, without the program's own hash: the record is the same bytes for the same inputs.
fn made_from(
    inputs: &StageInputs,
    check: &DataCheck,
    named: Option<&Path>,
    models: &Models,
) -> BTreeMap<String, String> {
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
    if let Models::Endpoint(EndpointGeneratorConfig { base_url, base_model, adapter_model, adapter_base_url, .. }) =
        models
    {
        let adapter_url = adapter_base_url.as_ref().unwrap_or(base_url);
        made_from.insert("base model".to_owned(), format!("`{base_model}` of the endpoint {base_url}"));
        made_from.insert("adapter".to_owned(), format!("`{adapter_model}` of the endpoint {adapter_url}"));
    }
    made_from
}

/// The check of the data that the measured adapter learned from, of which nobody here knows anything if it is an
/// endpoint's.
fn data_check(run: &Run, observer: &dyn RunObserver) -> Result<DataCheck, RunError> {
    if run.config.evaluation.generator.is_some() { Ok(DataCheck::Unknown) } else { DataCheck::of(run, observer) }
}

/// Whose template lays out prompts. An endpoint that chats lays out messages by its own, and the text that another one gets
/// is the formatter's or the base's.
fn template(config: &RunConfig) -> ChatTemplateSource {
    match &config.evaluation.generator {
        Some(endpoint) if endpoint.api == Api::Chat => ChatTemplateSource::Formatter,
        Some(_) | None => config.chat_template,
    }
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
        let of_endpoint = run.config.evaluation.generator.is_some();
        if of_endpoint && run.named_adapter.is_some() {
            let message = "`--adapter` names a folder, and by `evaluation.generator` an endpoint answers";
            return Err(BadInput::with_hint(message, "`evaluation.generator.adapter_model` names its adapter").into());
        }
        if !of_endpoint && !ahead.contains(&StageName::Train) {
            adapter_folder(run, Answers::Own)?;
            trained_layout(run)?;
        }
        if run.data.are_given() {
            run.prepared(DataFile::Tests)?;
            if has_problems(run) && run.named_adapter.is_none() && !of_endpoint {
                DataCheck::of_given(run, observer)?;
            }
        } else if !ahead.contains(&StageName::Prepare) {
            run.prepared(DataFile::Tests)?;
        }
        run.plugins.runner()?;
        let template = template(&run.config);
        let formatter = run.plugins.formatter(template, || run.base.description(observer))?;
        if !of_endpoint {
            let tokenizer = Tokenizer::load(&run.base.description(observer)?)?;
            try_out_formatter(&*formatter, Some(&tokenizer), run.config.specialist_type())?;
        }
        if run.config.evaluation.benchmarks.is_empty() {
            return Ok(());
        }
        if (run.data.are_given() || !ahead.contains(&StageName::Prepare)) && !has_problems(run) {
            let message = "none of the held-out rows has a test, and benchmarks are measured beside held-out problems";
            return Err(BadInput::with_hint(
                message,
                "`data.eval_fraction` or `data.evaluation_files` hold problems out",
            )
            .into());
        }
        run.benchmarks(observer)?.iter().try_for_each(|benchmark| check_benchmark(benchmark, run, template, observer))
    }

    fn key(&self, run: &Run, observer: &dyn RunObserver) -> Result<Option<StageKey>, RunError> {
        let check = data_check(run, observer)?;
        let config = &run.config;
        let section = (
            &config.evaluation,
            config.seed,
            config.specialist_type(),
            &config.adapter_name,
            config.training.mode,
            config.training.precision()?.computed,
            config.controls,
            config.chat_template,
        );
        let section = serde_json::to_vec(&section).map_err(|error| RunError::record("the evaluation", error))?;
        let mut key = run.stage_key();
        key.insert(&InputName::Config, ContentHash::of(&section));
        // What an endpoint answers with is known by its name alone, which stands in the section.
        if config.evaluation.generator.is_none() {
            let adapter = adapter_folder(run, Answers::Own)?;
            key.insert(&InputName::BaseModel, run.base.hash(observer)?);
            key.insert(&InputName::Adapter, adapter.hash);
            if config.controls.shuffled_answers {
                key.insert(&InputName::ShuffledAdapter, adapter_folder(run, Answers::Shuffled)?.hash);
            }
            for (name, hash) in trained_layout(run)? {
                key.insert(&name, hash);
            }
            if run.named_adapter.is_some() {
                let path = adapter.path.as_os_str().as_encoded_bytes();
                key.insert(&InputName::NamedAdapter, ContentHash::of(path));
            }
        }
        key.insert(&InputName::EvaluationProblems, run.hash_of(&run.data.path(DataFile::Tests))?);
        key.insert(&InputName::TrainingData, run.hash_of(&run.data.path(DataFile::Train))?);
        for benchmark in run.benchmarks(observer)? {
            let name = InputName::Benchmark(benchmark.benchmark.name.to_owned());
            key.insert(&name, benchmark.content());
        }
        for kind in [PluginKind::PromptFormatter, PluginKind::SolutionRunner] {
            key.insert(&InputName::Plugin(kind), run.plugins.hash(kind)?);
        }
        if let Some(words) = check.words() {
            key.insert(&InputName::TrainingDataCheck, ContentHash::of(words.as_bytes()));
        }
        Ok(Some(key))
    }

    fn inputs(&self, run: &Run, key: Option<&StageKey>, observer: &dyn RunObserver) -> Result<EvaluateWork, RunError> {
        let config = &run.config;
        let check = data_check(run, observer)?;
        let key = key.cloned().unwrap_or_default();
        let models = match &config.evaluation.generator {
            Some(endpoint) => Models::Endpoint(endpoint.clone()),
            None => Models::Own(Box::new(OwnModels::of(run, &key, observer)?)),
        };
        let template = template(config);
        let formatter = || run.plugins.formatter(template, || run.base.folder(observer).map(Path::to_owned));
        Ok(EvaluateWork {
            benchmarks: BenchmarkWork::all(run, &formatter, observer)?,
            adapter_name: config.adapter_name.clone(),
            specialist: config.specialist_type().to_owned(),
            seed: config.seed,
            evaluation: config.evaluation.clone(),
            made_from: made_from(key.inputs(), &check, run.named_adapter.as_deref(), &models),
            models,
            problems: read_rows(&run.data.path(DataFile::Tests))?,
            examples: if config.controls.nearest_copy {
                Some(read_rows(&run.data.path(DataFile::Train))?)
            } else {
                None
            },
            formatter: formatter()?,
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

impl OwnModels {
    fn of(run: &Run, key: &StageKey, observer: &dyn RunObserver) -> Result<Self, RunError> {
        let config = &run.config;
        // What the key names is what is measured, or nothing is: it is held against this hash once it is in memory.
        let hashed = |answers, name| match key.get(&name) {
            Some(hash) => adapter_path(run, answers).map(|(path, _)| HashedFolder { path, hash }),
            None => adapter_folder(run, answers),
        };
        let adapter = hashed(Answers::Own, InputName::Adapter)?;
        let wants_shuffled = config.controls.shuffled_answers;
        let shuffled = wants_shuffled.then(|| hashed(Answers::Shuffled, InputName::ShuffledAdapter)).transpose()?;
        let base_hash = run.base.hash(observer)?;
        let device = config.training.device.choose()?.name();
        let computed = config.training.precision()?.computed;
        let how = serde_json::to_vec(&(config.training.mode, device, computed, config.chat_template))
            .map_err(|error| RunError::record("the measurement", error))?;
        let content = |adapter: Option<ContentHash>| {
            let adapter: Vec<u8> = adapter.map(|hash| hash.as_bytes().to_vec()).unwrap_or_default();
            ContentHash::of_parts([base_hash.as_bytes(), &how, &adapter])
        };
        Ok(Self {
            training: config.training.clone(),
            base: run.base.folder(observer)?.to_owned(),
            base_files: run.base.files(observer)?.clone(),
            contents: Contents {
                base: content(None),
                adapter: content(Some(adapter.hash)),
                shuffled: shuffled.as_ref().map(|folder| content(Some(folder.hash))),
            },
            adapter,
            shuffled,
        })
    }
}

impl BenchmarkWork {
    fn all(
        run: &Run,
        formatter: &dyn Fn() -> Result<Box<dyn PromptFormatter>, RunError>,
        observer: &dyn RunObserver,
    ) -> Result<Vec<Self>, RunError> {
        let benchmarks = run.benchmarks(observer)?;
        if benchmarks.is_empty() {
            return Ok(Vec::new());
        }
        let learned = rows_learned(run, observer)?;
        let work = |benchmark: &MeasuredBenchmark| -> Result<Self, RunError> {
            let formatter = benchmark.formatter(formatter()?);
            let BenchmarkProblems { problems, skipped } = benchmark.problems.clone();
            let name = benchmark.benchmark.name;
            let trained_on = learned.as_deref().map_err(|why| *why);
            Ok(Self {
                name,
                made_from: benchmark.made_from.clone(),
                evaluation: benchmark.evaluation.clone(),
                prompt: benchmark.prompt_record(&*formatter, run.config.specialist_type())?,
                skipped_problems: skipped,
                contamination: MeasuredBenchmark::contamination(name, &problems, trained_on, observer)?,
                problems,
                formatter,
            })
        };
        benchmarks.iter().map(work).collect()
    }
}

/// What makes the base's answers and the adapter's, or why nothing does.
type Generators<G> = Result<(G, G), EvaluatorError>;

/// Base and adapter as they answer the problems of one set.
struct ComparedModels<'a> {
    base: MeasuredModel<'a>,
    adapter: MeasuredModel<'a>,
}

/// Measured models, with their control if there is one.
struct MeasuredModels<'a> {
    held_out: ComparedModels<'a>,
    /// In the order of the benchmarks.
    benchmarks: Vec<ComparedModels<'a>>,
    shuffled_answers: Option<MeasuredModel<'a>>,
}

impl EvaluateWork {
    fn measure(&self, observer: &dyn RunObserver) -> Result<MeasurementOutcome, RunError> {
        match &self.models {
            Models::Own(models) => self.measure_own(models, observer),
            Models::Endpoint(endpoint) => self.measure_endpoint(endpoint, observer),
        }
    }

    fn measure_endpoint(
        &self,
        endpoint: &EndpointGeneratorConfig,
        observer: &dyn RunObserver,
    ) -> Result<MeasurementOutcome, RunError> {
        let generators = self.of_each_set(&|evaluation, formatter| {
            let generator = |side| EndpointGenerator::new(endpoint, side, evaluation, formatter, self.seed);
            Ok((generator(Side::Base)?, generator(Side::Adapter)?))
        })?;
        let mut compared = generators.iter().map(|(base, adapter)| ComparedModels {
            base: MeasuredModel { generator: base, timed: None, content: base.content() },
            adapter: MeasuredModel { generator: adapter, timed: None, content: adapter.content() },
        });
        let Some(held_out) = compared.next() else { return Ok(MeasurementOutcome::Interrupted) };
        let models = MeasuredModels { held_out, benchmarks: compared.collect(), shuffled_answers: None };
        self.run_measurement(models, &|| Ok(()), observer)
    }

    fn measure_own(&self, models: &OwnModels, observer: &dyn RunObserver) -> Result<MeasurementOutcome, RunError> {
        let OwnModels { training, base, base_files, adapter, shuffled, contents } = models;
        let tokenizer = Tokenizer::load(base)?;
        // As training computes, so that what is drawn has the probabilities that it learned.
        let model = load_base(observer, |on_weight| training.load_base(base, on_weight))?
            .computing_in(training.precision()?.computed)?;
        let adapter_of = |folder: &HashedFolder| -> Result<Adapter, RunError> {
            let adapter = Adapter::load(&folder.path)?.to_device(model.device())?;
            // It is in memory now: what it was hashed as is what is measured.
            folder.check()?;
            adapter.check_against(model.config())?;
            Ok(adapter)
        };
        let adapter = adapter_of(adapter)?;
        let shuffled = shuffled.as_ref().map(adapter_of).transpose()?;
        let generator = |adapter, evaluation: &EvaluationConfig, formatter: &dyn PromptFormatter| {
            ModelGenerator::new(&model, adapter, &tokenizer, formatter, evaluation, self.seed, BATCH_ROWS_MAX)
        };
        let generators = self.of_each_set(&|evaluation, formatter| {
            Ok((generator(None, evaluation, formatter)?, generator(Some(&adapter), evaluation, formatter)?))
        })?;
        let (evaluation, formatter) = (&self.evaluation, &*self.formatter);
        let shuffled_generator =
            shuffled.as_ref().map(|adapter| generator(Some(adapter), evaluation, formatter)).transpose()?;
        fn measured<'a>(generator: &'a ModelGenerator<'a>, content: ContentHash) -> MeasuredModel<'a> {
            MeasuredModel { generator, timed: Some(generator), content }
        }
        let mut compared = generators.iter().map(|(base, adapter)| ComparedModels {
            base: measured(base, contents.base),
            adapter: measured(adapter, contents.adapter),
        });
        let Some(held_out) = compared.next() else { return Ok(MeasurementOutcome::Interrupted) };
        let models = MeasuredModels {
            held_out,
            benchmarks: compared.collect(),
            shuffled_answers: shuffled_generator
                .as_ref()
                .zip(contents.shuffled)
                .map(|(generator, content)| measured(generator, content)),
        };
        let outcome = self.run_measurement(models, &|| base_files.check(), observer)?;
        // The decode times are of the same files.
        base_files.check()?;
        Ok(outcome)
    }

    /// What makes the two models of each set of problems: of the held-out ones, and then of each benchmark.
    fn of_each_set<G>(
        &self,
        generators: &dyn Fn(&EvaluationConfig, &dyn PromptFormatter) -> Generators<G>,
    ) -> Result<Vec<(G, G)>, EvaluatorError> {
        let benchmarks = self.benchmarks.iter().map(|benchmark| (&benchmark.evaluation, &*benchmark.formatter));
        let sets = iter::once((&self.evaluation, &*self.formatter)).chain(benchmarks);
        sets.map(|(evaluation, formatter)| generators(evaluation, formatter)).collect()
    }

    fn run_measurement(
        &self,
        models: MeasuredModels<'_>,
        check_model: &(dyn Fn() -> Result<(), ModelError> + Sync),
        observer: &dyn RunObserver,
    ) -> Result<MeasurementOutcome, RunError> {
        let formatter = &*self.formatter;
        let judge = Judge::new(self.runner.clone(), self.workers)
            .with_checkers(self.checkers.clone())
            .telling_expected(!self.evaluation.hide_expected);
        let MeasuredModels { held_out: ComparedModels { base, adapter }, benchmarks, shuffled_answers } = models;
        let benchmarks = self.benchmarks.iter().zip(benchmarks).map(|(work, ComparedModels { base, adapter })| {
            BenchmarkMeasurement {
                name: work.name,
                made_from: work.made_from.clone(),
                prompt: work.prompt.clone(),
                skipped_problems: work.skipped_problems.clone(),
                contamination: work.contamination.clone(),
                evaluator: Evaluator {
                    formatter: &*work.formatter,
                    judge: &judge,
                    specialist: &self.specialist,
                    config: &work.evaluation,
                },
                problems: &work.problems,
                base,
                adapter,
            }
        });
        let measurement = Measurement {
            adapter_name: &self.adapter_name,
            made_from: self.made_from.clone(),
            seed: self.seed,
            evaluator: Evaluator { formatter, judge: &judge, specialist: &self.specialist, config: &self.evaluation },
            problems: &self.problems,
            base,
            adapter,
            shuffled_answers,
            benchmarks: benchmarks.collect(),
            nearest_copy: self.examples.as_deref(),
        };
        let mut samples = SampleRecord::open(&self.stages, self.program)?;
        let watch = MeasurementWatch::new(observer);
        let should_stop = || observer.stop_requested();
        let watch = Watch { observer: &watch, should_stop: &should_stop, check_model };
        Ok(measurement.run(&mut samples, &watch)?)
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

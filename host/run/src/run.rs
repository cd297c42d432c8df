//! A run: one config, one run folder, the plugins that do the work, and the ledger of what is already done.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use hilora_contract::artifact::{ContentHash, StageLedger, hash_of_artifact};
use hilora_contract::fault::BadInput;
use hilora_contract::plugin::PromptFormatter;
use hilora_evaluator::BenchmarkConfig;
use hilora_judge::workers::WorkerCommand;
use hilora_model::DeviceChoice;
use hilora_prepare::DataConfig;

use super::base_model::BaseModel;
use super::benchmark::resolve_files;
use super::config::RunConfig;
use super::data_files::{DataFile, DataFiles};
use super::environment::{Environment, available_cores};
use super::error::RunError;
use super::measured_benchmark::MeasuredBenchmark;
use super::observer::RunObserver;
use super::program::program_hash;
use super::run_folder::RunFolder;
use super::run_plugins::RunPlugins;
use super::source_files::{is_source, source_files};
use super::source_view::ANY_LAYOUT;
use super::stage_key::{StageKey, StageName};

/// Which run to open, and what replaces the config's own values.
#[derive(Debug, Clone)]
pub struct RunOptions {
    /// The configuration's file.
    pub config: PathBuf,
    /// The run folder; by default `runs/<the config's file name>`.
    pub folder: Option<PathBuf>,
    /// Components that replace the config's plugin of the same kind.
    pub plugins: Vec<PathBuf>,
    /// Replaces the config's seed.
    pub seed: Option<u64>,
    /// Replaces the config's `training.device`.
    pub device: Option<DeviceChoice>,
    /// Untrusted programs that run at once; by default one per core.
    pub workers: Option<usize>,
    /// The registry's database.
    pub registry: PathBuf,
    /// Whether an adapter may be measured although its rows were not checked against the held-out problems; the
    /// evaluation says so.
    pub is_unchecked: bool,
    /// An adapter to measure in the place of the one that the run has trained; the evaluation says so.
    pub adapter: Option<PathBuf>,
    /// A benchmark that is measured in the place of the config's of the same name, or beside its others.
    pub benchmark: Option<BenchmarkConfig>,
    /// Whether an adapter may be measured with another formatter or chat template than it was trained with; the evaluation
    /// says so.
    pub is_other_formatter: bool,
    /// Whether nothing may be written.
    pub is_dry: bool,
    /// The program that serves as a worker process.
    pub worker: WorkerCommand,
}

impl RunOptions {
    /// The run of a config with everything else by default. `worker` runs untrusted programs.
    pub fn new(config: impl Into<PathBuf>, worker: WorkerCommand) -> Self {
        Self {
            config: config.into(),
            folder: None,
            plugins: Vec::new(),
            seed: None,
            device: None,
            workers: None,
            registry: "runs/registry.sqlite".into(),
            is_unchecked: false,
            adapter: None,
            benchmark: None,
            is_other_formatter: false,
            is_dry: false,
            worker,
        }
    }
}

/// The resolved config, in the run folder.
const CONFIG_FILE: &str = "config.yaml";
/// Where the run is, in the run folder.
const ENVIRONMENT_FILE: &str = "environment.json";

/// What the files that describe a run were before they were written anew.
pub(crate) struct EarlierDescription(Vec<(&'static str, Vec<u8>)>);

/// One run, opened; and locked, unless it is dry.
pub struct Run {
    /// The resolved configuration.
    pub config: RunConfig,
    /// Where everything is written.
    pub folder: RunFolder,
    /// The specialist's rows.
    pub data: DataFiles,
    /// The base model.
    pub base: BaseModel,
    /// The plugins.
    pub plugins: RunPlugins,
    /// Untrusted programs that run at once.
    pub workers: usize,
    /// The registry's database.
    pub registry: PathBuf,
    /// Whether an adapter may be measured although its rows were not checked against the held-out problems.
    pub is_unchecked: bool,
    /// The adapter that is measured in the place of the run's own.
    pub named_adapter: Option<PathBuf>,
    /// Whether an adapter may be measured with another formatter or chat template than it was trained with.
    pub is_other_formatter: bool,
    is_dry: bool,
    ledger: Mutex<StageLedger>,
    program: ContentHash,
    benchmarks: OnceLock<Vec<MeasuredBenchmark>>,
}

/// `train_file` takes what `files` takes: where it names rows that nobody has prepared, they are the source.
fn take_train_file_as_source(data: &mut DataConfig) -> Result<(), RunError> {
    let Some(train) = data.train_file.clone().filter(|train| data.is_prepared() && is_source(train)) else {
        return Ok(());
    };
    if let Some(eval) = &data.eval_file {
        let message = format!(
            "data.train_file is {}, whose rows are not prepared, so that data.eval_file, {}, is not read: of rows that are \
             prepared here, data.eval_fraction are held out",
            train.display(),
            eval.display()
        );
        return Err(BadInput::with_hint(message, "leave `data.eval_file` out, name what is to be held out under `data.evaluation_files`, or prepare the rows of both").into());
    }
    data.source = ANY_LAYOUT.to_owned();
    data.files = vec![train];
    data.train_file = None;
    Ok(())
}

/// Puts a benchmark in the place of the one of its name: what it says goes before what the config says of it.
fn take_benchmark(config: &mut RunConfig, asked: &BenchmarkConfig) -> Result<(), RunError> {
    let benchmarks = &mut config.evaluation.benchmarks;
    let place = benchmarks.iter().position(|benchmark| benchmark.name == asked.name);
    let benchmark = match place {
        Some(place) => &mut benchmarks[place],
        None => benchmarks.push_mut(BenchmarkConfig { name: asked.name.clone(), ..BenchmarkConfig::default() }),
    };
    if !asked.files.is_empty() {
        benchmark.files = asked.files.clone();
    }
    let BenchmarkConfig { from, to, limit, k, .. } = asked.clone();
    benchmark.from = from.or(benchmark.from.take());
    benchmark.to = to.or(benchmark.to.take());
    benchmark.limit = limit.or(benchmark.limit);
    benchmark.k = k.or(benchmark.k.take());
    let wrong = config.evaluation.validate();
    if wrong.is_empty() { Ok(()) } else { Err(BadInput::new(wrong.join("; ")).into()) }
}

/// The lists of files that a loader reads.
fn named_files(data: &mut DataConfig) -> impl Iterator<Item = &mut Vec<PathBuf>> {
    let is_prepared = data.is_prepared();
    let DataConfig { files, sources, evaluation_files, decontaminate, .. } = data;
    let evaluation_files = (!is_prepared).then_some(evaluation_files);
    let sources = sources.iter_mut().map(|source| &mut source.files);
    let sets = decontaminate.iter_mut().map(|set| &mut set.files);
    std::iter::once(files).chain(sources).chain(evaluation_files).chain(sets)
}

impl Run {
    /// Reads the config, checks the plugins' kinds and takes the run folder, and writes nothing into it.
    pub fn open(options: &RunOptions) -> Result<Self, RunError> {
        let mut config = RunConfig::load(&options.config)?;
        if let Some(seed) = options.seed {
            config.seed = seed;
        }
        if let Some(device) = options.device {
            config.training.device = device;
        }
        if let Some(benchmark) = &options.benchmark {
            take_benchmark(&mut config, benchmark)?;
        }
        take_train_file_as_source(&mut config.data)?;
        let problems = config.data.wrong_beside_prepared_rows();
        if !problems.is_empty() {
            return Err(BadInput::new(problems.join("; ")).into());
        }
        // What a pattern or a folder stands for is part of the resolved config. An entry that stands for nothing stays as it
        // is: only who reads the dataset needs it to be there.
        // Of the hub's data sets, the commit is.
        for files in named_files(&mut config.data) {
            if let Ok(found) = source_files(files, !options.is_dry) {
                *files = found;
            }
        }
        resolve_files(&mut config.evaluation.benchmarks, !options.is_dry);
        let path = match &options.folder {
            Some(folder) => folder.clone(),
            None => Path::new("runs").join(options.config.file_stem().unwrap_or("run".as_ref())),
        };
        let plugins = RunPlugins::place(&mut config, &options.plugins, options.worker.clone())?;
        let program = program_hash()?;
        let ledger = StageLedger::open(&path);
        let data = DataFiles::of(&config, &path);
        let folder = if options.is_dry { RunFolder::to_read(path) } else { RunFolder::take(path)? };
        let run = Self {
            base: BaseModel::new(&config.base_model, options.is_dry),
            config,
            folder,
            data,
            plugins,
            workers: options.workers.unwrap_or_else(available_cores),
            registry: options.registry.clone(),
            is_unchecked: options.is_unchecked,
            named_adapter: options.adapter.clone(),
            is_other_formatter: options.is_other_formatter,
            is_dry: options.is_dry,
            ledger: Mutex::new(ledger),
            program,
            benchmarks: OnceLock::new(),
        };
        if !run.is_dry {
            run.folder.remove_partial_files(run.data.written_folders())?;
        }
        Ok(run)
    }

    /// Writes the resolved config and the environment beside what the stages will write: once nothing stands against the
    /// job, because what a refused command was given says nothing of what the folder holds. Gives what stood there.
    pub(crate) fn describe(&self) -> Result<EarlierDescription, RunError> {
        let config = serde_saphyr::to_string(&self.config).map_err(|error| RunError::record("the config", error))?;
        let environment = serde_json::to_vec_pretty(&Environment::of_run(&self.config)?)
            .map_err(|error| RunError::record("the environment", error))?;
        let mut earlier = Vec::new();
        for (name, text) in [(CONFIG_FILE, config.into_bytes()), (ENVIRONMENT_FILE, environment)] {
            if let Ok(stood) = std::fs::read(self.folder.file(name)) {
                earlier.push((name, stood));
            }
            self.folder.write(name, &text)?;
        }
        Ok(EarlierDescription(earlier))
    }

    /// Puts back what stood there: the job was refused before it made anything.
    pub(crate) fn put_back(&self, earlier: EarlierDescription) -> Result<(), RunError> {
        earlier.0.iter().try_for_each(|(name, text)| self.folder.write(name, text))
    }

    /// Opens a run to look at it: nothing is written and nobody is kept out.
    pub fn open_to_read(options: &RunOptions) -> Result<Self, RunError> {
        Self::open(&RunOptions { is_dry: true, ..options.clone() })
    }

    /// The benchmarks that base and adapter are measured on, read when they are first asked for. In a dry run those that
    /// would be downloaded are left out, which the observer is told.
    pub fn benchmarks(&self, observer: &dyn RunObserver) -> Result<&[MeasuredBenchmark], RunError> {
        if let Some(benchmarks) = self.benchmarks.get() {
            return Ok(benchmarks);
        }
        let benchmarks = MeasuredBenchmark::all(&self.config.evaluation, self.plugins.host(), self.is_dry, observer)?;
        Ok(self.benchmarks.get_or_init(|| benchmarks))
    }

    /// Whether nothing may be written.
    pub fn is_dry(&self) -> bool {
        self.is_dry
    }

    /// What is already done.
    pub fn ledger(&self) -> MutexGuard<'_, StageLedger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The hash of the program itself.
    pub fn program(&self) -> ContentHash {
        self.program
    }

    /// The key of a stage, with what every stage's has: the program.
    pub(crate) fn stage_key(&self) -> StageKey {
        StageKey::of(self.program)
    }

    /// Records that a stage ran, with its outputs.
    pub(crate) fn record(
        &self,
        stage: StageName,
        key: StageKey,
        outputs: BTreeMap<String, Option<ContentHash>>,
    ) -> Result<(), RunError> {
        let hashed: io::Result<BTreeMap<String, ContentHash>> = outputs
            .into_iter()
            .map(|(path, hash)| match hash {
                Some(hash) => Ok((path, hash)),
                None => hash_of_artifact(&self.folder.file(&path)).map(|hash| (path, hash)),
            })
            .collect();
        let outputs = hashed.map_err(|error| RunError::writing(self.folder.path(), error))?;
        Ok(self.ledger().record_hashed(stage.as_str(), key.inputs().clone(), outputs)?)
    }

    /// The run's prompt formatter.
    pub fn formatter(&self, observer: &dyn RunObserver) -> Result<Box<dyn PromptFormatter>, RunError> {
        self.plugins.formatter(self.config.chat_template, || self.base.folder(observer).map(Path::to_owned))
    }

    /// Where the rows of this kind stand; an error that names `prepare` if they are missing.
    pub fn prepared(&self, file: DataFile) -> Result<PathBuf, RunError> {
        let path = self.data.path(file);
        if path.is_file() {
            return Ok(path);
        }
        let what = match file {
            DataFile::Train => "training data",
            DataFile::Tests => "file of held-out problems",
            DataFile::Eval | DataFile::TrainTests | DataFile::Traces | DataFile::TrainEnriched => "data",
        };
        let hint = if self.data.are_given() {
            "`data.train_file`, `data.eval_file` and data/<specialist>_tests.jsonl (or `data.evaluation_files`) are relative to \
             the current folder"
        } else {
            "`hilora-host prepare` makes it"
        };
        let message = format!("the {what} {} is missing", path.display());
        Err(BadInput::with_hint(message, hint).into())
    }

    /// The hash of a file or folder that a stage reads.
    pub(crate) fn hash_of(&self, path: &Path) -> Result<ContentHash, RunError> {
        let hint = "the config's paths are relative to the current folder";
        hash_of_artifact(path).map_err(|error| RunError::reading_what_is_made(path, error, hint))
    }

    /// The hash of a file that preparing writes.
    pub(crate) fn hash_of_prepared(&self, file: DataFile) -> Result<ContentHash, RunError> {
        let path = self.data.path(file);
        let hint = "`hilora-host prepare` makes it";
        hash_of_artifact(&path).map_err(|error| RunError::reading_what_is_made(&path, error, hint))
    }
}

//! A job: one config, one run folder, the plugins that do the work, and the ledger of what is already done.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use anyhow::{Context, Result};
use clap::Args;

use super::Console;
use super::base_model::base_folder;
use super::environment::Environment;
use super::failure::BadInput;
use super::judge_worker::worker_pool;
use super::model_template::ModelTemplateFormatter;
use hilora_contract::artifact::{
    ContentHash, StageInputs, StageLedger, hash_of_artifact, remove_partial_files, write_atomic,
};
use hilora_contract::plugin::{DatasetLoader, DomainClassifier, PluginKind, PromptFormatter, SolutionRunner};
use hilora_hub::Hub;
use hilora_model::{ChatTemplate, ChatTemplateSource, DeviceChoice};
use hilora_run::config::{DEFAULT_CONFIG, RunConfig};
use hilora_wasm::{HostOptions, PluginHost};

/// The folders of a run, beside those of its data files; the first is the run itself.
const WRITTEN_FOLDERS: [&str; 9] = [
    "",
    "stages",
    "adapter",
    "checkpoints",
    "tensorboard",
    "control",
    "control/adapter",
    "control/checkpoints",
    "control/tensorboard",
];

/// Which run to work on.
#[derive(Debug, Clone, Args)]
pub struct JobArguments {
    /// A plugin component; replaces the config's plugin of the same kind (may be given several times)
    #[arg(long, value_name = "FILE")]
    plugin: Vec<PathBuf>,
    /// The run's configuration
    #[arg(long, value_name = "FILE", default_value = DEFAULT_CONFIG)]
    config: PathBuf,
    /// The run folder [default: runs/<the config's file name>]
    #[arg(long, value_name = "FOLDER")]
    run: Option<PathBuf>,
    /// Replaces the config's seed
    #[arg(long)]
    seed: Option<u64>,
    /// Where models compute: auto, cpu or cuda; replaces the config's training.device
    #[arg(long, value_name = "DEVICE")]
    device: Option<DeviceChoice>,
    /// Untrusted programs that run at once, each in a process of its own [default: one per core]
    #[arg(long, value_name = "N")]
    workers: Option<std::num::NonZeroUsize>,
    /// The registry's database
    #[arg(long, value_name = "FILE", default_value = "runs/registry.sqlite")]
    registry: PathBuf,
    /// Tell what would be done and write nothing
    #[arg(long)]
    dry_run: bool,
}

/// One run, opened and locked.
pub struct Job {
    /// The resolved configuration.
    pub config: RunConfig,
    /// Where everything is written.
    pub folder: PathBuf,
    /// What is already done.
    pub ledger: StageLedger,
    /// How to speak.
    pub console: Console,
    /// Untrusted programs that run at once.
    pub workers: usize,
    /// The registry's database.
    pub registry: PathBuf,
    /// Whether nothing may be written.
    pub dry_run: bool,
    /// The base model's folder, once somebody has asked for it.
    base_folder: OnceLock<PathBuf>,
    /// The hash of its files, once somebody has asked for that.
    base_hash: OnceLock<ContentHash>,
    plugins: PluginHost,
    plugin_files: PluginFiles,
    program: ContentHash,
    /// Held until the job ends: two processes must not write one run folder.
    _lock: Option<File>,
}

/// The component file of each kind.
struct PluginFiles {
    loader: PathBuf,
    classifier: PathBuf,
    formatter: PathBuf,
    runner: PathBuf,
}

impl Job {
    /// Reads the config, checks the plugins' kinds and takes the run folder.
    pub fn open(arguments: &JobArguments, console: Console) -> Result<Self> {
        let mut config = RunConfig::load(&arguments.config)?;
        if let Some(seed) = arguments.seed {
            config.seed = seed;
        }
        if let Some(device) = arguments.device {
            config.training.device = device;
        }
        let folder = match &arguments.run {
            Some(folder) => folder.clone(),
            None => Path::new("runs").join(arguments.config.file_stem().unwrap_or("run".as_ref())),
        };
        let plugins = PluginHost::new(&HostOptions::default())?;
        let plugin_files = place_plugins(&plugins, &mut config, &arguments.plugin)?;
        let program =
            std::env::current_exe().and_then(|path| ContentHash::of_file(&path)).context("cannot hash the program")?;
        let lock = if arguments.dry_run { None } else { Some(lock_folder(&folder)?) };
        let workers = arguments.workers.map(usize::from).unwrap_or_else(available_cores);
        let job = Self {
            ledger: StageLedger::open(&folder),
            config,
            folder,
            console,
            workers,
            registry: arguments.registry.clone(),
            dry_run: arguments.dry_run,
            base_folder: OnceLock::new(),
            base_hash: OnceLock::new(),
            plugins,
            plugin_files,
            program,
            _lock: lock,
        };
        if !job.dry_run {
            job.remove_partial_files()?;
            job.write_config()?;
            job.write_environment()?;
        }
        Ok(job)
    }

    /// Opens a run to look at it: nothing is written and nobody is kept out.
    pub fn open_to_read(arguments: &JobArguments, console: Console) -> Result<Self> {
        Self::open(&JobArguments { dry_run: true, ..arguments.clone() }, console)
    }

    /// The run's dataset loader, which must serve the config's `data.source`.
    pub fn loader(&self) -> Result<Box<dyn DatasetLoader>> {
        let loader = self.plugins.loader(&self.plugin_files.loader)?;
        let serves = loader.describe()?.source;
        if serves != self.config.data.source {
            return Err(BadInput::with_hint(
                format!(
                    "{} serves the source `{serves}`, but the config's data.source is `{}`",
                    loader.identity(),
                    self.config.data.source
                ),
                format!("set `data.source: {serves}` and `data.files` to files of that format"),
            )
            .into());
        }
        Ok(loader)
    }

    /// A loader for each of the config's evaluation sets, in their order.
    pub fn set_loaders(&self) -> Result<Vec<Box<dyn DatasetLoader>>> {
        let sets = self.config.data.decontaminate.iter();
        sets.map(|set| Ok(self.plugins.loader(&self.loader_file(&set.source))?)).collect()
    }

    /// The component that reads this format: the run's own loader for its own source, else the shipped one.
    pub fn loader_file(&self, source: &str) -> PathBuf {
        if source == self.config.data.source { self.plugin_files.loader.clone() } else { shipped_loader(source) }
    }

    /// The hash of the program itself.
    pub fn program(&self) -> ContentHash {
        self.program
    }

    /// The run's domain classifier.
    pub fn classifier(&self) -> Result<Box<dyn DomainClassifier>> {
        Ok(self.plugins.classifier(&self.plugin_files.classifier)?)
    }

    /// The run's prompt formatter, with the model's own chat template where the config asks for it.
    pub fn formatter(&self) -> Result<Box<dyn PromptFormatter>> {
        let formatter = self.plugins.formatter(&self.plugin_files.formatter)?;
        Ok(match self.config.chat_template {
            ChatTemplateSource::Formatter => formatter,
            ChatTemplateSource::Model => {
                Box::new(ModelTemplateFormatter::new(formatter, ChatTemplate::load(self.base_model()?)?))
            }
        })
    }

    /// The run's solution runner, in worker processes: where the engine dies, the job goes on.
    pub fn runner(&self) -> Result<Arc<dyn SolutionRunner>> {
        worker_pool(&self.plugins, &self.plugin_files.runner)
    }

    /// The inputs every stage has: the program itself.
    pub fn stage_inputs(&self) -> StageInputs {
        StageInputs::from([("program".to_owned(), self.program)])
    }

    /// The hash of a file or folder that a stage reads.
    pub fn hash_of(&self, path: &Path) -> Result<ContentHash> {
        hash_of_artifact(path).map_err(|error| {
            let message = format!("cannot read {}: {error}", path.display());
            BadInput::with_hint(message, "the config's paths are relative to the current folder").into()
        })
    }

    /// The hash of a file that preparing writes.
    pub fn hash_of_prepared(&self, path: &Path) -> Result<ContentHash> {
        hash_of_artifact(path).map_err(|error| {
            let message = format!("cannot read {}: {error}", path.display());
            BadInput::with_hint(message, "`hilora-host prepare` makes it").into()
        })
    }

    /// The base model's folder. One that is named by its id is downloaded when it is first asked for; a dry run takes it
    /// from the cache alone.
    pub fn base_model(&self) -> Result<&Path> {
        if let Some(folder) = self.base_folder.get() {
            return Ok(folder);
        }
        let hub = if self.dry_run { Hub::from_env().offline() } else { Hub::from_env() };
        let folder = base_folder(&self.config.base_model, &hub, self.console)?;
        Ok(self.base_folder.get_or_init(|| folder))
    }

    /// The hash of the files that make the base model; what else lies in its folder (a README) changes no number. It is
    /// computed once.
    pub fn base_model_hash(&self) -> Result<ContentHash> {
        if let Some(hash) = self.base_hash.get() {
            return Ok(*hash);
        }
        let folder = self.base_model()?;
        let unreadable = |error| {
            let message = format!("cannot read the base model {}: {error}", folder.display());
            BadInput::with_hint(
                message,
                "`base_model` names a folder with config.json, tokenizer.json and safetensors, or a model of the hub as owner/name",
            )
        };
        let entries = std::fs::read_dir(folder).map_err(unreadable)?;
        let paths: Vec<PathBuf> =
            entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>().map_err(unreadable)?;
        let is_part = |path: &&PathBuf| {
            path.extension().is_some_and(|ending| ["json", "safetensors", "jinja"].iter().any(|part| ending == *part))
        };
        let files: Vec<&PathBuf> = paths.iter().filter(is_part).collect();
        let bytes: u64 = files.iter().filter_map(|file| std::fs::metadata(file).ok()).map(|file| file.len()).sum();
        let progress = self.console.progress();
        let mut stage = progress.late_stage("hash the base", "MiB");
        let mut done = 0;
        let mut on_bytes = |read: usize| {
            done += read as u64;
            stage.set(done >> 20, bytes >> 20);
        };
        let mut listing = Vec::new();
        for path in files {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let hash = ContentHash::of_file_watched(path, &mut on_bytes).map_err(unreadable)?;
            listing.push(format!("{name}\0{hash}"));
        }
        stage.finish();
        listing.sort();
        Ok(*self.base_hash.get_or_init(|| ContentHash::of_parts(listing.iter().map(String::as_bytes))))
    }

    /// The hash of one kind of plugin's component.
    pub fn plugin_hash(&self, kind: PluginKind) -> Result<ContentHash> {
        let files = &self.plugin_files;
        self.hash_of(match kind {
            PluginKind::DatasetLoader => &files.loader,
            PluginKind::DomainClassifier => &files.classifier,
            PluginKind::PromptFormatter => &files.formatter,
            PluginKind::SolutionRunner => &files.runner,
            PluginKind::OutputChecker => anyhow::bail!("a run names no output checker"),
        })
    }

    /// One of the specialist's data files: `train`, `eval`, `tests`, `train_tests`, `train_enriched` or `traces`.
    pub fn data_file(&self, side: &str) -> PathBuf {
        let data = &self.config.data;
        let named = match side {
            "train" => data.train_file.as_ref(),
            "eval" => data.eval_file.as_ref(),
            _ => None,
        };
        let usual = || PathBuf::from(format!("data/{}_{side}.jsonl", self.config.specialist_name()));
        let file = named.cloned().unwrap_or_else(usual);
        // What was prepared elsewhere stands where the config says, and is only read.
        let elsewhere = data.is_prepared() && ["train", "eval", "tests"].contains(&side);
        if elsewhere { file } else { self.folder.join(file) }
    }

    /// A file of the run folder by its name in that folder, as the ledger of stages knows it.
    pub fn relative(&self, path: &Path) -> String {
        path.strip_prefix(&self.folder).unwrap_or(path).to_string_lossy().into_owned()
    }

    /// A path in the run folder.
    pub fn path(&self, relative: &str) -> PathBuf {
        self.folder.join(relative)
    }

    /// Removes what a killed process left half-written in the folders that a run writes, and in no other: below a folder
    /// that somebody chose for a run may lie anything.
    fn remove_partial_files(&self) -> Result<()> {
        let data = ["train", "eval", "tests"].map(|side| self.data_file(side));
        let ours = data.iter().filter(|_| !self.config.data.is_prepared());
        let data = ours.filter_map(|file| file.parent().map(Path::to_owned));
        for folder in WRITTEN_FOLDERS.map(|name| self.path(name)).into_iter().chain(data) {
            remove_partial_files(&folder).with_context(|| format!("cannot tidy {}", folder.display()))?;
        }
        Ok(())
    }

    fn write_environment(&self) -> Result<()> {
        let text = serde_json::to_vec_pretty(&Environment::of_run(&self.config)?)?;
        let path = self.path("environment.json");
        write_atomic(&path, &text).with_context(|| format!("cannot write {}", path.display()))
    }

    fn write_config(&self) -> Result<()> {
        let text = serde_saphyr::to_string(&self.config).context("cannot write the resolved config")?;
        let path = self.path("config.yaml");
        write_atomic(&path, text.as_bytes()).with_context(|| format!("cannot write {}", path.display()))
    }
}

/// How many programs run at once where nobody said.
pub(super) fn available_cores() -> usize {
    std::thread::available_parallelism().map(usize::from).unwrap_or(1)
}

/// Puts each `--plugin` in the place of its kind, and finds the shipped loader where none is named.
fn place_plugins(host: &PluginHost, config: &mut RunConfig, given: &[PathBuf]) -> Result<PluginFiles> {
    for path in given {
        let identity = host.inspect(path)?.identity;
        match identity.kind {
            PluginKind::DatasetLoader => config.plugins.loader = Some(path.clone()),
            PluginKind::DomainClassifier => config.plugins.classifier = path.clone(),
            PluginKind::PromptFormatter => config.plugins.formatter = path.clone(),
            PluginKind::SolutionRunner => config.plugins.runner = path.clone(),
            PluginKind::OutputChecker => {
                return Err(BadInput::new(format!(
                    "{} is a {}, which a run has no place for",
                    path.display(),
                    identity.kind
                ))
                .into());
            }
        }
    }
    let source = &config.data.source;
    Ok(PluginFiles {
        loader: config.plugins.loader.clone().unwrap_or_else(|| shipped_loader(source)),
        classifier: config.plugins.classifier.clone(),
        formatter: config.plugins.formatter.clone(),
        runner: config.plugins.runner.clone(),
    })
}

/// Where the shipped loader of a format lies.
fn shipped_loader(source: &str) -> PathBuf {
    PathBuf::from(format!("plugins/{source}.wasm"))
}

/// Takes the run folder for this process; the lock goes with the process, however it ends.
fn lock_folder(folder: &Path) -> Result<File> {
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make the run folder {}", folder.display()))?;
    let file = File::create(folder.join(".lock")).with_context(|| format!("cannot write into {}", folder.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(BadInput::with_hint(
            format!("the run folder {} is in use by another process", folder.display()),
            "wait for it to end, or name another folder with `--run`",
        )
        .into()),
        Err(TryLockError::Error(error)) => Err(error).context("cannot lock the run folder"),
    }
}

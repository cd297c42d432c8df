//! The plugins of a run: which component serves each kind, and the open plugin when a stage asks for it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hilora_contract::artifact::{ContentHash, hash_of_artifact};
use hilora_contract::fault::BadInput;
use hilora_contract::plugin::{
    DatasetLoader, DomainClassifier, OutputCheckers, PluginError, PluginIdentity, PluginKind, PromptFormatter,
    SolutionRunner,
};
use hilora_judge::workers::{WorkerCommand, WorkerPool};
use hilora_model::{ChatTemplate, ChatTemplateSource, Tokenizer};
use hilora_prepare::SourceConfig;
use hilora_wasm::{CheckerFolder, HostOptions, PluginHost, SharedRunner};

use super::config::RunConfig;
use super::error::RunError;
use super::model_template::ModelTemplateFormatter;
use super::tokenization::try_out_formatter;

/// Where the shipped plugins lie.
const PLUGINS_FOLDER: &str = "plugins";

/// What people call a source whose rows stand in files of this format.
const FILE_FORMATS: [&str; 9] = ["json", "csv", "tsv", "parquet", "arrow", "chat", "alpaca", "sharegpt", "openai"];

/// The component file of each kind, and the host that opens them.
pub struct RunPlugins {
    host: PluginHost,
    options: HostOptions,
    source: String,
    loader: PathBuf,
    classifier: PathBuf,
    formatter: PathBuf,
    runner: PathBuf,
    worker: WorkerCommand,
}

impl RunPlugins {
    /// Puts each of the `given` components in the place of its kind, in the config too, and finds the shipped loader if
    /// none is named.
    pub fn place(config: &mut RunConfig, given: &[PathBuf], worker: WorkerCommand) -> Result<Self, RunError> {
        let options = config.plugins.limits.host_options();
        let host = PluginHost::new(&options)?;
        let mut placed: BTreeMap<PluginKind, (&Path, PluginIdentity)> = BTreeMap::new();
        for path in given {
            let identity = host.inspect(path)?.identity;
            if let Some((other, one)) = placed.insert(identity.kind, (path, identity.clone())) {
                let (other, path) = (other.display(), path.display());
                let PluginIdentity { kind, name, version, .. } = identity;
                let message = format!(
                    "`--plugin` was given two of one kind: expected one {kind}, got {} {} ({other}) and {name} {version} \
                     ({path})",
                    one.name, one.version
                );
                return Err(BadInput::with_hint(message, "a run has one plugin of each kind in its place").into());
            }
            match identity.kind {
                PluginKind::DatasetLoader => config.plugins.loader = Some(path.clone()),
                PluginKind::DomainClassifier => config.plugins.classifier = path.clone(),
                PluginKind::PromptFormatter => config.plugins.formatter = path.clone(),
                PluginKind::SolutionRunner => config.plugins.runner = path.clone(),
                PluginKind::OutputChecker => {
                    let message = format!("{} is an output-checker, which a run has no place for", path.display());
                    let hint = "a program of `hilora-host judge --programs FILE` names its checker";
                    return Err(BadInput::with_hint(message, hint).into());
                }
            }
        }
        let source = match &config.plugins.loader {
            // Of several sources, the run's loader reads those whose format it serves.
            Some(loader) if !config.data.sources.is_empty() => {
                let serves = host.loader(loader)?.describe()?.source;
                let mut read = config.data.sources.iter().filter(|source| source.loader.is_none());
                if !read.any(|source| source.source == serves) {
                    let message = format!("{} serves `{serves}`, which no source of data.sources is", loader.display());
                    let hint = "set the `source` of one to it; `loader` of a source is for that source alone";
                    return Err(BadInput::with_hint(message, hint).into());
                }
                serves
            }
            _ => config.data.source.clone(),
        };
        Ok(Self {
            host,
            options,
            loader: config.plugins.loader.clone().unwrap_or_else(|| shipped_loader(&source)),
            classifier: config.plugins.classifier.clone(),
            formatter: config.plugins.formatter.clone(),
            runner: config.plugins.runner.clone(),
            source,
            worker,
        })
    }

    /// The run's dataset loader, which must serve the config's `data.source`.
    pub fn loader(&self) -> Result<Box<dyn DatasetLoader>, RunError> {
        let loader = self.open_loader(&self.source)?;
        let serves = loader.describe()?.source;
        if serves == self.source {
            return Ok(loader);
        }
        let (identity, wanted) = (loader.identity(), &self.source);
        Err(BadInput::with_hint(
            format!("{identity} serves the source `{serves}`, but the config's data.source is `{wanted}`"),
            format!("set `data.source: {serves}` and `data.files` to files of that format"),
        )
        .into())
    }

    /// The loader of one of several sources, or of the evaluation files.
    pub fn source_loader(&self, source: &SourceConfig) -> Result<Box<dyn DatasetLoader>, RunError> {
        let loader = match &source.loader {
            Some(file) => self.host.loader(file)?,
            None => self.open_loader(&source.source)?,
        };
        let serves = loader.describe()?.source;
        if serves == source.source {
            return Ok(loader);
        }
        let (identity, wanted, name) = (loader.identity(), &source.source, &source.name);
        let message = format!("{identity} serves the source `{serves}`, but `source` of `{name}` is `{wanted}`");
        Err(BadInput::with_hint(message, "`source` and `loader` of a source belong together").into())
    }

    /// The classifier of one of several sources.
    pub fn source_classifier(&self, source: &SourceConfig) -> Result<Box<dyn DomainClassifier>, RunError> {
        Ok(self.host.classifier(source.classifier.as_ref().unwrap_or(&self.classifier))?)
    }

    /// The hashes of both.
    pub fn source_hashes(&self, source: &SourceConfig) -> Result<[ContentHash; 2], RunError> {
        let loader = source.loader.clone().unwrap_or_else(|| self.loader_file(&source.source));
        let classifier = source.classifier.as_ref().unwrap_or(&self.classifier);
        Ok([self.hash_of_file(&loader)?, self.hash_of_file(classifier)?])
    }

    /// The loader of an evaluation set in this format.
    pub fn set_loader(&self, source: &str) -> Result<Box<dyn DatasetLoader>, RunError> {
        self.open_loader(source)
    }

    fn open_loader(&self, source: &str) -> Result<Box<dyn DatasetLoader>, RunError> {
        let file = self.loader_file(source);
        if file == shipped_loader(source) && !file.exists() {
            return Err(self.unknown_source(source, &file).into());
        }
        Ok(self.host.loader(&file)?)
    }

    /// Names the sources that are known in place of one that is not.
    fn unknown_source(&self, source: &str, file: &Path) -> BadInput {
        let known = self.shipped_sources();
        let mut message = format!("no shipped plugin reads the source `{source}`: {} is missing", file.display());
        if known.is_empty() {
            let hint = "`cargo xtask build` makes the shipped plugins, and `plugins.loader` or `--plugin` names others";
            return BadInput::with_hint(message, hint);
        }
        message.push_str(&format!("; expected one of {}", known.join(", ")));
        let hint = match FILE_FORMATS.contains(&source) && known.iter().any(|known| known == "jsonl") {
            true => "`jsonl` reads rows of any layout; `plugins.loader` or `--plugin` names a loader of your own",
            false => "`plugins.loader` or `--plugin` names a loader of your own, which needs no place under plugins/",
        };
        BadInput::with_hint(message, hint)
    }

    /// The sources that the loaders under plugins/ serve.
    fn shipped_sources(&self) -> Vec<String> {
        let Ok(folder) = std::fs::read_dir(PLUGINS_FOLDER) else { return Vec::new() };
        let components = folder.filter_map(|entry| Some(entry.ok()?.path()));
        let components = components.filter(|path| path.extension().is_some_and(|ending| ending == "wasm"));
        let source = |path: PathBuf| {
            let kind = self.host.inspect(&path).ok()?.identity.kind;
            let stem = path.file_stem()?.to_str()?.to_owned();
            (kind == PluginKind::DatasetLoader).then_some(stem)
        };
        let mut sources: Vec<String> = components.filter_map(source).collect();
        sources.sort();
        sources
    }

    /// The component that reads this format: the run's own loader for its own source, else the shipped one.
    pub fn loader_file(&self, source: &str) -> PathBuf {
        if source == self.source { self.loader.clone() } else { shipped_loader(source) }
    }

    /// The run's formatter as a file.
    pub(crate) fn formatter_file(&self) -> &Path {
        &self.formatter
    }

    /// The run's domain classifier.
    pub fn classifier(&self) -> Result<Box<dyn DomainClassifier>, RunError> {
        Ok(self.host.classifier(&self.classifier)?)
    }

    /// The run's prompt formatter; with the model's own chat template if the config asks for it, which is read from the
    /// base's folder.
    pub fn formatter(
        &self,
        template: ChatTemplateSource,
        base: impl FnOnce() -> Result<PathBuf, RunError>,
    ) -> Result<Box<dyn PromptFormatter>, RunError> {
        let formatter = self.host.formatter(&self.formatter)?;
        Ok(match template {
            ChatTemplateSource::Formatter => formatter,
            ChatTemplateSource::Model => {
                Box::new(ModelTemplateFormatter::new(formatter, ChatTemplate::load(&base()?)?))
            }
        })
    }

    /// Tries the run's own formatter before rows are prepared for it, with the base's tokenizer if that lies in a folder
    /// already. Who only prepares needs neither: what is not there is not asked for.
    pub(crate) fn try_out_formatter(&self, config: &RunConfig) -> Result<(), RunError> {
        if config.chat_template != ChatTemplateSource::Formatter || !self.formatter.exists() {
            return Ok(());
        }
        let has_tokenizer = config.base_model.join("tokenizer.json").is_file();
        let tokenizer = has_tokenizer.then(|| Tokenizer::load(&config.base_model)).transpose()?;
        try_out_formatter(&*self.host.formatter(&self.formatter)?, tokenizer.as_ref(), config.specialist_type())
    }

    /// The run's solution runner, in worker processes: if the engine dies, the run goes on.
    pub fn runner(&self) -> Result<Arc<dyn SolutionRunner>, RunError> {
        Ok(Arc::new(worker_pool(&self.host, &self.runner, &self.worker)?))
    }

    /// The output checkers that problems can name: the ones under plugins/.
    pub fn checkers(&self) -> Result<Arc<dyn OutputCheckers>, RunError> {
        let host = PluginHost::new(&self.options)?;
        Ok(Arc::new(CheckerFolder::new(host, "plugins".into())))
    }

    /// What opens components.
    pub(crate) fn host(&self) -> &PluginHost {
        &self.host
    }

    /// The hash of one kind of plugin's component.
    pub fn hash(&self, kind: PluginKind) -> Result<ContentHash, RunError> {
        let file = match kind {
            PluginKind::DatasetLoader => &self.loader,
            PluginKind::DomainClassifier => &self.classifier,
            PluginKind::PromptFormatter => &self.formatter,
            PluginKind::SolutionRunner => &self.runner,
            PluginKind::OutputChecker => return Err(BadInput::new("a run names no output checker").into()),
        };
        self.hash_of_file(file)
    }

    /// The hash of the loader of an evaluation set in this format.
    pub fn set_loader_hash(&self, source: &str) -> Result<ContentHash, RunError> {
        self.hash_of_file(&self.loader_file(source))
    }

    fn hash_of_file(&self, file: &Path) -> Result<ContentHash, RunError> {
        hash_of_artifact(file).map_err(|error| {
            RunError::reading_what_is_made(file, error, "`cargo xtask build` makes the shipped plugins under plugins/")
        })
    }
}

/// The solution runner of this file in worker processes, which `command` starts. One starts with the first run that finds
/// no other idle; all run the component that was read here, whatever its file has become since.
pub fn worker_pool(host: &PluginHost, runner: &Path, command: &WorkerCommand) -> Result<WorkerPool, PluginError> {
    let (runner, SharedRunner { component, code }) = host.shared_runner(runner)?;
    Ok(WorkerPool::new(runner, command.with_file("--component", component).with_file("--code", code)))
}

/// Where the shipped loader of a format lies.
pub(crate) fn shipped_loader(source: &str) -> PathBuf {
    Path::new(PLUGINS_FOLDER).join(format!("{source}.wasm"))
}

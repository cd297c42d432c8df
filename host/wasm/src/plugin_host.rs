//! The plugin host: opens a component's file and gives back the plugin of the kind that was asked for.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::fd::RawFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use wasmtime::component::Component;

use super::answer::shortened;
use super::cache::{CompiledCodeCache, CompiledComponent, inherited_component};
use super::checker::ComponentChecker;
use super::classifier::ComponentClassifier;
use super::compiler::{CompileError, CompileLimits};
use super::component_file::ComponentFile;
use super::engine::engine;
use super::formatter::ComponentFormatter;
use super::linker::linker;
use super::loaded_plugin::{CallObserver, CallUsage, LoadedPlugin};
use super::loader::ComponentLoader;
use super::memory::split;
use super::runner::ComponentRunner;
use super::sealed_file::SealedFile;
use hilora_contract::artifact::ContentHash;
use hilora_contract::plugin::{
    DatasetLoader, DomainClassifier, FUEL_PER_SECOND, Manifest, OutputChecker, PluginError, PluginIdentity, PluginKind,
    PromptFormatter, RunLimits, SolutionRunner,
};

/// The part of a call's processor time that a call has in fuel which takes an answer: ten seconds of a minute. It is so
/// much that the clock is reached before by no machine that is not busy.
const ANSWER_FUEL_PART: u64 = 6;

/// No call is about more than a loader is asked for at once.
const ITEMS_PER_CALL_MAX: u32 = 256;

/// How plugins are run.
#[derive(Debug, Clone)]
pub struct HostOptions {
    /// Where compiled code is kept; made with mode 0700 where it is missing.
    pub cache_dir: PathBuf,
    /// The limits of one call of a loader, classifier, formatter or checker. A run of a program has limits of its own.
    pub call_limits: RunLimits,
    /// The most rows, problems or lessons that such a call is about.
    pub items_per_call_max: u32,
    /// The limits of compiling a component.
    pub compile_limits: CompileLimits,
}

impl Default for HostOptions {
    /// The user's cache folder; per call 1 GiB of memory, a minute of processor time, five minutes of wall-clock
    /// time, 64 KiB on each output and no limit of fuel, because these plugins are chosen, not written by a model; where
    /// they take what a model wrote, there is one.
    fn default() -> Self {
        Self {
            cache_dir: cache_folder(),
            call_limits: RunLimits {
                fuel: u64::MAX,
                cpu_time_ms: 60_000,
                wall_time_ms: 300_000,
                memory_bytes_max: 1 << 30,
                output_bytes_max: 64 << 10,
                reproducible: false,
            },
            items_per_call_max: ITEMS_PER_CALL_MAX,
            compile_limits: CompileLimits::default(),
        }
    }
}

/// `$XDG_CACHE_HOME/hilora-host`, `$HOME/.cache/hilora-host`, or a folder of the system's temporary one.
fn cache_folder() -> PathBuf {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("XDG_CACHE_HOME")
        .or_else(|| set("HOME").map(|home| home.join(".cache")))
        .unwrap_or_else(std::env::temp_dir)
        .join("hilora-host")
}

/// What can be told of a component before it is called.
#[derive(Debug, Clone)]
pub struct Inspection {
    /// Who it is.
    pub identity: PluginIdentity,
    /// What it asks for.
    pub manifest: Manifest,
    /// What it imports.
    pub imports: Vec<String>,
}

/// Opens plugins. One host serves a whole process; what it opens may outlive it.
pub struct PluginHost {
    cache: CompiledCodeCache,
    call_limits: RunLimits,
    items_per_call_max: u32,
    compile_limits: CompileLimits,
    components: Mutex<BTreeMap<ContentHash, CompiledComponent>>,
    observer: Option<CallObserver>,
}

impl PluginHost {
    /// Opens the cache of compiled code.
    pub fn new(options: &HostOptions) -> Result<Self, PluginError> {
        Ok(Self {
            cache: CompiledCodeCache::open(&options.cache_dir, &engine(None)?),
            call_limits: options.call_limits,
            items_per_call_max: options.items_per_call_max.max(1),
            compile_limits: options.compile_limits,
            components: Mutex::default(),
            observer: None,
        })
    }

    /// The same host, which tells what each call into the plugins that it opens from now on has used. A runner tells that of
    /// its programs itself.
    pub fn observed(self, observer: impl Fn(CallUsage) + Send + Sync + 'static) -> Self {
        Self { observer: Some(Arc::new(observer)), ..self }
    }

    /// Reads a component's identity, manifest and imports without running any of it.
    pub fn inspect(&self, path: &Path) -> Result<Inspection, PluginError> {
        let file = ComponentFile::read(path)?;
        Ok(Inspection { identity: file.identity, manifest: file.manifest, imports: file.imports })
    }

    /// Opens a dataset loader.
    pub fn loader(&self, path: &Path) -> Result<Box<dyn DatasetLoader>, PluginError> {
        let (file, plugin) = self.open(path, PluginKind::DatasetLoader)?;
        Ok(Box::new(ComponentLoader::new(plugin).map_err(|error| other_interface(&file, &error))?))
    }

    /// Opens a domain classifier.
    pub fn classifier(&self, path: &Path) -> Result<Box<dyn DomainClassifier>, PluginError> {
        let (file, plugin) = self.open(path, PluginKind::DomainClassifier)?;
        Ok(Box::new(ComponentClassifier::new(plugin).map_err(|error| other_interface(&file, &error))?))
    }

    /// Opens a prompt formatter.
    pub fn formatter(&self, path: &Path) -> Result<Box<dyn PromptFormatter>, PluginError> {
        let (file, plugin) = self.open(path, PluginKind::PromptFormatter)?;
        Ok(Box::new(ComponentFormatter::new(plugin).map_err(|error| other_interface(&file, &error))?))
    }

    /// Opens an output checker.
    pub fn checker(&self, path: &Path) -> Result<Box<dyn OutputChecker>, PluginError> {
        let (file, plugin) = self.open(path, PluginKind::OutputChecker)?;
        Ok(Box::new(ComponentChecker::new(plugin).map_err(|error| other_interface(&file, &error))?))
    }

    /// Opens a solution runner, to be shared by the threads that judge.
    pub fn runner(&self, path: &Path) -> Result<Arc<dyn SolutionRunner>, PluginError> {
        let (file, plugin) = self.open(path, PluginKind::SolutionRunner)?;
        Ok(Arc::new(ComponentRunner::new(plugin).map_err(|error| other_interface(&file, &error))?))
    }

    /// Opens a solution runner, and what worker processes need to run the very same: whatever happens to the file
    /// meanwhile, and without compiling anything.
    pub fn shared_runner(&self, path: &Path) -> Result<(Arc<dyn SolutionRunner>, SharedRunner), PluginError> {
        let file = ComponentFile::read(path)?;
        let (file, plugin) = self.prepared(file, PluginKind::SolutionRunner)?;
        let unsealed = |error: io::Error| PluginError::Resources {
            what: file.identity.to_string(),
            message: format!("cannot hand it to worker processes: {error}"),
        };
        let code = self.compiled(&file)?.code.file().clone();
        let component = SealedFile::of_bytes("hilora-component", &file.bytes).map_err(unsealed)?.file().clone();
        let runner = ComponentRunner::new(plugin).map_err(|error| other_interface(&file, &error))?;
        Ok((Arc::new(runner), SharedRunner { component, code }))
    }

    fn open(&self, path: &Path, expected: PluginKind) -> Result<(ComponentFile, LoadedPlugin), PluginError> {
        self.prepared(ComponentFile::read(path)?, expected)
    }

    fn prepared(
        &self,
        file: ComponentFile,
        expected: PluginKind,
    ) -> Result<(ComponentFile, LoadedPlugin), PluginError> {
        if file.identity.kind != expected {
            return Err(PluginError::WrongKind { path: file.path, expected, got: file.identity.kind });
        }
        let CompiledComponent { component, .. } = self.compiled(&file)?;
        let plugin = loaded(&file, &component, self.call_limits, self.items_per_call_max)?;
        Ok((file, LoadedPlugin { observer: self.observer.clone(), ..plugin }))
    }

    fn compiled(&self, file: &ComponentFile) -> Result<CompiledComponent, PluginError> {
        // The lock is held while compiling, so that two threads do not compile the same component.
        let mut components = self.components.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(component) = components.get(&file.identity.content) {
            return Ok(component.clone());
        }
        let divided = split(&file.bytes).map_err(|error| no_image(file, &error))?;
        let engine = engine(divided.image)?;
        let compiled = self.cache.component(&engine, &file.identity.name, &divided.code, self.compile_limits);
        let component = compiled.map_err(|error| not_compiled(file, error))?;
        components.insert(file.identity.content, component.clone());
        Ok(component)
    }
}

/// A runner for worker processes: its component and its compiled code, each in a file that nobody can change.
#[derive(Debug, Clone)]
pub struct SharedRunner {
    /// The component.
    pub component: Arc<File>,
    /// The code that was compiled of it.
    pub code: Arc<File>,
}

/// The runner that the process which started this one has shared with it, under these descriptors. Nothing is compiled, and
/// nothing is read from any disk.
pub fn inherited_runner(component: RawFd, code: RawFd) -> Result<Arc<dyn SolutionRunner>, PluginError> {
    let path = PathBuf::from("the component that was handed over");
    let unreadable = |error| PluginError::Unreadable { path: path.clone(), error };
    let bytes = SealedFile::inherited(component).and_then(|sealed| sealed.read()).map_err(unreadable)?;
    let code = SealedFile::inherited(code).map_err(unreadable)?;
    let file = ComponentFile::of_bytes(&path, bytes)?;
    let image = split(&file.bytes).map_err(|error| no_image(&file, &error))?.image;
    let component = inherited_component(&engine(image)?, &code).map_err(|error| other_interface(&file, &error))?;
    let HostOptions { call_limits, items_per_call_max, .. } = HostOptions::default();
    let plugin = loaded(&file, &component, call_limits, items_per_call_max)?;
    Ok(Arc::new(ComponentRunner::new(plugin).map_err(|error| other_interface(&file, &error))?))
}

/// A compiled component with everything that its kind is given.
fn loaded(
    file: &ComponentFile,
    component: &Component,
    limits: RunLimits,
    items_per_call_max: u32,
) -> Result<LoadedPlugin, PluginError> {
    let engine = component.engine().clone();
    let instance = linker(&engine, file.identity.kind == PluginKind::DatasetLoader)
        .and_then(|linker| linker.instantiate_pre(component))
        .map_err(|error| other_interface(file, &error))?;
    // These take what a model wrote, and what they make of it must not depend on a clock.
    let fuel = match file.identity.kind {
        PluginKind::PromptFormatter | PluginKind::OutputChecker => {
            let milliseconds = limits.cpu_time_ms / ANSWER_FUEL_PART;
            limits.fuel.min(milliseconds.saturating_mul(FUEL_PER_SECOND / 1_000))
        }
        PluginKind::DatasetLoader | PluginKind::DomainClassifier | PluginKind::SolutionRunner => limits.fuel,
    };
    let (identity, limits) = (file.identity.clone(), RunLimits { fuel, ..limits });
    Ok(LoadedPlugin { identity, engine, instance, limits, items_per_call_max, observer: None })
}

fn no_image(file: &ComponentFile, error: &io::Error) -> PluginError {
    PluginError::Resources {
        what: file.identity.to_string(),
        message: format!("cannot make its memory image: {error}"),
    }
}

fn not_compiled(file: &ComponentFile, error: CompileError) -> PluginError {
    match error {
        CompileError::Invalid(message) => invalid(file, message),
        CompileError::Limit(allowed) => PluginError::CompileLimit { plugin: file.identity.clone(), allowed },
        CompileError::Failed(message) => {
            PluginError::Resources { what: format!("compiling {}", file.identity), message }
        }
    }
}

/// The component is valid by its outline, but not in its details: a function of another type, invalid code.
fn other_interface(file: &ComponentFile, error: &wasmtime::Error) -> PluginError {
    invalid(file, format!("{error:#}"))
}

fn invalid(file: &ComponentFile, got: String) -> PluginError {
    PluginError::NotAPlugin {
        path: file.path.clone(),
        expected: format!("a valid {} of this host's WIT package", file.identity.kind),
        got: shortened(&got),
    }
}

//! The plugin host: opens a component's file and gives back the plugin of the kind that was asked for.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use wasmtime::component::Component;

use super::cache::CompiledCodeCache;
use super::checker::ComponentChecker;
use super::classifier::ComponentClassifier;
use super::component_file::ComponentFile;
use super::engine::engine;
use super::formatter::ComponentFormatter;
use super::linker::linker;
use super::loaded_plugin::LoadedPlugin;
use super::loader::ComponentLoader;
use super::memory::split;
use super::runner::ComponentRunner;
use hilora_contract::artifact::ContentHash;
use hilora_contract::plugin::{
    DatasetLoader, DomainClassifier, Manifest, OutputChecker, PluginError, PluginIdentity, PluginKind, PromptFormatter,
    RunLimits, SolutionRunner,
};

/// How plugins are run.
#[derive(Debug, Clone)]
pub struct HostOptions {
    /// Where compiled code is kept; made with mode 0700 where it is missing.
    pub cache_dir: PathBuf,
    /// The limits of one call of a loader, classifier, formatter or checker. A run of a program has limits of its own.
    pub call_limits: RunLimits,
}

impl Default for HostOptions {
    /// The user's cache folder; per call 1 GiB of memory, a minute of processor time, five minutes of wall-clock
    /// time, 64 KiB on each output and no limit of fuel, because these plugins are chosen, not written by a model.
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
    components: Mutex<BTreeMap<ContentHash, Component>>,
}

impl PluginHost {
    /// Opens the cache of compiled code.
    pub fn new(options: &HostOptions) -> Result<Self, PluginError> {
        Ok(Self {
            cache: CompiledCodeCache::open(&options.cache_dir, &engine(None)?),
            call_limits: options.call_limits,
            components: Mutex::default(),
        })
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

    fn open(&self, path: &Path, expected: PluginKind) -> Result<(ComponentFile, LoadedPlugin), PluginError> {
        let file = ComponentFile::read(path)?;
        if file.identity.kind != expected {
            return Err(PluginError::WrongKind { path: path.to_owned(), expected, got: file.identity.kind });
        }
        let component = self.compiled(&file)?;
        let engine = component.engine().clone();
        let instance = linker(&engine, expected == PluginKind::DatasetLoader)
            .and_then(|linker| linker.instantiate_pre(&component))
            .map_err(|error| other_interface(&file, &error))?;
        let plugin = LoadedPlugin { identity: file.identity.clone(), engine, instance, limits: self.call_limits };
        Ok((file, plugin))
    }

    fn compiled(&self, file: &ComponentFile) -> Result<Component, PluginError> {
        // The lock is held while compiling, so that two threads do not compile the same component.
        let mut components = self.components.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(component) = components.get(&file.identity.content) {
            return Ok(component.clone());
        }
        let divided = split(&file.bytes).map_err(|error| PluginError::Resources {
            what: file.identity.to_string(),
            message: format!("cannot make its memory image: {error}"),
        })?;
        let engine = engine(divided.image)?;
        let component = self.cache.component(&engine, &divided.code).map_err(|error| other_interface(file, &error))?;
        components.insert(file.identity.content, component.clone());
        Ok(component)
    }
}

/// The component is valid by its outline, but not in its details: a function of another type, invalid code.
fn other_interface(file: &ComponentFile, error: &wasmtime::Error) -> PluginError {
    PluginError::NotAPlugin {
        path: file.path.clone(),
        expected: format!("a valid {} of this host's WIT package", file.identity.kind),
        got: format!("{error:#}"),
    }
}

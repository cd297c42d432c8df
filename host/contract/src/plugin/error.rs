//! What can go wrong with a plugin. A wrong answer is the plugin's own error, said in its interface; a trap, an
//! exceeded limit and a component that cannot be loaded are the host's.

use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Capability, ManifestError, PluginIdentity, PluginKind};
use crate::fault::{Blame, Fault};

/// Which of the host's limits a call went over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LimitKind {
    /// Instructions executed, in fuel units.
    Fuel,
    /// The guest's own clock, which only its sleeping carries so far.
    VirtualClock,
    /// Thread CPU time, a clock of the machine.
    CpuTime,
    /// Wall-clock time, a clock of the machine.
    WallClock,
    /// Linear memory.
    Memory,
}

impl LimitKind {
    /// Whether the machine and its load decide when it is reached, and not what the guest does.
    pub fn is_of_machine(self) -> bool {
        match self {
            Self::CpuTime | Self::WallClock => true,
            Self::Fuel | Self::VirtualClock | Self::Memory => false,
        }
    }
}

impl std::fmt::Display for LimitKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Fuel => "fuel",
            Self::VirtualClock => "virtual clock",
            Self::CpuTime => "CPU time",
            Self::WallClock => "wall clock",
            Self::Memory => "memory",
        })
    }
}

/// An error that names its plugin.
#[derive(Debug, thiserror::Error)]
pub enum PluginError {
    /// The file cannot be read.
    #[error("cannot read the plugin {path}: {error}", path = path.display())]
    Unreadable {
        /// The component's file.
        path: PathBuf,
        /// The operating system's words.
        error: io::Error,
    },
    /// The file is not a component, or exports none or several of our interfaces.
    #[error("{path} is not a plugin for this host: expected {expected}, got {got}", path = path.display())]
    NotAPlugin {
        /// The component's file.
        path: PathBuf,
        /// What was needed.
        expected: String,
        /// What was found.
        got: String,
    },
    /// The component speaks another version of our interfaces.
    #[error(
        "{path} is a plugin for {package}@{got}, expected {package}@{expected}, which this host speaks",
        path = path.display()
    )]
    OtherVersion {
        /// The component's file.
        path: PathBuf,
        /// The package of interfaces.
        package: &'static str,
        /// The version that this host speaks.
        expected: &'static str,
        /// The version that the component speaks.
        got: String,
    },
    /// The component is of another kind than the place it was given for.
    #[error("{path} is a {got}, expected a {expected}", path = path.display())]
    WrongKind {
        /// The component's file.
        path: PathBuf,
        /// The kind that was needed.
        expected: PluginKind,
        /// The kind it is.
        got: PluginKind,
    },
    /// The manifest is missing or wrong.
    #[error("{path} carries no usable manifest: {reason}", path = path.display())]
    Manifest {
        /// The component's file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The component imports an interface its manifest does not ask for, or the user did not grant.
    #[error("{plugin} needs the capability `{capability}`, which {denied_by}")]
    CapabilityDenied {
        /// Which plugin.
        plugin: PluginIdentity,
        /// What it needs.
        capability: Capability,
        /// Which side is missing.
        denied_by: &'static str,
    },
    /// The component imports something that no capability stands for.
    #[error("{plugin} imports `{import}`, which this host does not offer")]
    UnknownImport {
        /// Which plugin.
        plugin: PluginIdentity,
        /// The import's name.
        import: String,
    },
    /// A file that the user named for the plugin cannot be opened.
    #[error("{plugin}: cannot open {path}: {error}", path = path.display())]
    SourceFile {
        /// Which plugin was to read it.
        plugin: PluginIdentity,
        /// The file.
        path: PathBuf,
        /// The operating system's words.
        error: io::Error,
    },
    /// The plugin says that it cannot do what was asked: its interface's error, in words.
    #[error("{plugin}: {message}")]
    Refused {
        /// Which plugin.
        plugin: PluginIdentity,
        /// What it said, with file and row where it named them.
        message: String,
    },
    /// A loader cannot use the options that it was given.
    #[error("{plugin}: data.options: {message}")]
    Options {
        /// Which plugin.
        plugin: PluginIdentity,
        /// Which option, expected and got.
        message: String,
        /// What the loader says would mend it.
        hint: Option<String>,
    },
    /// The plugin answered something its interface forbids (a wrong count, an unknown name).
    #[error("{plugin} broke its contract in `{call}`{at}: {message}", at = place(row))]
    Contract {
        /// Which plugin.
        plugin: PluginIdentity,
        /// The function that was called.
        call: &'static str,
        /// The row or item at fault, where one is.
        row: Option<String>,
        /// Expected and got.
        message: String,
    },
    /// The plugin answered something that no single answer shows to be wrong: it breaks what the interface promises of
    /// several answers, or of an answer and the model.
    #[error("{plugin} broke a promise of its interface in `{call}`{at}: expected {expected}, got {got}", at = place(row))]
    Promise {
        /// Which plugin.
        plugin: PluginIdentity,
        /// The function that was called.
        call: &'static str,
        /// The row or item at fault, where one is.
        row: Option<String>,
        /// What is promised.
        expected: String,
        /// What was found.
        got: String,
        /// What would mend it.
        hint: &'static str,
    },
    /// The plugin trapped: an event, not an answer.
    #[error("{plugin} trapped in `{call}`{at}: {message}", at = place(row))]
    Trap {
        /// Which plugin.
        plugin: PluginIdentity,
        /// The function that was called.
        call: &'static str,
        /// The row or item at fault, where one is.
        row: Option<String>,
        /// The engine's words.
        message: String,
    },
    /// The plugin went over a limit.
    #[error("{plugin} went over its {limit} limit in `{call}`{at}: at most {allowed}", at = place(row))]
    Limit {
        /// Which plugin.
        plugin: PluginIdentity,
        /// The function that was called.
        call: &'static str,
        /// The row or item at fault, where one is.
        row: Option<String>,
        /// Which limit.
        limit: LimitKind,
        /// The limit with its unit.
        allowed: String,
    },
    /// Its code takes more to compile than it may.
    #[error("{plugin} cannot be compiled within its limit: at most {allowed}")]
    CompileLimit {
        /// Which plugin.
        plugin: PluginIdentity,
        /// The limit with its unit.
        allowed: String,
    },
    /// The engine itself failed: a defect of this program, not the plugin's fault.
    #[error("the plugin engine failed on {what}: {message}")]
    Engine {
        /// What was being done.
        what: String,
        /// The engine's words.
        message: String,
    },
    /// The machine did not give what the engine needs: address space, a file of memory, a process that lives.
    #[error("the machine failed the plugin engine on {what}: {message}")]
    Resources {
        /// What was being done.
        what: String,
        /// The engine's or the operating system's words.
        message: String,
    },
}

impl PluginError {
    /// A manifest error at a file.
    pub fn manifest(path: impl Into<PathBuf>, error: &ManifestError) -> Self {
        Self::Manifest { path: path.into(), reason: error.to_string() }
    }
}

impl Fault for PluginError {
    fn blame(&self) -> Blame {
        match self {
            Self::Unreadable { error, .. } | Self::SourceFile { error, .. } => Blame::of_reading(error),
            // It may be that the machine was busy, or stood still.
            Self::Limit { limit, .. } if limit.is_of_machine() => Blame::Machine,
            // What a plugin refuses is what it was given: files, options, a lesson.
            Self::NotAPlugin { .. }
            | Self::OtherVersion { .. }
            | Self::WrongKind { .. }
            | Self::Refused { .. }
            | Self::Options { .. } => Blame::User,
            Self::Manifest { .. }
            | Self::CapabilityDenied { .. }
            | Self::UnknownImport { .. }
            | Self::Contract { .. }
            | Self::Promise { .. }
            | Self::Trap { .. }
            | Self::Limit { .. }
            | Self::CompileLimit { .. } => Blame::Plugin,
            Self::Engine { .. } => Blame::Ours,
            Self::Resources { .. } => Blame::Machine,
        }
    }

    fn hints(&self) -> Vec<String> {
        let hint = match self {
            Self::Unreadable { error, .. } if error.kind() == io::ErrorKind::NotFound => {
                "`cargo xtask build` makes the shipped plugins under plugins/".to_owned()
            }
            Self::NotAPlugin { .. } => {
                "plugins are components that `cargo xtask build` or `hilora-host plugin pack` made".to_owned()
            }
            Self::OtherVersion { .. } => {
                "rebuild it with this version of the SDK, `plugins/sdk`; `cargo xtask build` rebuilds the shipped plugins"
                    .to_owned()
            }
            Self::WrongKind { got, .. } => {
                format!("`--plugin` puts a {got} in its own place; the config's `plugins` section names one per kind")
            }
            Self::Manifest { .. } => "`hilora-host plugin pack` gives a component its manifest".to_owned(),
            Self::Options { hint: Some(hint), .. } => hint.clone(),
            Self::Options { plugin, hint: None, .. } => {
                format!("plugins/{}/README.md lists the options of this loader", plugin.name)
            }
            Self::Refused { plugin, .. } if plugin.kind == PluginKind::DatasetLoader => {
                "`hilora-host plugin inspect FILE` tells what a loader reads; a download that was cut off must be repeated"
                    .to_owned()
            }
            Self::Limit { limit, .. } if limit.is_of_machine() => {
                "a machine that is busy or stood still lets a call run out of time: run it again".to_owned()
            }
            Self::CompileLimit { .. } => "`plugins.limits` in the config sets compile_cpu_time_ms and \
                                          compile_memory_bytes_max; a component of normal size needs neither"
                .to_owned(),
            Self::Contract { .. } => "the plugin is at fault: docs/plugins.md says what each kind promises".to_owned(),
            Self::Promise { hint, .. } => (*hint).to_owned(),
            Self::Unreadable { .. }
            | Self::CapabilityDenied { .. }
            | Self::UnknownImport { .. }
            | Self::SourceFile { .. }
            | Self::Refused { .. }
            | Self::Trap { .. }
            | Self::Limit { .. }
            | Self::Engine { .. }
            | Self::Resources { .. } => return Vec::new(),
        };
        vec![hint]
    }
}

fn place(row: &Option<String>) -> String {
    row.as_ref().map(|row| format!(" at {row}")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_missing_is_the_users_and_one_that_fails_the_machines() {
        let unreadable = |kind: io::ErrorKind| PluginError::Unreadable { path: "p.wasm".into(), error: kind.into() };
        let missing = unreadable(io::ErrorKind::NotFound);
        assert_eq!((missing.blame(), missing.hints().len()), (Blame::User, 1));
        let failed = unreadable(io::ErrorKind::OutOfMemory);
        assert_eq!((failed.blame(), failed.hints().len()), (Blame::Machine, 0));
    }
}

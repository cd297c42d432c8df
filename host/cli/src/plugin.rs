//! `hilora-host plugin`: what a component is, and how one is made, tried and tested.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::{Value, json};

use super::compiling::CompileArguments;
use super::console::Console;
use super::failure::{ExitStatus, Failure, Result};
use super::plugin_build::BuildArguments;
use super::plugin_new::NewArguments;
use super::plugin_test::TestArguments;
use super::plugin_try::TryArguments;
use super::plugin_watch::WatchArguments;
use hilora_contract::artifact::Output;
use hilora_contract::plugin::{Capability, PluginError, PluginIdentity, PluginKind};
use hilora_wasm::{HostOptions, PluginHost, pack};

/// Look at plugins and make them.
#[derive(Debug, clap::Subcommand)]
pub(super) enum PluginCommand {
    /// Begin a plugin of one's own: a project that builds and passes its own tests
    New(NewArguments),
    /// Build a project's component, with its manifest in it
    Build(BuildArguments),
    /// Build and test a project whenever one of its files changes
    Watch(WatchArguments),
    /// Ask a plugin ordinary, hostile and golden inputs, and measure it (exit code 2 where it does not hold)
    Test(TestArguments),
    /// Show what a plugin answers to one input
    Try(TryArguments),
    /// Tell a component's identity, its capabilities, its imports and what it says of itself
    Inspect(InspectArguments),
    /// Embed a manifest into a component, so that it becomes a plugin
    Pack(PackArguments),
    /// Compile a component for another process
    #[command(hide = true)]
    Compile(CompileArguments),
}

/// Arguments of `plugin inspect`.
#[derive(Debug, clap::Args)]
pub(super) struct InspectArguments {
    /// The component's file
    pub file: PathBuf,
}

/// Arguments of `plugin pack`.
#[derive(Debug, clap::Args)]
pub(super) struct PackArguments {
    /// The component's file
    pub input: PathBuf,
    /// The manifest, plugin.toml
    #[arg(long)]
    pub manifest: PathBuf,
    /// The plugin's file, to be written
    #[arg(long)]
    pub output: PathBuf,
}

impl PluginCommand {
    /// Does what was asked, and gives the process's exit code.
    pub(super) fn execute(&self, console: &Console) -> Result<u8> {
        match self {
            Self::New(arguments) => arguments.execute(console),
            Self::Build(arguments) => arguments.execute(console),
            Self::Watch(arguments) => arguments.execute(console),
            Self::Test(arguments) => arguments.execute(console),
            Self::Try(arguments) => arguments.execute(console),
            Self::Inspect(arguments) => arguments.execute(console),
            Self::Pack(arguments) => arguments.execute(),
            Self::Compile(arguments) => return arguments.execute(),
        }
        .map(ExitStatus::code)
    }
}

/// What `plugin inspect` prints.
#[derive(Debug, Serialize)]
struct Description {
    #[serde(flatten)]
    identity: PluginIdentity,
    capabilities: Vec<Capability>,
    imports: Vec<String>,
    describes: Value,
}

impl InspectArguments {
    fn execute(&self, console: &Console) -> Result<ExitStatus> {
        let host = PluginHost::new(&HostOptions::default())?;
        let inspection = host.inspect(&self.file)?;
        let description = Description {
            describes: describe(&host, &self.file, inspection.identity.kind)?,
            identity: inspection.identity,
            capabilities: inspection.manifest.capabilities,
            imports: inspection.imports,
        };
        let identity = &description.identity;
        let capabilities: Vec<String> = description.capabilities.iter().map(ToString::to_string).collect();
        let lines = [
            format!("{} {}", identity.name, identity.version),
            format!("kind          {}", identity.kind),
            format!("content       {}", identity.content),
            format!(
                "capabilities  {}",
                if capabilities.is_empty() { "none".to_owned() } else { capabilities.join(", ") }
            ),
            format!("imports       {}", description.imports.join("\n              ")),
            format!("describes     {:#}", description.describes),
        ];
        console.result(&description, &lines.join("\n"))?;
        Ok(ExitStatus::Done)
    }
}

/// What the plugin says of itself.
fn describe(host: &PluginHost, path: &Path, kind: PluginKind) -> Result<Value, PluginError> {
    Ok(match kind {
        PluginKind::DatasetLoader => {
            let info = host.loader(path)?.describe()?;
            let column = |column: &hilora_contract::plugin::Column| json!({ "name": column.name, "expected": column.expected, "required": column.required });
            let columns: Vec<Value> = info.columns.iter().map(column).collect();
            json!({ "source": info.source, "licence": info.licence, "columns": columns })
        }
        PluginKind::DomainClassifier => {
            let domains = host.classifier(path)?.domains()?;
            let domain = |info: &hilora_contract::plugin::DomainInfo| json!({ "name": info.domain, "description": info.description });
            json!({ "domains": domains.iter().map(domain).collect::<Vec<_>>() })
        }
        PluginKind::PromptFormatter => json!({ "stop_sequences": host.formatter(path)?.stop_sequences()? }),
        PluginKind::OutputChecker => {
            host.checker(path)?;
            json!({})
        }
        PluginKind::SolutionRunner => {
            let info = host.runner(path)?.describe()?;
            json!({
                "language": info.language,
                "file_extension": info.file_extension,
                "interpreter": info.interpreter,
                "calls_functions": info.calls_functions,
            })
        }
    })
}

impl PackArguments {
    fn execute(&self) -> Result<ExitStatus> {
        let mut output = Output::create(&self.output, &[&self.input, &self.manifest])?;
        let component = fs::read(&self.input).map_err(|error| Failure::reading(&self.input, error))?;
        let manifest = fs::read_to_string(&self.manifest).map_err(|error| Failure::reading(&self.manifest, error))?;
        output.append(&pack(&component, &manifest)?)?;
        output.commit()?;
        Ok(ExitStatus::Done)
    }
}

//! `hilora-host plugin`: what a component is, and how one made by another tool becomes a plugin.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Serialize;
use serde_json::{Value, json};

use hilora_contract::artifact::write_atomic;
use hilora_contract::plugin::{Capability, PluginError, PluginIdentity, PluginKind};
use hilora_wasm::{HostOptions, PluginHost, pack};

/// Look at plugins and make them.
#[derive(Debug, clap::Subcommand)]
pub(super) enum PluginCommand {
    /// Tell a component's identity, its capabilities, its imports and what it says of itself
    Inspect(InspectArguments),
    /// Embed a manifest into a component, so that it becomes a plugin
    Pack(PackArguments),
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
    /// Does what was asked; `json` prints one object for machines.
    pub(super) fn execute(&self, json: bool) -> Result<()> {
        match self {
            Self::Inspect(arguments) => arguments.execute(json),
            Self::Pack(arguments) => arguments.execute(),
        }
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
    fn execute(&self, json: bool) -> Result<()> {
        let host = PluginHost::new(&HostOptions::default())?;
        let inspection = host.inspect(&self.file)?;
        let description = Description {
            describes: describe(&host, &self.file, inspection.identity.kind)?,
            identity: inspection.identity,
            capabilities: inspection.manifest.capabilities,
            imports: inspection.imports,
        };
        let mut out = io::stdout().lock();
        if json {
            serde_json::to_writer_pretty(&mut out, &description)?;
            writeln!(out)?;
            return Ok(());
        }
        let identity = &description.identity;
        let capabilities: Vec<String> = description.capabilities.iter().map(ToString::to_string).collect();
        writeln!(out, "{} {}", identity.name, identity.version)?;
        writeln!(out, "kind          {}", identity.kind)?;
        writeln!(out, "content       {}", identity.content)?;
        writeln!(
            out,
            "capabilities  {}",
            if capabilities.is_empty() { "none".into() } else { capabilities.join(", ") }
        )?;
        writeln!(out, "imports       {}", description.imports.join("\n              "))?;
        writeln!(out, "describes     {:#}", description.describes)?;
        Ok(())
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
            json!({ "language": info.language, "interpreter": info.interpreter })
        }
    })
}

impl PackArguments {
    fn execute(&self) -> Result<()> {
        let component = fs::read(&self.input).with_context(|| format!("cannot read {}", self.input.display()))?;
        let manifest =
            fs::read_to_string(&self.manifest).with_context(|| format!("cannot read {}", self.manifest.display()))?;
        let packed = pack(&component, &manifest).with_context(|| self.input.display().to_string())?;
        write_atomic(&self.output, &packed).with_context(|| format!("cannot write {}", self.output.display()))
    }
}

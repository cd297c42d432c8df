//! `hilora-host registry`: shows which adapters were proven. It adds and removes nothing; the main job registers.

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Subcommand};
use serde::Serialize;

use super::{Console, ExitStatus};
use hilora_registry::{Registry, Version};

/// What to show, and of which registry.
#[derive(Debug, Args)]
pub(super) struct RegistryArguments {
    /// The registry's database
    #[arg(long, value_name = "FILE", default_value = "runs/registry.sqlite", global = true)]
    registry: PathBuf,
    #[command(subcommand)]
    command: RegistryCommand,
}

#[derive(Debug, Subcommand)]
enum RegistryCommand {
    /// List every version of every adapter
    List,
    /// Show one version with all that made it
    Show {
        /// The adapter's name
        name: String,
        /// Its version [default: the latest]
        #[arg(value_name = "VERSION")]
        version: Option<u64>,
    },
}

/// What a machine reads of a list.
#[derive(Serialize)]
struct VersionList {
    versions: Vec<Version>,
}

impl RegistryArguments {
    /// Prints what was asked for.
    pub(super) fn execute(&self, console: Console) -> Result<ExitStatus> {
        let registry = Registry::open_existing(&self.registry)?;
        match &self.command {
            RegistryCommand::List => {
                let versions = registry.list()?;
                let text = table(&versions);
                console.result(&VersionList { versions }, &text)?;
            }
            RegistryCommand::Show { name, version } => {
                let version = registry.show(name, *version)?;
                console.result(&version, &details(&version))?;
            }
        }
        Ok(ExitStatus::Done)
    }
}

/// The figure of a summary that a person looks for first.
fn pass_at_1(version: &Version) -> String {
    let value = version.content.summary.pointer("/adapter/pass_at/1/value").and_then(serde_json::Value::as_f64);
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.3}"))
}

fn table(versions: &[Version]) -> String {
    let width = versions.iter().map(|version| version.content.name.len()).max().unwrap_or(0).max("adapter".len());
    let mut lines = vec![format!("{:<width$}  version  pass@1  {:<23}  adapter hash", "adapter", "registered")];
    lines.extend(versions.iter().map(|version| {
        let (content, created) = (&version.content, version.created());
        let (figure, hash) = (pass_at_1(version), content.adapter.short());
        format!("{:<width$}  {:>7}  {figure:>6}  {created:<23}  {hash}", content.name, version.version)
    }));
    lines.join("\n")
}

fn details(version: &Version) -> String {
    let content = &version.content;
    let lines = [
        ("adapter", format!("{} version {}", content.name, version.version)),
        ("registered", version.created()),
        ("pass@1", pass_at_1(version)),
        ("files", content.adapter_folder.clone()),
        ("adapter hash", content.adapter.to_string()),
        ("base model", content.base_model.to_string()),
        ("data manifest", content.dataset_manifest.to_string()),
        ("config", content.config.to_string()),
        ("evaluation", content.evaluation.to_string()),
        ("code", content.code_version.clone()),
    ];
    lines.map(|(name, value)| format!("{name:<14} {value}")).join("\n")
}

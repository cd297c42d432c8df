//! `hilora-host registry`: shows which adapters were proven and whether their files are still what was registered. It adds
//! and removes nothing; the main job registers.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde::Serialize;

use super::console::Console;
use super::failure::{ExitStatus, Result};
use hilora_registry::{AdapterFiles, Registry, Version};

/// What to show, and of which registry.
#[derive(Debug, Args)]
pub(super) struct RegistryCommand {
    /// The registry's database
    #[arg(long, value_name = "FILE", default_value = "runs/registry.sqlite", global = true)]
    registry: PathBuf,
    #[command(subcommand)]
    question: Question,
}

#[derive(Debug, Subcommand)]
enum Question {
    /// List every version of every adapter, and whose files are missing
    List,
    /// Show one version with all that made it, and hold its files against their hash
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
    versions: Vec<ListedVersion>,
}

/// A version in a list: its files are looked for and not read.
#[derive(Serialize)]
struct ListedVersion {
    #[serde(flatten)]
    version: Version,
    files_missing: bool,
}

/// One version: its files are read.
#[derive(Serialize)]
struct ShownVersion {
    #[serde(flatten)]
    version: Version,
    files: AdapterFiles,
}

impl RegistryCommand {
    /// Prints what was asked for.
    pub(super) fn execute(&self, console: &Console) -> Result<ExitStatus> {
        let registry = Registry::open_existing(&self.registry)?;
        match &self.question {
            Question::List => {
                let listed = |version: Version| ListedVersion { files_missing: !version.has_files(), version };
                let versions: Vec<ListedVersion> = registry.list()?.into_iter().map(listed).collect();
                let text = table(&versions);
                console.result(&VersionList { versions }, &text)?;
            }
            Question::Show { name, version } => {
                let version = registry.show(name, *version)?;
                let shown = ShownVersion { files: version.check_files()?, version };
                console.result(&shown, &details(&shown))?;
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

fn table(versions: &[ListedVersion]) -> String {
    let names = versions.iter().map(|listed| listed.version.content.name.len());
    let width = names.max().unwrap_or(0).max("adapter".len());
    let mut lines = vec![format!("{:<width$}  version  pass@1  {:<23}  adapter hash", "adapter", "registered")];
    lines.extend(versions.iter().map(|listed| {
        let version = &listed.version;
        let (content, created) = (&version.content, version.created());
        let (figure, hash) = (pass_at_1(version), content.adapter.short());
        let missing = if listed.files_missing { "  its files are missing" } else { "" };
        format!("{:<width$}  {:>7}  {figure:>6}  {created:<23}  {hash}{missing}", content.name, version.version)
    }));
    lines.join("\n")
}

fn details(shown: &ShownVersion) -> String {
    let (version, content) = (&shown.version, &shown.version.content);
    let folder = version.adapter_folder.display();
    let files = match shown.files {
        AdapterFiles::Whole => folder.to_string(),
        AdapterFiles::Missing => format!("{folder} (missing)"),
        AdapterFiles::Changed { hash } => format!("{folder} (changed: their hash is now {hash})"),
    };
    let lines = [
        ("adapter", format!("{} version {}", content.name, version.version)),
        ("registered", version.created()),
        ("pass@1", pass_at_1(version)),
        ("files", files),
        ("adapter hash", content.adapter.to_string()),
        ("base model", content.base_model.to_string()),
        ("data manifest", content.dataset_manifest.to_string()),
        ("config", content.config.to_string()),
        ("evaluation", content.evaluation.to_string()),
        ("code", content.code_version.clone()),
    ];
    lines.map(|(name, value)| format!("{name:<14} {value}")).join("\n")
}

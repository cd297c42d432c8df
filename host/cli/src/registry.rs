//! `hilora-host registry`: shows which adapters were proven and whether all of it is still what was registered. It adds and
//! removes nothing; the main job registers.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde::Serialize;

use super::console::Console;
use super::failure::{ExitStatus, Result};
use hilora_registry::{AdapterFiles, Registry, Verification, Version};

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
    /// Check the database, every version's row and files, and name what in the store no version names (exit code 1 where
    /// something is wrong)
    Verify {
        /// Only this adapter's versions, or only this version [default: everything]
        #[arg(value_name = "NAME[@VERSION]", value_parser = parse_selection)]
        only: Option<Selection>,
    },
}

/// The versions of a name, or one of them.
#[derive(Debug, Clone)]
struct Selection {
    name: String,
    version: Option<u64>,
}

fn parse_selection(text: &str) -> Result<Selection, String> {
    let Some((name, version)) = text.split_once('@') else {
        return Ok(Selection { name: text.to_owned(), version: None });
    };
    let number = version.parse().map_err(|_| format!("expected a version's number after `@`, got `{version}`"))?;
    Ok(Selection { name: name.to_owned(), version: Some(number) })
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

/// What a machine reads of a verification.
#[derive(Serialize)]
struct Verified<'a> {
    is_whole: bool,
    #[serde(flatten)]
    found: &'a Verification,
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
        match &self.question {
            Question::List => {
                let registry = Registry::open_existing(&self.registry)?;
                let listed = |version: Version| ListedVersion { files_missing: !version.has_files(), version };
                let versions: Vec<ListedVersion> = registry.list()?.into_iter().map(listed).collect();
                let text = table(&versions);
                console.result(&VersionList { versions }, &text)?;
            }
            Question::Show { name, version } => {
                let version = Registry::open_existing(&self.registry)?.show(name, *version)?;
                let shown = ShownVersion { files: version.check_files(), version };
                console.result(&shown, &details(&shown))?;
            }
            Question::Verify { only } => {
                let only = only.as_ref().map(|only| (only.name.as_str(), only.version));
                let found = Registry::verify(&self.registry, only)?;
                let is_whole = found.is_whole();
                console.result(&Verified { is_whole, found: &found }, &verdict(&self.registry, &found))?;
                return Ok(if is_whole { ExitStatus::Done } else { ExitStatus::Damaged });
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
    let files = match &shown.files {
        AdapterFiles::Whole => folder.to_string(),
        others => format!("{folder} ({})", state(others)),
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

/// What has become of a version's files, in words.
fn state(files: &AdapterFiles) -> String {
    match files {
        AdapterFiles::Whole => "whole".to_owned(),
        AdapterFiles::Missing => "missing".to_owned(),
        AdapterFiles::Changed { hash } => format!("changed: their hash is now {hash}"),
        AdapterFiles::Unreadable { message } => format!("unreadable: {message}"),
    }
}

/// What a verification found: a line for each version, and one for each thing that is wrong.
fn verdict(registry: &Path, found: &Verification) -> String {
    let names = found.versions.iter().map(|verified| verified.version.content.name.len());
    let damaged_names = found.damaged_rows.iter().map(|row| row.name.as_ref().map_or(0, String::len));
    let width = names.chain(damaged_names).max().unwrap_or(0).max("adapter".len());
    let mut lines = vec![format!("{:<width$}  version  row      files", "adapter")];
    lines.extend(found.versions.iter().map(|verified| {
        let (name, number) = (&verified.version.content.name, verified.version.version);
        format!("{name:<width$}  {number:>7}  whole    {}", state(&verified.files))
    }));
    lines.extend(found.damaged_rows.iter().map(|row| {
        let name = row.name.as_deref().unwrap_or("?");
        let number = row.version.map_or_else(|| "?".to_owned(), |number| number.to_string());
        format!("{name:<width$}  {number:>7}  damaged  {}", row.problem)
    }));
    let kept = found.unassigned.iter();
    lines.extend(kept.map(|path| format!("may be the files of a row that cannot be read: {}", path.display())));
    lines.extend(found.unnamed.iter().map(|path| format!("no version names {}", path.display())));
    lines.extend(found.database.iter().map(|problem| format!("the database is damaged: {problem}")));
    let wrong_files = found.versions.iter().filter(|verified| verified.files != AdapterFiles::Whole).count();
    let counts = [
        (found.database.len(), "faults in the database"),
        (found.damaged_rows.len(), "damaged rows"),
        (wrong_files, "versions whose files are not what was registered"),
        (found.unassigned.len(), "adapters in the store that may be those of a row that cannot be read"),
        (found.unnamed.len(), "things in the store that no version names"),
    ];
    let wrong: Vec<String> =
        counts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{what}: {count}")).collect();
    lines.push(match wrong.as_slice() {
        [] => {
            let count = found.versions.len();
            format!("{} is whole: {count} version{}", registry.display(), if count == 1 { "" } else { "s" })
        }
        wrong => format!("{} is not whole: {}", registry.display(), wrong.join(", ")),
    });
    lines.join("\n")
}

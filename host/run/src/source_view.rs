//! A view of a source: how its files would be read, and its first rows, without a config and without a run.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use hilora_contract::dataset::{Conversation, PolicyExample, Problem, SkippedRow};
use hilora_contract::fault::BadInput;
use hilora_contract::plugin::{DatasetLoader, LoadedRow, LoaderOptions, PluginError};
use hilora_wasm::{HostOptions, PluginHost};
use serde::Serialize;

use super::error::RunError;
use super::run_plugins::shipped_loader;

/// The loader of rows of any layout.
pub(crate) const ANY_LAYOUT: &str = "jsonl";

/// The option by which a loader says how it would read its files, in the place of the rows.
const PLAN_OPTION: &str = "plan";

/// The reason of a row that is a line of such a plan.
const PLAN_REASON: &str = "plan";

/// Rows asked for at once.
const ROWS_PER_BATCH: u32 = 64;

/// How one file would be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlannedFile {
    /// The source that reads it.
    pub source: String,
    /// Its format and layout in words.
    pub words: String,
}

/// A row as a loader yields it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum ViewedRow {
    /// A problem; of its tests and programs only the numbers.
    Problem {
        /// Its identifier.
        id: String,
        /// What a model would be shown.
        statement: String,
        /// Its tests.
        tests: usize,
        /// Programs that claim to solve it.
        solutions: usize,
    },
    /// A conversation.
    Conversation(Conversation),
    /// A case under a policy.
    Policy(PolicyExample),
    /// A row that yields nothing.
    Skipped(SkippedRow),
}

/// What a source is and how it begins.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SourceView {
    /// The source that reads it.
    pub source: String,
    /// How each file would be read, where the loader says it.
    pub plan: Vec<PlannedFile>,
    /// The first rows.
    pub rows: Vec<ViewedRow>,
    /// Rows that were read until then.
    pub rows_read: u64,
    /// Those of them that were skipped, by reason.
    pub skipped: BTreeMap<String, u64>,
}

/// How the loader would read these files; empty where it does not say.
pub fn load_plan(
    loader: &dyn DatasetLoader,
    files: &[PathBuf],
    options: &LoaderOptions,
) -> Result<Vec<PlannedFile>, PluginError> {
    let mut asked = options.clone();
    asked.insert(PLAN_OPTION.to_owned(), true.into());
    let mut reader = match loader.open(files, &asked) {
        // A loader that has no such option has nothing to say.
        Err(PluginError::Options { .. }) => return Ok(Vec::new()),
        reader => reader?,
    };
    let mut plan = Vec::new();
    loop {
        let rows = reader.next_batch(ROWS_PER_BATCH)?;
        if rows.is_empty() {
            return Ok(plan);
        }
        for row in rows {
            match row {
                LoadedRow::Skipped(SkippedRow { id, reason, detail }) if reason == PLAN_REASON => {
                    plan.push(PlannedFile { source: id.unwrap_or_default(), words: detail });
                }
                // A loader that takes no notice of the option reads its rows: they are not the answer.
                _ => return Ok(Vec::new()),
            }
        }
    }
}

/// Looks at the files: by the loader of this source, or else by the one that their rows are of.
pub fn view_source(
    files: &[PathBuf],
    source: Option<&str>,
    options: &LoaderOptions,
    rows_max: usize,
) -> Result<SourceView, RunError> {
    let host = PluginHost::new(&HostOptions::default())?;
    let source = source.unwrap_or(ANY_LAYOUT);
    let loader = open(&host, source)?;
    let plan = load_plan(&*loader, files, options)?;
    let other = plan.iter().map(|file| file.source.as_str()).find(|other| *other != source && !other.is_empty());
    match other.map(str::to_owned) {
        Some(other) => first_rows(&*open(&host, &other)?, other, plan, files, options, rows_max),
        None => first_rows(&*loader, source.to_owned(), plan, files, options, rows_max),
    }
}

fn open(host: &PluginHost, source: &str) -> Result<Box<dyn DatasetLoader>, RunError> {
    let file = shipped_loader(source);
    if !file.exists() {
        let message = format!("no shipped plugin reads the source `{source}`: {} is missing", file.display());
        return Err(BadInput::with_hint(message, "`cargo xtask build` makes the shipped plugins").into());
    }
    Ok(host.loader(Path::new(&file))?)
}

fn first_rows(
    loader: &dyn DatasetLoader,
    source: String,
    plan: Vec<PlannedFile>,
    files: &[PathBuf],
    options: &LoaderOptions,
    rows_max: usize,
) -> Result<SourceView, RunError> {
    let mut view = SourceView { source, plan, rows: Vec::new(), rows_read: 0, skipped: BTreeMap::new() };
    let mut reader = loader.open(files, options)?;
    while view.rows.len() < rows_max {
        let left = u32::try_from(rows_max - view.rows.len()).unwrap_or(u32::MAX);
        let rows = reader.next_batch(left.min(ROWS_PER_BATCH))?;
        if rows.is_empty() {
            break;
        }
        view.rows_read += rows.len() as u64;
        for row in rows {
            if let LoadedRow::Skipped(skipped) = &row {
                *view.skipped.entry(skipped.reason.clone()).or_default() += 1;
            }
            view.rows.push(viewed(row));
        }
    }
    Ok(view)
}

fn viewed(row: LoadedRow) -> ViewedRow {
    match row {
        LoadedRow::Problem(Problem { text, tests, solutions, .. }) => ViewedRow::Problem {
            id: text.id,
            statement: text.statement,
            tests: tests.len(),
            solutions: solutions.len(),
        },
        LoadedRow::Conversation(conversation) => ViewedRow::Conversation(conversation),
        LoadedRow::Policy(example) => ViewedRow::Policy(example),
        LoadedRow::Skipped(skipped) => ViewedRow::Skipped(skipped),
    }
}

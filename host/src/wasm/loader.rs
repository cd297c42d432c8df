//! Dataset loaders over components. A loader's reader lives in one instance from the first row to the last; what it
//! yields is counted against the rows it was asked for.

use std::path::PathBuf;
use std::sync::Arc;

use wasmtime::Store;
use wasmtime::component::ResourceAny;

use super::bindings::dataset_loader::exports::hilora::plugin::loader::{Batch as WitBatch, LoadError};
use super::bindings::dataset_loader::{DatasetLoader as World, DatasetLoaderPre};
use super::bindings::types;
use super::guest::{Guest, GuestState};
use super::loaded_plugin::LoadedPlugin;
use super::source::SourceFile;
use crate::dataset::{Problem, ProblemText, SkippedRow, Solution, TestCase};
use crate::plugin::{Batch, Column, DatasetInfo, DatasetLoader, DatasetReader, PluginError, PluginIdentity};

/// A reason is counted and printed in tables.
const REASON_CHARACTERS_MAX: usize = 64;

/// A dataset loader in a component.
pub(super) struct ComponentLoader {
    plugin: Arc<LoadedPlugin>,
    world: DatasetLoaderPre<GuestState>,
}

impl ComponentLoader {
    pub(super) fn new(plugin: LoadedPlugin) -> wasmtime::Result<Self> {
        Ok(Self { world: DatasetLoaderPre::new(plugin.instance.clone())?, plugin: Arc::new(plugin) })
    }
}

impl DatasetLoader for ComponentLoader {
    fn identity(&self) -> &PluginIdentity {
        &self.plugin.identity
    }

    fn describe(&self) -> Result<DatasetInfo, PluginError> {
        let info = self.plugin.call("describe", None, async |store: &mut Store<GuestState>| {
            let instance = self.world.instantiate_async(&mut *store).await?;
            instance.hilora_plugin_loader().call_describe(store).await
        })?;
        if info.source.is_empty() {
            let message = "expected the name of the source it serves, got an empty one".to_owned();
            return Err(self.plugin.contract("describe", None, message));
        }
        let column = |column: super::bindings::dataset_loader::exports::hilora::plugin::loader::Column| Column {
            name: column.name,
            expected: column.expected,
            required: column.required,
        };
        Ok(DatasetInfo {
            source: info.source,
            licence: info.licence,
            columns: info.columns.into_iter().map(column).collect(),
        })
    }

    fn open(&self, files: &[PathBuf]) -> Result<Box<dyn DatasetReader>, PluginError> {
        let opened =
            files.iter().map(|path| SourceFile::open(&self.plugin.identity, path)).collect::<Result<Vec<_>, _>>()?;
        let mut guest = self.plugin.guest()?;
        let answer = self.plugin.call_in(&mut guest, "open", None, async |store: &mut Store<GuestState>| {
            let handles =
                opened.into_iter().map(|file| store.data_mut().table.push(file)).collect::<Result<Vec<_>, _>>()?;
            let instance = self.world.instantiate_async(&mut *store).await?;
            let answer = instance.hilora_plugin_loader().call_open(store, &handles).await?;
            Ok(answer.map(|reader| (instance, reader)))
        })?;
        let (instance, reader) = answer.map_err(|error| refusal(&self.plugin, error))?;
        Ok(Box::new(ComponentReader {
            plugin: self.plugin.clone(),
            guest,
            instance,
            reader,
            rows_consumed: 0,
            finished: false,
        }))
    }
}

fn refusal(plugin: &LoadedPlugin, error: LoadError) -> PluginError {
    plugin.refused(&match error {
        LoadError::Column(column) => {
            let found = column.found.map_or_else(|| "no such column".to_owned(), |found| format!("`{found}`"));
            format!("{}: column `{}`: expected `{}`, found {found}", column.file, column.column, column.expected)
        }
        LoadError::Malformed(place) => match place.row {
            Some(row) => format!("{}: row {row}: {}", place.file, place.detail),
            None => format!("{}: {}", place.file, place.detail),
        },
        LoadError::Unreadable(why) => why,
    })
}

/// A reader in the middle of its files.
struct ComponentReader {
    plugin: Arc<LoadedPlugin>,
    guest: Guest,
    instance: World,
    reader: ResourceAny,
    rows_consumed: u64,
    finished: bool,
}

impl ComponentReader {
    /// Refuses a batch that does not account for its rows, one by one.
    fn check(&self, batch: &WitBatch, rows_max: u32) -> Result<u64, PluginError> {
        let wrong = |message| self.plugin.contract("next-batch", Some(self.place()), message);
        let rows = (batch.problems.len() + batch.skipped.len()) as u64;
        if rows == 0 || rows > u64::from(rows_max) {
            return Err(wrong(format!("expected 1 to {rows_max} rows, got {rows}")));
        }
        let expected = self.rows_consumed..self.rows_consumed + rows;
        if let Some(row) = batch.skipped.iter().map(|skipped| skipped.row).find(|row| !expected.contains(row)) {
            return Err(wrong(format!("expected skipped rows within {expected:?}, got row {row}")));
        }
        if !batch.skipped.is_sorted_by(|a, b| a.row < b.row) {
            return Err(wrong("expected skipped rows in file order, each once".to_owned()));
        }
        let plain = |reason: &str| {
            let kebab = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            !reason.is_empty() && reason.len() <= REASON_CHARACTERS_MAX && reason.chars().all(kebab)
        };
        if let Some(skipped) = batch.skipped.iter().find(|skipped| !plain(&skipped.reason)) {
            return Err(wrong(format!("expected a reason in kebab case, got `{}`", skipped.reason)));
        }
        if batch.problems.iter().any(|problem| problem.text.id.is_empty()) {
            return Err(wrong("expected an identifier for every problem, got an empty one".to_owned()));
        }
        Ok(rows)
    }

    fn place(&self) -> String {
        format!("row {}", self.rows_consumed)
    }
}

impl DatasetReader for ComponentReader {
    fn next_batch(&mut self, rows_max: u32) -> Result<Option<Batch>, PluginError> {
        if self.finished {
            return Ok(None);
        }
        // Whatever goes wrong, an instance that failed is not asked again.
        self.finished = true;
        let row = Some(self.place());
        let (instance, reader) = (&self.instance, self.reader);
        let answer =
            self.plugin.call_in(&mut self.guest, "next-batch", row, async |store: &mut Store<GuestState>| {
                instance.hilora_plugin_loader().reader().call_next_batch(store, reader, rows_max).await
            })?;
        let Some(batch) = answer.map_err(|error| refusal(&self.plugin, error))? else {
            return Ok(None);
        };
        self.rows_consumed += self.check(&batch, rows_max)?;
        self.finished = false;
        Ok(Some(batch.into()))
    }

    fn rows_total(&mut self) -> Result<Option<u64>, PluginError> {
        let (instance, reader) = (&self.instance, self.reader);
        self.plugin.call_in(&mut self.guest, "rows-total", None, async |store: &mut Store<GuestState>| {
            instance.hilora_plugin_loader().reader().call_rows_total(store, reader).await
        })
    }
}

impl From<WitBatch> for Batch {
    fn from(batch: WitBatch) -> Self {
        let skipped =
            |row: types::SkippedRow| SkippedRow { row: row.row, id: row.id, reason: row.reason, detail: row.detail };
        Self {
            problems: batch.problems.into_iter().map(Problem::from).collect(),
            skipped: batch.skipped.into_iter().map(skipped).collect(),
        }
    }
}

impl From<types::Problem> for Problem {
    fn from(problem: types::Problem) -> Self {
        let text = problem.text;
        let solution = |solution: types::Solution| Solution { language: solution.language.into(), code: solution.code };
        let test = |test: types::TestCase| TestCase { input: test.input, output: test.expected };
        Self {
            text: ProblemText {
                id: text.id,
                title: text.title,
                statement: text.statement,
                tags: text.tags,
                difficulty: text.difficulty,
            },
            source: problem.source,
            solutions: problem.solutions.into_iter().map(solution).collect(),
            tests: problem.tests.into_iter().map(test).collect(),
            entry_point: problem.entry_point,
            time_limit_ms: problem.time_limit_ms,
            memory_limit_bytes: problem.memory_limit_bytes,
        }
    }
}

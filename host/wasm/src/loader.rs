//! Dataset loaders over components. A loader's reader lives in one instance from the first row to the last; what it
//! yields is counted against the rows it was asked for.

use std::path::PathBuf;
use std::sync::Arc;

use serde::de::IgnoredAny;
use wasmtime::Store;
use wasmtime::component::ResourceAny;

use super::bindings::dataset_loader::exports::hilora::plugin::loader::{LoadError, LoadedRow as WitRow};
use super::bindings::dataset_loader::{DatasetLoader as World, DatasetLoaderPre};
use super::bindings::types;
use super::guest::{Guest, GuestState};
use super::loaded_plugin::LoadedPlugin;
use super::source::SourceFile;
use hilora_contract::dataset::{
    Action, Attribute, Conversation, Message, PolicyExample, Problem, ProblemText, Role, SkippedRow, Solution, TestCase,
};
use hilora_contract::plugin::{
    Column, DatasetInfo, DatasetLoader, DatasetReader, LoadedRow, LoaderOptions, PluginError, PluginIdentity,
};

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

    fn open(&self, files: &[PathBuf], options: &LoaderOptions) -> Result<Box<dyn DatasetReader>, PluginError> {
        let options = serde_json::Value::Object(options.clone()).to_string();
        let opened =
            files.iter().map(|path| SourceFile::open(&self.plugin.identity, path)).collect::<Result<Vec<_>, _>>()?;
        let mut guest = self.plugin.guest();
        let answer = self.plugin.call_in(&mut guest, "open", None, async |store: &mut Store<GuestState>| {
            let handles =
                opened.into_iter().map(|file| store.data_mut().table.push(file)).collect::<Result<Vec<_>, _>>()?;
            let instance = self.world.instantiate_async(&mut *store).await?;
            let answer = instance.hilora_plugin_loader().call_open(store, &handles, &options).await?;
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
        LoadError::Options(why) => format!("data.options: {why}"),
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
    /// Refuses rows that nobody could account for or learn from.
    fn check(&self, rows: &[WitRow], rows_max: u32) -> Result<(), PluginError> {
        if rows.len() > rows_max as usize {
            return Err(self.wrong(self.rows_consumed, format!("expected 1 to {rows_max} rows, got {}", rows.len())));
        }
        for (row, loaded) in (self.rows_consumed..).zip(rows) {
            check_row(loaded).map_err(|message| self.wrong(row, message))?;
        }
        Ok(())
    }

    fn wrong(&self, row: u64, message: String) -> PluginError {
        self.plugin.contract("next-batch", Some(format!("row {row}")), message)
    }

    fn place(&self) -> String {
        format!("row {}", self.rows_consumed)
    }
}

/// What is wrong with a row that a loader yielded.
fn check_row(row: &WitRow) -> Result<(), String> {
    let (id, messages) = match row {
        WitRow::Skipped(skipped) => {
            let kebab = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            let reason = &skipped.reason;
            let plain = !reason.is_empty() && reason.len() <= REASON_CHARACTERS_MAX && reason.chars().all(kebab);
            return if plain { Ok(()) } else { Err(format!("expected a reason in kebab case, got `{reason}`")) };
        }
        WitRow::Problem(problem) => (&problem.text.id, None),
        WitRow::Conversation(conversation) => (&conversation.id, Some(&conversation.messages)),
        WitRow::Policy(example) => {
            for action in &example.actions {
                let wrong =
                    |got: String| format!("expected a JSON object as arguments of `{}`, got {got}", action.name);
                serde_json::from_str::<IgnoredAny>(&action.arguments).map_err(|error| wrong(error.to_string()))?;
                if !action.arguments.trim_start().starts_with('{') {
                    return Err(wrong("another value".to_owned()));
                }
            }
            (&example.id, None)
        }
    };
    if id.is_empty() {
        return Err("expected an identifier, got an empty one".to_owned());
    }
    if messages.is_some_and(|messages| messages.last().is_none_or(|last| last.role != types::Role::Assistant)) {
        return Err("expected a conversation whose last message is the assistant's".to_owned());
    }
    Ok(())
}

impl DatasetReader for ComponentReader {
    fn next_batch(&mut self, rows_max: u32) -> Result<Vec<LoadedRow>, PluginError> {
        if self.finished {
            return Ok(Vec::new());
        }
        // Whatever goes wrong, an instance that failed is not asked again.
        self.finished = true;
        let row = Some(self.place());
        let (instance, reader) = (&self.instance, self.reader);
        let answer =
            self.plugin.call_in(&mut self.guest, "next-batch", row, async |store: &mut Store<GuestState>| {
                instance.hilora_plugin_loader().reader().call_next_batch(store, reader, rows_max).await
            })?;
        let rows = answer.map_err(|error| refusal(&self.plugin, error))?;
        self.check(&rows, rows_max)?;
        self.rows_consumed += rows.len() as u64;
        self.finished = rows.is_empty();
        Ok(rows.into_iter().map(LoadedRow::from).collect())
    }

    fn rows_total(&mut self) -> Result<Option<u64>, PluginError> {
        let (instance, reader) = (&self.instance, self.reader);
        self.plugin.call_in(&mut self.guest, "rows-total", None, async |store: &mut Store<GuestState>| {
            instance.hilora_plugin_loader().reader().call_rows_total(store, reader).await
        })
    }
}

impl From<WitRow> for LoadedRow {
    fn from(row: WitRow) -> Self {
        match row {
            WitRow::Problem(problem) => Self::Problem(problem.into()),
            WitRow::Conversation(conversation) => Self::Conversation(Conversation {
                id: conversation.id,
                messages: conversation.messages.into_iter().map(Message::from).collect(),
                tags: conversation.tags,
                difficulty: conversation.difficulty,
            }),
            WitRow::Policy(example) => Self::Policy(PolicyExample {
                id: example.id,
                instruction: example.instruction,
                policy: example.policy,
                actions: example.actions.into_iter().map(Action::from).collect(),
                outputs: example.outputs,
                tags: example.tags,
                difficulty: example.difficulty,
            }),
            WitRow::Skipped(types::SkippedRow { id, reason, detail }) => {
                Self::Skipped(SkippedRow { id, reason, detail })
            }
        }
    }
}

impl From<types::Message> for Message {
    fn from(message: types::Message) -> Self {
        let role = match message.role {
            types::Role::System => Role::System,
            types::Role::User => Role::User,
            types::Role::Assistant => Role::Assistant,
        };
        Self { role, content: message.content }
    }
}

impl From<types::Action> for Action {
    fn from(action: types::Action) -> Self {
        Self { name: action.name, arguments: action.arguments }
    }
}

impl From<types::Problem> for Problem {
    fn from(problem: types::Problem) -> Self {
        let text = problem.text;
        let solution = |solution: types::Solution| Solution { language: solution.language.into(), code: solution.code };
        let attribute = |fact: types::Attribute| Attribute { name: fact.name, value: fact.value };
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
            incorrect_solutions: problem.incorrect_solutions.into_iter().map(solution).collect(),
            tests: problem.tests.into_iter().map(test).collect(),
            entry_point: problem.entry_point,
            time_limit_ms: problem.time_limit_ms,
            memory_limit_bytes: problem.memory_limit_bytes,
            attributes: problem.attributes.into_iter().map(attribute).collect(),
        }
    }
}

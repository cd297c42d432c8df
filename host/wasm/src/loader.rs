//! Dataset loaders over components. A loader's reader lives in one instance from the first row to the last; what it
//! yields is counted against the rows it was asked for.

use std::path::PathBuf;
use std::sync::Arc;

use wasmtime::Store;
use wasmtime::component::ResourceAny;

use super::answer::{NAME_CHARACTERS_MAX, ROWS_BYTES_MAX, WORDS_BYTES_MAX, shortened, shortened_name};
use super::bindings::dataset_loader::exports::hilora::plugin::loader::{LoadError, LoadedRow as WitRow};
use super::bindings::dataset_loader::{DatasetLoader as World, DatasetLoaderPre};
use super::bindings::types;
use super::execution::Stopwatch;
use super::guest::{Guest, GuestState};
use super::loaded_plugin::LoadedPlugin;
use super::messages::{all_checked, check_object};
use super::source::SourceFile;
use hilora_contract::dataset::{
    Action, Attribute, Conversation, PolicyExample, Problem, ProblemChecker, ProblemText, SkippedRow, Solution,
    TestCase,
};
use hilora_contract::plugin::{
    Column, DatasetInfo, DatasetLoader, DatasetReader, LoadedRow, LoaderOptions, PluginError, PluginIdentity,
};

/// Messages, files and tables repeat a row's identifier.
const ID_BYTES_MAX: usize = 4_096;

/// The columns that a loader reads are listed for a person.
const COLUMNS_MAX: usize = 1_000;

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
        let info = self.plugin.call("describe", None, WORDS_BYTES_MAX, async |store: &mut Store<GuestState>| {
            let instance = self.world.instantiate_async(&mut *store).await?;
            instance.hilora_plugin_loader().call_describe(store).await
        })?;
        let wrong = |message| Err(self.plugin.contract("describe", None, message));
        match info.source.chars().count() {
            0 => return wrong("expected the name of the source it serves, got an empty one".to_owned()),
            1..=NAME_CHARACTERS_MAX => {}
            got => {
                return wrong(format!(
                    "expected a source's name of at most {NAME_CHARACTERS_MAX} characters, got {got}"
                ));
            }
        }
        if info.columns.len() > COLUMNS_MAX {
            return wrong(format!("expected at most {COLUMNS_MAX} columns, got {}", info.columns.len()));
        }
        let column = |column: super::bindings::dataset_loader::exports::hilora::plugin::loader::Column| Column {
            name: shortened_name(&column.name),
            expected: shortened_name(&column.expected),
            required: column.required,
        };
        Ok(DatasetInfo {
            source: info.source,
            licence: shortened(&info.licence),
            columns: info.columns.into_iter().map(column).collect(),
        })
    }

    fn open(&self, files: &[PathBuf], options: &LoaderOptions) -> Result<Box<dyn DatasetReader>, PluginError> {
        let source = Source {
            plugin: self.plugin.clone(),
            world: self.world.clone(),
            files: files.to_vec(),
            options: serde_json::Value::Object(options.clone()).to_string(),
        };
        Ok(Box::new(ComponentReader { open: source.open()?, source, finished: false }))
    }
}

/// What a reader reads, so that it can be read again.
struct Source {
    plugin: Arc<LoadedPlugin>,
    world: DatasetLoaderPre<GuestState>,
    files: Vec<PathBuf>,
    options: String,
}

impl Source {
    fn open(&self) -> Result<OpenReader, PluginError> {
        let files = self.files.iter().map(|path| SourceFile::open(&self.plugin.identity, path));
        let opened = files.collect::<Result<Vec<_>, _>>()?;
        let mut guest = self.plugin.guest();
        let open = async |store: &mut Store<GuestState>| {
            let handles =
                opened.into_iter().map(|file| store.data_mut().table.push(file)).collect::<Result<Vec<_>, _>>()?;
            let instance = self.world.instantiate_async(&mut *store).await?;
            let answer = instance.hilora_plugin_loader().call_open(store, &handles, &self.options).await?;
            Ok(answer.map(|reader| (instance, reader)))
        };
        let answer = self.plugin.call_in(&mut guest, "open", None, WORDS_BYTES_MAX, open)?;
        let (instance, reader) = answer.map_err(|error| refusal(&self.plugin, error))?;
        Ok(OpenReader { plugin: self.plugin.clone(), guest, instance, reader, rows_consumed: 0 })
    }

    /// Names the row that a batch after `rows_consumed` failed on: the rows before it are read again, and then one at a
    /// time. Where that takes too long, or ends otherwise, all that is known is where the batch began.
    fn locate(&self, rows_consumed: u64, rows_max: u32, event: PluginError) -> PluginError {
        let since = Stopwatch::start();
        let Ok(mut again) = self.open() else { return event };
        while self.plugin.is_sought(&since) && again.rows_consumed < rows_consumed + u64::from(rows_max) {
            let rows_before = rows_consumed.saturating_sub(again.rows_consumed);
            match again.next_batch(u32::try_from(rows_before).map_or(rows_max, |rows| rows.clamp(1, rows_max))) {
                Ok(rows) if !rows.is_empty() => {}
                Err(at_row) if rows_before == 0 => return at_row,
                Ok(_) | Err(_) => return event,
            }
        }
        event
    }
}

fn refusal(plugin: &LoadedPlugin, error: LoadError) -> PluginError {
    plugin.refused(&match error {
        LoadError::Column(column) => {
            let [file, name, expected] =
                [&column.file, &column.column, &column.expected].map(|name| shortened_name(name));
            let found = column
                .found
                .map_or_else(|| "no such column".to_owned(), |found| format!("`{}`", shortened_name(&found)));
            format!("{file}: column `{name}`: expected `{expected}`, found {found}")
        }
        LoadError::Malformed(place) => {
            let (file, detail) = (shortened_name(&place.file), shortened(&place.detail));
            match place.row {
                Some(row) => format!("{file}: row {row}: {detail}"),
                None => format!("{file}: {detail}"),
            }
        }
        LoadError::Unreadable(why) => shortened(&why),
        LoadError::Options(why) => return wrong_options(plugin, &why),
    })
}

/// What would mend the options may stand in a line of its own.
fn wrong_options(plugin: &LoadedPlugin, why: &str) -> PluginError {
    let (message, hint) = match why.split_once("\nhint: ") {
        Some((message, hint)) => (message, Some(shortened(hint))),
        None => (why, None),
    };
    let message =
        if message.trim().is_empty() { "they are refused without a reason".to_owned() } else { shortened(message) };
    PluginError::Options { plugin: plugin.identity.clone(), message, hint }
}

/// A reader in the middle of its files.
struct ComponentReader {
    source: Source,
    open: OpenReader,
    finished: bool,
}

/// The instance that a reader lives in.
struct OpenReader {
    plugin: Arc<LoadedPlugin>,
    guest: Guest,
    instance: World,
    reader: ResourceAny,
    rows_consumed: u64,
}

impl OpenReader {
    fn next_batch(&mut self, rows_max: u32) -> Result<Vec<LoadedRow>, PluginError> {
        let row = Some(self.place(rows_max));
        let (instance, reader) = (&self.instance, self.reader);
        let next_batch = async |store: &mut Store<GuestState>| {
            instance.hilora_plugin_loader().reader().call_next_batch(store, reader, rows_max).await
        };
        let answer = self.plugin.call_in(&mut self.guest, "next-batch", row, ROWS_BYTES_MAX, next_batch)?;
        let rows = answer.map_err(|error| refusal(&self.plugin, error))?;
        let rows = self.checked(rows, rows_max)?;
        self.rows_consumed += rows.len() as u64;
        Ok(rows)
    }

    /// The rows as the host knows them. Refuses what nobody could account for or learn from.
    fn checked(&self, rows: Vec<WitRow>, rows_max: u32) -> Result<Vec<LoadedRow>, PluginError> {
        if rows.len() > rows_max as usize {
            return Err(self.wrong(self.rows_consumed, format!("expected 1 to {rows_max} rows, got {}", rows.len())));
        }
        let checked = |(row, loaded)| checked_row(loaded).map_err(|message| self.wrong(row, message));
        (self.rows_consumed..).zip(rows).map(checked).collect()
    }

    fn wrong(&self, row: u64, message: String) -> PluginError {
        self.plugin.contract("next-batch", Some(format!("row {row}")), message)
    }

    /// How messages call the next rows.
    fn place(&self, rows_max: u32) -> String {
        match rows_max {
            0 | 1 => format!("row {}", self.rows_consumed),
            _ => format!("one of {rows_max} rows from row {}", self.rows_consumed),
        }
    }
}

/// A row that a loader yielded, or what is wrong with it.
fn checked_row(row: WitRow) -> Result<LoadedRow, String> {
    let loaded = match row {
        WitRow::Skipped(types::SkippedRow { id, reason, detail }) => {
            let kebab = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            let plain = !reason.is_empty() && reason.len() <= REASON_CHARACTERS_MAX && reason.chars().all(kebab);
            if !plain {
                return Err(format!("expected a reason in kebab case, got `{}`", shortened_name(&reason)));
            }
            let id = id.map(|id| shortened(&id));
            return Ok(LoadedRow::Skipped(SkippedRow { id, reason, detail: shortened(&detail) }));
        }
        WitRow::Problem(problem) => LoadedRow::Problem(checked_problem(problem)?),
        WitRow::Conversation(conversation) => LoadedRow::Conversation(checked_conversation(conversation)?),
        WitRow::Policy(example) => LoadedRow::Policy(checked_example(example)?),
    };
    let id = match &loaded {
        LoadedRow::Problem(problem) => problem.text.id.as_str(),
        LoadedRow::Conversation(conversation) => &conversation.id,
        LoadedRow::Policy(example) => &example.id,
        LoadedRow::Skipped(_) => return Ok(loaded),
    };
    match id.len() {
        0 => Err("expected an identifier, got an empty one".to_owned()),
        1..=ID_BYTES_MAX => Ok(loaded),
        bytes => Err(format!("expected an identifier of at most {ID_BYTES_MAX} bytes, got {bytes}")),
    }
}

fn checked_conversation(conversation: types::Conversation) -> Result<Conversation, String> {
    let messages = all_checked(conversation.messages)?;
    if !messages.iter().any(|message| message.trained) {
        return Err("expected a message that is trained on, got none".to_owned());
    }
    for tool in &conversation.tools {
        check_object(tool, || "that defines a tool".to_owned())?;
    }
    Ok(Conversation {
        id: conversation.id,
        messages,
        tools: conversation.tools,
        tags: conversation.tags,
        difficulty: conversation.difficulty,
    })
}

fn checked_example(example: types::PolicyExample) -> Result<PolicyExample, String> {
    for action in &example.actions {
        check_object(&action.arguments, || format!("as arguments of `{}`", action.name))?;
    }
    Ok(PolicyExample {
        id: example.id,
        instruction: example.instruction,
        policy: example.policy,
        actions: example.actions.into_iter().map(Action::from).collect(),
        outputs: example.outputs,
        tags: example.tags,
        difficulty: example.difficulty,
    })
}

fn checked_problem(problem: types::Problem) -> Result<Problem, String> {
    let text = problem.text;
    let solution = |solution: types::Solution| match solution.language.try_into() {
        Ok(language) => Ok(Solution { language, code: solution.code }),
        Err(error) => Err(hilora_contract::dataset::LanguageError::to_string(&error)),
    };
    let attribute = |fact: types::Attribute| Attribute { name: fact.name, value: fact.value };
    let test = |test: types::TestCase| TestCase { input: test.input, output: test.expected };
    if let (Some(entry_point), Some(_)) = (&problem.entry_point, &problem.checker) {
        return Err(format!(
            "expected no checker beside the entry point `{entry_point}`: what a call returns is compared as a JSON value"
        ));
    }
    if problem.test_code.is_some() && problem.entry_point.is_none() {
        return Err("expected an entry point beside the test code, got none".to_owned());
    }
    Ok(Problem {
        text: ProblemText {
            id: text.id,
            title: text.title,
            statement: text.statement,
            tags: text.tags,
            difficulty: text.difficulty,
        },
        source: problem.source,
        solutions: problem.solutions.into_iter().map(solution).collect::<Result<_, _>>()?,
        incorrect_solutions: problem.incorrect_solutions.into_iter().map(solution).collect::<Result<_, _>>()?,
        tests: problem.tests.into_iter().map(test).collect(),
        entry_point: problem.entry_point,
        test_code: problem.test_code,
        checker: problem.checker.map(checked_checker).transpose()?,
        time_limit_ms: problem.time_limit_ms,
        memory_limit_bytes: problem.memory_limit_bytes,
        attributes: problem.attributes.into_iter().map(attribute).collect(),
    })
}

fn checked_checker(checker: types::ProblemChecker) -> Result<ProblemChecker, String> {
    let ignored = |letters| matches!(letters, types::LetterCase::Ignored);
    let checker = match checker {
        types::ProblemChecker::Lines(letters) => ProblemChecker::Lines { ignore_case: ignored(letters) },
        types::ProblemChecker::Tokens(letters) => ProblemChecker::Tokens { ignore_case: ignored(letters) },
        types::ProblemChecker::Float(float) => ProblemChecker::Float {
            absolute_tolerance: float.absolute_tolerance,
            relative_tolerance: float.relative_tolerance,
            ignore_case: ignored(float.letters),
        },
        types::ProblemChecker::Plugin(plugin) => {
            let options = serde_json::from_str(&plugin.options).map_err(|error| {
                format!("expected a JSON object as options of the checker `{}`, got {error}", plugin.name)
            })?;
            match ProblemChecker::named(&plugin.name) {
                // The built-in checkers that have no case of their own in the interface.
                Ok(checker @ (ProblemChecker::Answer | ProblemChecker::Decimals))
                    if serde_json::Map::is_empty(&options) =>
                {
                    checker
                }
                _ => ProblemChecker::Plugin { name: plugin.name, options },
            }
        }
    };
    checker.check().map_err(|error| error.to_string())?;
    Ok(checker)
}

impl DatasetReader for ComponentReader {
    fn next_batch(&mut self, rows_max: u32) -> Result<Vec<LoadedRow>, PluginError> {
        if self.finished {
            return Ok(Vec::new());
        }
        // Whatever goes wrong, an instance that failed is not asked again.
        self.finished = true;
        let rows_max = rows_max.min(self.source.plugin.items_per_call_max);
        let rows = self.open.next_batch(rows_max).map_err(|error| match error {
            PluginError::Trap { .. } | PluginError::Limit { .. } if rows_max > 1 => {
                self.source.locate(self.open.rows_consumed, rows_max, error)
            }
            error => error,
        })?;
        self.finished = rows.is_empty();
        Ok(rows)
    }

    fn rows_total(&mut self) -> Result<Option<u64>, PluginError> {
        let OpenReader { plugin, guest, instance, reader, .. } = &mut self.open;
        let rows_total = async |store: &mut Store<GuestState>| {
            instance.hilora_plugin_loader().reader().call_rows_total(store, *reader).await
        };
        plugin.call_in(guest, "rows-total", None, WORDS_BYTES_MAX, rows_total)
    }
}

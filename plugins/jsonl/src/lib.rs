//! The JSON lines loader: reads any file of one JSON object a line by the mapping in `data.options`.
//!
//! A mapping names, for one kind of row (chat, completion, problem or policy), the field that each part is read from. Where
//! the options name no kind, the fields of the first rows tell a known layout, which is a mapping like any other.
//! A row that does not fit the mapping is skipped with its line and field; nothing is guessed from other fields.

mod beside;
mod chat;
mod checker;
mod completion;
mod field;
mod layout;
mod mapping;
mod message;
mod options;
mod policy;
mod problem;

use std::collections::VecDeque;

use hilora_dataset_formats::json::{Fields, Json};
use hilora_dataset_formats::records::{Place, RecordReader, RowLoader};
use hilora_dataset_formats::skip::Skip;
use hilora_plugin_sdk::loader::{DatasetInfo, DatasetLoader, DatasetReader, LoadError, LoadedRow, SourceFile};

use chat::Chat;
use completion::Completion;
use mapping::{About, Labels};
use options::{Options, refusal};
use policy::Policy;
use problem::Problems;

/// The kinds of rows, as the option `kind` names them.
const KINDS: [&str; 4] = ["chat", "completion", "problem", "policy"];

/// The plugin.
pub struct Jsonl;

/// Makes rows by the mapping.
pub struct Rows {
    about: About,
    content: Content,
}

/// Reads rows, or says how they would be read.
pub enum Reader {
    /// The rows.
    Rows(Box<RecordReader<Rows>>),
    /// The plan of the load: a line for each file, as a row that yields nothing.
    Plan(VecDeque<LoadedRow>),
}

impl DatasetReader for Reader {
    fn next_batch(&mut self, rows_max: u32) -> Result<Vec<LoadedRow>, LoadError> {
        match self {
            Self::Rows(rows) => rows.next_batch(rows_max),
            Self::Plan(lines) => Ok(lines.drain(..lines.len().min(rows_max as usize)).collect()),
        }
    }

    fn rows_total(&self) -> Option<u64> {
        match self {
            Self::Rows(rows) => rows.rows_total(),
            Self::Plan(_) => None,
        }
    }
}

/// What a row is made into.
enum Content {
    Chat(Chat),
    Completion(Completion),
    Problem(Problems),
    Policy(Policy),
}

impl DatasetLoader for Jsonl {
    type Reader = Reader;

    fn describe() -> DatasetInfo {
        DatasetInfo {
            source: "jsonl".to_owned(),
            licence: "as the files' publisher states it".to_owned(),
            // Which fields are read is the mapping's to say.
            columns: Vec::new(),
        }
    }

    fn open(mut files: Vec<SourceFile>, options: &str) -> Result<Self::Reader, LoadError> {
        let mut options = Options::parse(options)?;
        let is_plan = match options.get("plan").map(Json::as_written) {
            None | Some("false") => false,
            Some("true") => true,
            Some(other) => return Err(refusal(format!("`plan`: expected true or false, got {other}"))),
        };
        let named = named_kind(&options);
        if is_plan {
            let lines = files.iter().map(|file| plan_line(file, named)).collect::<Result<_, _>>()?;
            return Ok(Reader::Plan(lines));
        }
        let layout = match named {
            Some(kind) => format!(r#"{{"kind":"{kind}"}}"#),
            None if options.names_any(&["kind"]) => "{}".to_owned(),
            None => layout::of_files(&files)?.options,
        };
        options.with_layout(&layout)?;
        let content = match options.one_of("kind", &KINDS)? {
            "chat" => Content::Chat(Chat::from_options(&mut options)?),
            "completion" => Content::Completion(Completion::from_options(&mut options)?),
            "problem" => Content::Problem(Problems::from_options(&mut options)?),
            _ => Content::Policy(Policy::from_options(&mut options, &mut files)?),
        };
        let about = About::from_options(&mut options)?;
        options.refuse_unknown()?;
        about.check_names(&files)?;
        Ok(Reader::Rows(Box::new(RecordReader::new(files, Rows { about, content })?)))
    }
}

/// The kind that the options name, by `kind` or by a field that only rows of one kind have.
fn named_kind(options: &Options<'_>) -> Option<&'static str> {
    if let Some(kind) = options.given_text("kind") {
        return KINDS.into_iter().find(|known| *known == kind);
    }
    let keys: [(&str, &[&str]); 4] = [
        ("chat", &["messages", "role", "content", "roles"]),
        ("completion", &["prompt", "completion", "history"]),
        ("problem", &["statement", "solution", "solutions", "tests", "entry_point", "checker"]),
        ("policy", &["instruction", "policy", "actions", "outputs"]),
    ];
    keys.into_iter().find(|(_, keys)| options.names_any(keys)).map(|(kind, _)| kind)
}

/// How one file would be read. The identifier is the source that reads it.
fn plan_line(file: &SourceFile, named: Option<&str>) -> Result<LoadedRow, LoadError> {
    let layout::Told { format, layout, unread } = layout::of_file(file)?;
    let (source, words) = match (named, layout) {
        (Some(kind), _) => ("jsonl", format!("kind {kind}, by the options")),
        (None, Ok(Some(layout))) => (layout.source.unwrap_or("jsonl"), layout.words),
        (None, Ok(None)) => match unread.first() {
            Some(why) => ("jsonl", format!("no row that can be read; the first: {why}")),
            None => ("jsonl", "no rows".to_owned()),
        },
        (None, Err(fields)) => ("jsonl", format!("no known layout; its rows have {fields}")),
    };
    let detail = format!("{}: {format}; {words}", file.name());
    Ok(Skip { reason: "plan", detail }.into_row(Some(source.to_owned())))
}

impl RowLoader for Rows {
    fn id(&self, row: &Fields<'_>, place: Place<'_>) -> Result<String, Skip> {
        self.about.id(row, place)
    }

    fn load(&self, id: String, row: &Fields<'_>) -> Result<LoadedRow, Skip> {
        let labels = Labels { id, tags: self.about.tags(row)?, difficulty: self.about.difficulty(row)? };
        match &self.content {
            Content::Chat(chat) => Ok(LoadedRow::Conversation(chat.read(labels, row)?)),
            Content::Completion(completion) => Ok(LoadedRow::Conversation(completion.read(labels, row)?)),
            Content::Problem(problems) => Ok(LoadedRow::Problem(problems.read(labels, row)?)),
            Content::Policy(policy) => Ok(LoadedRow::Policy(policy.read(labels, row)?)),
        }
    }
}

hilora_plugin_sdk::export_loader!(Jsonl);
hilora_plugin_sdk::manifest!("plugin.toml");

#[cfg(test)]
mod tests;

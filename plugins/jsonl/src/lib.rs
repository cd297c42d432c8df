//! The JSON lines loader: reads any file of one JSON object a line by the mapping in `data.options`.
//!
//! A mapping names, for one kind of row (chat, completion, problem or policy), the field that each part is read from.
//! A row that does not fit the mapping is skipped with its line and field; nothing is guessed from other fields.

mod beside;
mod chat;
mod checker;
mod completion;
mod field;
mod mapping;
mod message;
mod options;
mod policy;
mod problem;

use hilora_dataset_formats::json::Fields;
use hilora_dataset_formats::json_lines::{JsonLinesReader, Place, RowLoader};
use hilora_dataset_formats::skip::Skip;
use hilora_plugin_sdk::loader::{DatasetInfo, DatasetLoader, LoadError, LoadedRow, SourceFile};

use chat::Chat;
use completion::Completion;
use mapping::{About, Labels};
use options::Options;
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

/// What a row is made into.
enum Content {
    Chat(Chat),
    Completion(Completion),
    Problem(Problems),
    Policy(Policy),
}

impl DatasetLoader for Jsonl {
    type Reader = JsonLinesReader<Rows>;

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
        let content = match options.one_of("kind", &KINDS)? {
            "chat" => Content::Chat(Chat::from_options(&mut options)?),
            "completion" => Content::Completion(Completion::from_options(&mut options)?),
            "problem" => Content::Problem(Problems::from_options(&mut options)?),
            _ => Content::Policy(Policy::from_options(&mut options, &mut files)?),
        };
        let about = About::from_options(&mut options)?;
        options.refuse_unknown()?;
        about.check_names(&files)?;
        JsonLinesReader::new(files, Rows { about, content })
    }
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

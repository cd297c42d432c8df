//! What a row says beside its conversation: instructions and tools of its own, and whether it is an example at all. A
//! field of this kind that nobody reads is a reason to skip the row, so that nothing vanishes silently; other fields of a
//! row (where it came from, who wrote it) are nobody's business here.

use hilora_dataset_formats::json::{Fields, Json};
use hilora_dataset_formats::skip::Skip;
use hilora_plugin_sdk::loader::LoadError;
use hilora_plugin_sdk::types::{Message, Role};

use crate::field::{Field, object_text, with_embedded};
use crate::message::{holds_nothing, unread, weight_value};
use crate::options::{Options, refusal};

/// Where a row's own instructions stand, if no option says it.
const SYSTEM_FIELDS: [&str; 3] = ["system", "system_prompt", "system_message"];
/// Where the definitions of tools stand, if no option says it.
const TOOLS_FIELDS: [&str; 2] = ["tools", "functions"];
/// Fields that change what is learned of a row, whatever dataset they stand in.
const MEANINGFUL: [&str; 24] = [
    "system",
    "system_prompt",
    "system_message",
    "tools",
    "functions",
    "function_call",
    "tool_calls",
    "messages",
    "history",
    "input",
    "context",
    "reasoning",
    "reasoning_content",
    "thinking",
    "chosen",
    "rejected",
    "rejected_response",
    "images",
    "image",
    "videos",
    "audios",
    "prefix",
    "suffix",
    "chat_template_kwargs",
];

/// How the rest of a row is read.
pub(crate) struct Beside {
    system_text: Option<String>,
    system: Vec<Field>,
    tools: Vec<Field>,
    label: Field,
    weight: String,
    train: String,
    ignored: Vec<String>,
}

/// What a row says beside its conversation.
pub(crate) struct Said {
    /// The instructions: the row's own, else those of the options.
    pub(crate) system: Option<String>,
    /// Each tool's definition as the text of an object.
    pub(crate) tools: Vec<String>,
}

impl Beside {
    /// `weight`, `train` and `ignored` are the names that messages have as well.
    pub(crate) fn from_options(
        options: &mut Options<'_>,
        weight: &str,
        train: &str,
        ignored: Vec<String>,
    ) -> Result<Self, LoadError> {
        let system_text = options.text("system")?;
        if system_text.as_ref().is_some_and(|text| text.trim().is_empty()) {
            return Err(refusal("`system`: expected a text, got an empty one"));
        }
        Ok(Self {
            system_text,
            system: options.one_of_fields("system_field", &SYSTEM_FIELDS)?,
            tools: options.one_of_fields("tools", &TOOLS_FIELDS)?,
            label: options.field("label", "label")?,
            weight: weight.to_owned(),
            train: train.to_owned(),
            ignored,
        })
    }

    /// Reads the row; `is_read` says which fields the conversation itself comes from.
    pub(crate) fn read(&self, row: &Fields<'_>, is_read: &dyn Fn(&str) -> bool) -> Result<Said, Skip> {
        let system = self.first(row, &self.system, is_read)?;
        let tools = self.first(row, &self.tools, is_read)?;
        for name in row.names().filter(|name| MEANINGFUL.contains(name) && !is_read(name) && !self.ignores(name)) {
            let taken = [&system, &tools].into_iter().flatten().any(|(field, _)| field.path == name);
            if !taken && row.get(name).is_some_and(|value| !holds_nothing(value)) {
                return Err(unread(name));
            }
        }
        self.check_label(row, is_read)?;
        let own = match system {
            Some((field, value)) => Some(value.text(&field.path)?.into_owned()).filter(|text| !text.trim().is_empty()),
            None => None,
        };
        let tools = match tools {
            Some((field, value)) => tool_texts(value, &field.path)?,
            None => Vec::new(),
        };
        Ok(Said { system: own.or_else(|| self.system_text.clone()), tools })
    }

    fn ignores(&self, name: &str) -> bool {
        self.ignored.iter().any(|ignored| ignored == name)
    }

    /// The first of some fields that holds something.
    fn first<'a, 'f>(
        &self,
        row: &Fields<'a>,
        fields: &'f [Field],
        is_read: &dyn Fn(&str) -> bool,
    ) -> Result<Option<(&'f Field, Json<'a>)>, Skip> {
        for field in fields.iter().filter(|field| !is_read(&field.path) && !self.ignores(&field.path)) {
            if let Some(value) = field.value(row)?.filter(|value| !holds_nothing(*value)) {
                return Ok(Some((field, value)));
            }
        }
        Ok(None)
    }

    /// Skips a row that is no example to follow: a label, a weight or a mark says so. Only true and false are such a
    /// label; a class or a score is none.
    fn check_label(&self, row: &Fields<'_>, is_read: &dyn Fn(&str) -> bool) -> Result<(), Skip> {
        let field = |name: &str| if is_read(name) || self.ignores(name) { None } else { row.get(name) };
        let label = if self.ignores(&self.label.path) { None } else { self.label.value(row)? };
        let label = label.map(|value| truth(value, &self.label.path)).transpose()?.flatten();
        if label == Some(false) {
            let detail = format!("`{}` is false: the answer is one to avoid, not one to learn", self.label.path);
            return Err(Skip::new("negative-label", detail));
        }
        let weight = field(&self.weight).map(|value| weight_value(value, &self.weight)).transpose()?;
        // Some datasets have a split under this name.
        let train = field(&self.train).map(|value| truth(value, &self.train)).transpose()?.flatten();
        match (weight, train) {
            (Some(false), _) => Err(Skip::new("nothing-to-train-on", format!("`{}` is 0", self.weight))),
            (_, Some(false)) => Err(Skip::new("nothing-to-train-on", format!("`{}` is false", self.train))),
            _ => Ok(()),
        }
    }
}

impl Said {
    /// The messages with the instructions before them. A conversation that begins with instructions of its own keeps
    /// them, and is skipped if the row says others.
    pub(crate) fn before(&self, mut messages: Vec<Message>) -> Result<Vec<Message>, Skip> {
        let Some(system) = &self.system else { return Ok(messages) };
        match messages.first() {
            Some(first) if first.role == Role::System && first.content.trim() == system.trim() => {}
            Some(first) if first.role == Role::System => {
                let detail = "the conversation begins with other instructions than the row or the options name";
                return Err(Skip::new("two-system-prompts", detail));
            }
            _ => messages.insert(0, Message::new(Role::System, &**system)),
        }
        Ok(messages)
    }
}

/// What is true or false, also as a text, which is all that a table has; `None` for everything else.
fn truth(value: Json<'_>, field: &str) -> Result<Option<bool>, Skip> {
    let word = if value.is_text() { value.text(field)? } else { value.as_written().into() };
    Ok(match word.trim().to_ascii_lowercase().as_str() {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    })
}

/// Each tool's definition as the text of an object.
fn tool_texts(list: Json<'_>, field: &str) -> Result<Vec<String>, Skip> {
    if list.is_text() && list.text(field)?.trim().is_empty() {
        return Ok(Vec::new());
    }
    with_embedded(list, field, |list| {
        if list.is_null() {
            return Ok(Vec::new());
        }
        let items = list.items(field)?.into_iter().enumerate();
        items.map(|(index, tool)| object_text(tool, &format!("{field}[{index}]"))).collect()
    })
}

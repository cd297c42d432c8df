//! A message of a conversation, with whatever it has beside a role and a text. A field that nobody reads and that holds
//! something is a reason to skip the row, so that nothing vanishes silently.

use std::collections::BTreeMap;

use hilora_dataset_formats::json::{Fields, Json};
use hilora_dataset_formats::skip::{Skip, shown};
use hilora_plugin_sdk::loader::LoadError;
use hilora_plugin_sdk::types::{Message, Role, ToolCall};

use crate::field::{Field, object_text, texts, with_embedded};
use crate::options::{Options, refused};

/// The roles that most files name so.
const ROLES: [&str; 5] = ["system", "user", "assistant", "tool", "developer"];
/// How chat endpoints named the role of a tool before there were tools.
const FUNCTION_ROLE: &str = "function";
/// Where a thought stands, if no option says it.
pub(crate) const REASONING_FIELDS: [&str; 4] = ["reasoning", "reasoning_content", "thinking", "thought"];
/// What the option `roles` calls the assistant where its content is the JSON of its calls.
const CALLER: &str = "tool_call";
/// How chat endpoints named the one call of a message before there could be several.
const FUNCTION_CALL: &str = "function_call";
/// The longest name of a role, in characters.
const ROLE_CHARACTERS_MAX: usize = 64;

/// How messages are read.
pub(crate) struct Messages {
    role: Field,
    content: Field,
    name: Field,
    /// Of several the first that a message has.
    reasoning: Vec<String>,
    tool_calls: Field,
    tool_call_id: Field,
    weight: Field,
    train: Field,
    ignored: Vec<String>,
    roles: BTreeMap<String, Role>,
    /// The words of the assistant whose content is its calls.
    callers: Vec<String>,
}

impl Messages {
    pub(crate) fn from_options(options: &mut Options<'_>) -> Result<Self, LoadError> {
        let mut roles = BTreeMap::from(ROLES.map(|word| (word.to_owned(), Role::named(word))));
        roles.insert(FUNCTION_ROLE.to_owned(), Role::Tool);
        let mut callers = Vec::new();
        if let Some(given) = options.get("roles") {
            let given = given.fields("roles").map_err(refused)?;
            for word in given.names() {
                let role = match role_option(&given, word).map_err(refused)? {
                    Role::Other(name) if name == CALLER => {
                        callers.push(word.to_owned());
                        Role::Assistant
                    }
                    role => role,
                };
                roles.insert(word.to_owned(), role);
            }
        }
        let reasoning = options.field("reasoning", "")?;
        Ok(Self {
            role: options.field("role", "role")?,
            content: options.field("content", "content")?,
            name: options.field("name", "name")?,
            reasoning: match reasoning.given {
                true => vec![reasoning.path],
                false => REASONING_FIELDS.map(str::to_owned).into(),
            },
            tool_calls: options.field("tool_calls", "tool_calls")?,
            tool_call_id: options.field("tool_call_id", "tool_call_id")?,
            weight: options.field("weight", "weight")?,
            train: options.field("train", "train")?,
            ignored: match options.get("ignore") {
                Some(list) => texts(list, "ignore").map_err(refused)?,
                None => Vec::new(),
            },
            roles,
            callers,
        })
    }

    /// Messages under their usual names, of a row whose options cannot name others.
    pub(crate) fn usual() -> Result<Self, LoadError> {
        Self::from_options(&mut Options::parse("{}")?)
    }

    /// The names of the fields that say whether a message is trained on.
    pub(crate) fn weight_and_train(&self) -> (&str, &str) {
        (&self.weight.path, &self.train.path)
    }

    /// The fields that the options leave out.
    pub(crate) fn ignored(&self) -> &[String] {
        &self.ignored
    }

    fn ignores(&self, name: &str) -> bool {
        self.ignored.iter().any(|ignored| ignored == name)
    }

    /// The messages of a list that stands in a field, or the one that stands there alone.
    pub(crate) fn read_all(&self, value: Json<'_>, field: &str) -> Result<Vec<Message>, Skip> {
        with_embedded(value, field, |value| match value.is_object() {
            true => Ok(vec![self.read(value, field)?]),
            false => {
                let items = value.items(field)?.into_iter().enumerate();
                items.map(|(index, item)| self.read(item, &format!("{field}[{index}]"))).collect()
            }
        })
    }

    /// The message that stands at `place` in a row.
    pub(crate) fn read(&self, item: Json<'_>, place: &str) -> Result<Message, Skip> {
        let fields = item.fields(place)?;
        let no_role = |field: &str| Skip::missing_field(field, "a role");
        let (word, role_field) = self.role.required_below(&fields, place, no_role)?;
        let word = word.text(&role_field)?;
        // `Human` and `USER` are what they are, unless the options tell them apart.
        let word = if self.roles.contains_key(&*word) { word } else { word.trim().to_ascii_lowercase().into() };
        let Some(role) = self.roles.get(&*word).cloned() else {
            let known: Vec<&str> = self.roles.keys().map(String::as_str).collect();
            let detail = format!("`{role_field}`: expected one of {}, got `{}`", known.join(", "), shown(&word));
            return Err(Skip::new("unknown-role", detail));
        };
        let optional_text = |path: &str| -> Result<Option<String>, Skip> {
            let Some(value) = self.optional(&fields, place, path)? else { return Ok(None) };
            let text = value.text(&format!("{place}.{path}"))?;
            Ok(Some(text.into_owned()).filter(|text| !text.trim().is_empty()))
        };
        let reasoning_field = self.reasoning.iter().find(|path| fields.get(path).is_some());
        let reasoning = reasoning_field.map(|path| optional_text(path)).transpose()?.flatten();
        let mut tool_calls = self.tool_calls(&fields, place)?;
        let content_field = format!("{place}.{}", self.content.path);
        let content = match fields.at_below(place, &self.content.path)? {
            Some(content) if self.callers.iter().any(|caller| *caller == word) && !holds_nothing(content) => {
                tool_calls.extend(calls_in(content, &content_field)?);
                String::new()
            }
            Some(content) if content.is_list() => text_of_parts(content, &content_field)?,
            Some(content) => content.text(&content_field)?.into_owned(),
            None if !tool_calls.is_empty() => String::new(),
            None => return Err(Skip::missing_field(&content_field, "a string")),
        };
        if role == Role::Assistant && content.trim().is_empty() && tool_calls.is_empty() {
            return Err(Skip::new("empty-answer", format!("`{content_field}` is empty")));
        }
        self.refuse_unread(&fields, place, reasoning_field.map(String::as_str))?;
        Ok(Message {
            trained: self.trained(&fields, place)?.unwrap_or(role == Role::Assistant),
            role,
            name: optional_text(&self.name.path)?,
            content,
            reasoning,
            tool_calls,
            tool_call_id: optional_text(&self.tool_call_id.path)?,
        })
    }

    /// The value at a path, which may be missing however it was named.
    fn optional<'a>(&self, fields: &Fields<'a>, place: &str, path: &str) -> Result<Option<Json<'a>>, Skip> {
        if self.ignores(path) { Ok(None) } else { fields.at_below(place, path) }
    }

    /// Whether the message says that it is trained on: by a weight of 0 or 1, or in so many words.
    fn trained(&self, fields: &Fields<'_>, place: &str) -> Result<Option<bool>, Skip> {
        let named = |field: &Field| format!("{place}.{}", field.path);
        let weight = self.optional(fields, place, &self.weight.path)?;
        let weight = weight.map(|value| weight_value(value, &named(&self.weight)));
        let train = self.optional(fields, place, &self.train.path)?;
        let train = train.map(|value| train_value(value, &named(&self.train)));
        match (weight.transpose()?, train.transpose()?) {
            (Some(weight), Some(train)) if weight != train => {
                let (weight, train) = (&self.weight.path, &self.train.path);
                Err(Skip::new("wrong-type", format!("`{place}`: `{weight}` and `{train}` say the opposite")))
            }
            (weight, train) => Ok(weight.or(train)),
        }
    }

    fn tool_calls(&self, fields: &Fields<'_>, place: &str) -> Result<Vec<ToolCall>, Skip> {
        let list = self.optional(fields, place, &self.tool_calls.path)?.filter(|list| !holds_nothing(*list));
        let call = self.optional(fields, place, FUNCTION_CALL)?.filter(|call| !holds_nothing(*call));
        let field = format!("{place}.{}", self.tool_calls.path);
        match (list, call) {
            (Some(_), Some(_)) => {
                let detail = format!("`{place}.{FUNCTION_CALL}` and `{field}`: expected one of them, got both");
                Err(Skip::new("wrong-type", detail))
            }
            (None, Some(call)) => {
                let field = format!("{place}.{FUNCTION_CALL}");
                Ok(vec![with_embedded(call, &field, |call| tool_call(call, &field))?])
            }
            (Some(list), None) => with_embedded(list, &field, |list| {
                let items = list.items(&field)?.into_iter().enumerate();
                items.map(|(index, item)| tool_call(item, &format!("{field}[{index}]"))).collect()
            }),
            (None, None) => Ok(Vec::new()),
        }
    }

    /// Refuses a field that holds something and that nobody reads.
    fn refuse_unread(&self, fields: &Fields<'_>, place: &str, reasoning: Option<&str>) -> Result<(), Skip> {
        let paths =
            [&self.role, &self.content, &self.name, &self.tool_calls, &self.tool_call_id, &self.weight, &self.train];
        let read = paths.into_iter().map(|field| field.path.as_str()).chain(reasoning).chain([FUNCTION_CALL]);
        let read: Vec<&str> = read.map(|path| path.split('.').next().unwrap_or(path)).collect();
        refuse_unread(fields, place, &|name| read.contains(&name) || self.ignores(name))
    }
}

/// Refuses fields that hold something and of which `is_read` says no.
fn refuse_unread(fields: &Fields<'_>, place: &str, is_read: &dyn Fn(&str) -> bool) -> Result<(), Skip> {
    let holds = |name: &&str| fields.get(name).is_some_and(|value| !holds_nothing(value));
    match fields.names().filter(|name| !is_read(name)).find(holds) {
        None => Ok(()),
        Some(name) => Err(unread(&format!("{place}.{}", shown(name)))),
    }
}

/// Whether a value is an empty text, list or object.
pub(crate) fn holds_nothing(value: Json<'_>) -> bool {
    value.as_written().len() < 64 && ["\"\"", "[]", "{}"].contains(&value.compact().as_str())
}

/// Why a row with a field that nobody reads is skipped.
pub(crate) fn unread(field: &str) -> Skip {
    let detail = format!("`{field}` is not read; the option `ignore` names fields that may be left out");
    Skip::new("unread-field", detail)
}

/// Whether something of this weight is trained on.
pub(crate) fn weight_value(value: Json<'_>, field: &str) -> Result<bool, Skip> {
    let text = if value.is_text() { value.text(field)? } else { value.as_written().into() };
    match text.trim().parse::<f64>() {
        Ok(0.0) => Ok(false),
        Ok(1.0) => Ok(true),
        _ => Err(Skip::wrong_type(field, "0 or 1", &shown(value.as_written()))),
    }
}

/// Whether something with this mark is trained on.
fn train_value(value: Json<'_>, field: &str) -> Result<bool, Skip> {
    match value.as_written() {
        "false" => Ok(false),
        "true" => Ok(true),
        other => Err(Skip::wrong_type(field, "true or false", &shown(other))),
    }
}

/// The calls that a content is: one, or a list of them.
fn calls_in(content: Json<'_>, field: &str) -> Result<Vec<ToolCall>, Skip> {
    with_embedded(content, field, |content| match content.is_list() {
        false => Ok(vec![tool_call(content, field)?]),
        true => {
            let calls = content.items(field)?.into_iter().enumerate();
            calls.map(|(index, call)| tool_call(call, &format!("{field}[{index}]"))).collect()
        }
    })
}

/// What parts of a content that are texts are called: by chat endpoints, and by those of responses.
const TEXT_PARTS: [&str; 3] = ["text", "input_text", "output_text"];

/// The text of a content that comes in parts, one after the other as chat templates lay them out. A part that is no text
/// has no place here.
fn text_of_parts(parts: Json<'_>, field: &str) -> Result<String, Skip> {
    let mut text = String::new();
    for (index, part) in parts.items(field)?.into_iter().enumerate() {
        let place = format!("{field}[{index}]");
        if part.is_text() {
            text.push_str(&part.text(&place)?);
            continue;
        }
        let fields = part.fields(&place)?;
        let kind_field = format!("{place}.type");
        let kind = fields.get("type").map(|kind| kind.text(&kind_field)).transpose()?;
        if kind.as_deref().is_some_and(|kind| !TEXT_PARTS.contains(&kind)) {
            let got = format!("`{}`", shown(kind.as_deref().unwrap_or_default()));
            return Err(Skip::wrong_type(&kind_field, "`text`", &got));
        }
        refuse_unread(&fields, &place, &|name| ["type", "text"].contains(&name))?;
        let text_field = format!("{place}.text");
        let value = fields.get("text").ok_or_else(|| Skip::missing_field(&text_field, "a string"))?;
        text.push_str(&value.text(&text_field)?);
    }
    Ok(text)
}

/// One call: as chat endpoints write it, or its name and arguments alone.
fn tool_call(item: Json<'_>, place: &str) -> Result<ToolCall, Skip> {
    let fields = item.fields(place)?;
    let kind = fields.text("type")?.unwrap_or_else(|| "function".into());
    if kind != "function" {
        let got = format!("`{}`", shown(&kind));
        return Err(Skip::wrong_type(&format!("{place}.type"), "`function`", &got));
    }
    let id = fields.get("id").map(|id| id.text_or_number(&format!("{place}.id"))).transpose()?;
    let id = id.map(|id| id.into_owned()).filter(|id| !id.is_empty());
    let below;
    let (function, place) = match fields.get("function") {
        Some(function) => {
            refuse_unread(&fields, place, &|name| ["id", "type", "function"].contains(&name))?;
            let place = format!("{place}.function");
            below = function.fields(&place)?;
            refuse_unread(&below, &place, &|name| ["name", "arguments"].contains(&name))?;
            (&below, place)
        }
        None => {
            refuse_unread(&fields, place, &|name| ["id", "type", "name", "arguments"].contains(&name))?;
            (&fields, place.to_owned())
        }
    };
    let name_field = format!("{place}.name");
    let name = function.get("name").ok_or_else(|| Skip::missing_field(&name_field, "a string"))?.text(&name_field)?;
    if name.trim().is_empty() {
        return Err(Skip::missing_field(&name_field, "a tool's name"));
    }
    let arguments = match function.get("arguments") {
        None => "{}".to_owned(),
        Some(value) => object_text(value, &format!("{place}.arguments"))?,
    };
    Ok(ToolCall { id, name: name.into_owned(), arguments })
}

/// What the option `roles` makes of one of the dataset's words.
fn role_option(roles: &Fields<'_>, word: &str) -> Result<Role, Skip> {
    let field = format!("roles.{word}");
    let expected = "a role of letters, digits and `-`, `_`, `.`";
    let value = roles.get(word).ok_or_else(|| Skip::missing_field(&field, expected))?.text(&field)?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    match (1..=ROLE_CHARACTERS_MAX).contains(&value.len()) && value.bytes().all(plain) {
        true => Ok(Role::named(&value)),
        false => Err(Skip::wrong_type(&field, expected, &format!("`{}`", shown(&value)))),
    }
}

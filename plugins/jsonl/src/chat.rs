//! Conversations: a list of messages, or a prompt with its completion.

use std::collections::BTreeMap;

use hilora_dataset_formats::json::{Fields, Json};
use hilora_dataset_formats::skip::{Skip, shown};
use hilora_plugin_sdk::loader::LoadError;
use hilora_plugin_sdk::types::{Conversation, Message, Role};

use crate::mapping::{Field, Labels, with_embedded};
use crate::options::{Options, refused};

/// The roles by the words that most files have.
const ROLES: [(&str, Role); 3] = [("system", Role::System), ("user", Role::User), ("assistant", Role::Assistant)];

/// `kind: chat`.
pub(crate) struct Chat {
    messages: Field,
    role: Field,
    content: Field,
    roles: BTreeMap<String, Role>,
}

/// `kind: completion`.
pub(crate) struct Completion {
    prompt: Field,
    completion: Field,
    system: Option<String>,
}

impl Chat {
    pub(crate) fn from_options(options: &mut Options<'_>) -> Result<Self, LoadError> {
        let mut roles = BTreeMap::from(ROLES.map(|(word, role)| (word.to_owned(), role)));
        if let Some(given) = options.get("roles") {
            let given = given.fields("roles").map_err(refused)?;
            for word in given.names() {
                roles.insert(word.to_owned(), role_option(&given, word).map_err(refused)?);
            }
        }
        Ok(Self {
            messages: options.field("messages", "messages")?,
            role: options.field("role", "role")?,
            content: options.field("content", "content")?,
            roles,
        })
    }

    pub(crate) fn read(&self, labels: Labels, row: &Fields<'_>) -> Result<Conversation, Skip> {
        let field = &self.messages.path;
        let messages = with_embedded(self.messages.required(row, "a list of messages")?, field, |list| {
            let items = list.items(field)?.into_iter().enumerate();
            items.map(|(index, item)| self.message(item, &format!("{field}[{index}]"))).collect::<Result<Vec<_>, _>>()
        })?;
        match messages.last() {
            Some(last) if last.role == Role::Assistant => Ok(conversation(labels, messages)),
            Some(_) => Err(Skip::new("last-message-not-assistant", format!("`{field}` does not end with an answer"))),
            None => Err(Skip::new("no-messages", format!("`{field}` is empty"))),
        }
    }

    fn message(&self, item: Json<'_>, place: &str) -> Result<Message, Skip> {
        let fields = item.fields(place)?;
        let no_role = |field: &str| Skip::missing_field(field, "a role");
        let (word, role_field) = self.role.required_below(&fields, place, no_role)?;
        let word = word.text(&role_field)?;
        let Some(role) = self.roles.get(&*word).copied() else {
            let known: Vec<&str> = self.roles.keys().map(String::as_str).collect();
            let detail = format!("`{role_field}`: expected one of {}, got `{}`", known.join(", "), shown(&word));
            return Err(Skip::new("unknown-role", detail));
        };
        let no_content = |field: &str| Skip::missing_field(field, "a string");
        let (content, field) = self.content.required_below(&fields, place, no_content)?;
        let content = content.text(&field)?;
        if role == Role::Assistant && content.trim().is_empty() {
            return Err(Skip::new("empty-answer", format!("`{field}` is empty")));
        }
        Ok(Message { role, content: content.into_owned() })
    }
}

impl Completion {
    pub(crate) fn from_options(options: &mut Options<'_>) -> Result<Self, LoadError> {
        Ok(Self {
            prompt: options.field("prompt", "prompt")?,
            completion: options.field("completion", "completion")?,
            system: options.text("system")?,
        })
    }

    pub(crate) fn read(&self, labels: Labels, row: &Fields<'_>) -> Result<Conversation, Skip> {
        let prompt = self.prompt.required_text(row, "empty-prompt")?;
        let completion = self.completion.required_text(row, "empty-answer")?;
        let system = self.system.as_ref().map(|system| Message { role: Role::System, content: system.clone() });
        let turns = [
            Message { role: Role::User, content: prompt.into_owned() },
            Message { role: Role::Assistant, content: completion.into_owned() },
        ];
        Ok(conversation(labels, system.into_iter().chain(turns).collect()))
    }
}

fn conversation(labels: Labels, messages: Vec<Message>) -> Conversation {
    Conversation { id: labels.id, messages, tags: labels.tags, difficulty: labels.difficulty }
}

/// What the option `roles` makes of one of the dataset's words.
fn role_option(roles: &Fields<'_>, word: &str) -> Result<Role, Skip> {
    let field = format!("roles.{word}");
    let expected = "`system`, `user` or `assistant`";
    let value = roles.get(word).ok_or_else(|| Skip::missing_field(&field, expected))?.text(&field)?;
    let known = ROLES.into_iter().find(|(word, _)| *word == value);
    known.map(|(_, role)| role).ok_or_else(|| Skip::wrong_type(&field, expected, &format!("`{value}`")))
}

//! Conversations as a list of messages.

use hilora_dataset_formats::json::Fields;
use hilora_dataset_formats::skip::Skip;
use hilora_plugin_sdk::loader::LoadError;
use hilora_plugin_sdk::types::{Conversation, Role};

use crate::field::{Field, object_text, with_embedded};
use crate::mapping::Labels;
use crate::message::Messages;
use crate::options::Options;

/// `kind: chat`.
pub(crate) struct Chat {
    messages: Field,
    /// The definitions of what the assistant can call; `None` where they are to be left out.
    tools: Option<Field>,
    message: Messages,
}

impl Chat {
    pub(crate) fn from_options(options: &mut Options<'_>) -> Result<Self, LoadError> {
        let message = Messages::from_options(options)?;
        let tools = options.field("tools", "tools")?;
        Ok(Self {
            messages: options.field("messages", "messages")?,
            tools: Some(tools).filter(|tools| !message.ignores(&tools.path)),
            message,
        })
    }

    pub(crate) fn read(&self, labels: Labels, row: &Fields<'_>) -> Result<Conversation, Skip> {
        let field = &self.messages.path;
        let messages = with_embedded(self.messages.required(row, "a list of messages")?, field, |list| {
            let items = list.items(field)?.into_iter().enumerate();
            items
                .map(|(index, item)| self.message.read(item, &format!("{field}[{index}]")))
                .collect::<Result<Vec<_>, _>>()
        })?;
        match messages.last() {
            Some(last) if last.role == Role::Assistant => {}
            Some(_) => {
                return Err(Skip::new("last-message-not-assistant", format!("`{field}` does not end with an answer")));
            }
            None => return Err(Skip::new("no-messages", format!("`{field}` is empty"))),
        }
        if !messages.iter().any(|message| message.trained) {
            return Err(Skip::new("nothing-to-train-on", format!("no message of `{field}` is trained on")));
        }
        let Labels { id, tags, difficulty } = labels;
        Ok(Conversation { id, messages, tools: self.tools(row)?, tags, difficulty })
    }

    /// Each tool's definition as the text of an object.
    fn tools(&self, row: &Fields<'_>) -> Result<Vec<String>, Skip> {
        let Some(field) = &self.tools else { return Ok(Vec::new()) };
        let Some(list) = field.value(row)? else { return Ok(Vec::new()) };
        with_embedded(list, &field.path, |list| {
            let items = list.items(&field.path)?.into_iter().enumerate();
            items.map(|(index, tool)| object_text(tool, &format!("{}[{index}]", field.path))).collect()
        })
    }
}

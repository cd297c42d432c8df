//! Conversations as a list of messages.

use hilora_dataset_formats::json::Fields;
use hilora_dataset_formats::skip::Skip;
use hilora_plugin_sdk::loader::LoadError;
use hilora_plugin_sdk::types::{Conversation, Message, Role};

use crate::beside::Beside;
use crate::field::Field;
use crate::mapping::Labels;
use crate::message::Messages;
use crate::options::Options;

/// `kind: chat`.
pub(crate) struct Chat {
    messages: Field,
    message: Messages,
    beside: Beside,
}

impl Chat {
    pub(crate) fn from_options(options: &mut Options<'_>) -> Result<Self, LoadError> {
        let message = Messages::from_options(options)?;
        let (weight, train) = message.weight_and_train();
        Ok(Self {
            messages: options.field("messages", "messages")?,
            beside: Beside::from_options(options, weight, train, message.ignored().to_vec())?,
            message,
        })
    }

    pub(crate) fn read(&self, labels: Labels, row: &Fields<'_>) -> Result<Conversation, Skip> {
        let field = &self.messages.path;
        let messages = self.message.read_all(self.messages.required(row, "a list of messages")?, field)?;
        check_answers(&messages, field)?;
        let own = field.split('.').next().unwrap_or(field);
        let said = self.beside.read(row, &|name| name == field || name == own)?;
        let Labels { id, tags, difficulty } = labels;
        Ok(Conversation { id, messages: said.before(messages)?, tools: said.tools, tags, difficulty })
    }
}

/// Refuses messages of a field that end with no answer, or of which none is trained on.
pub(crate) fn check_answers(messages: &[Message], field: &str) -> Result<(), Skip> {
    match messages.last() {
        Some(last) if last.role == Role::Assistant => {}
        Some(_) => {
            return Err(Skip::new("last-message-not-assistant", format!("`{field}` does not end with an answer")));
        }
        None => return Err(Skip::new("no-messages", format!("`{field}` is empty"))),
    }
    match messages.iter().any(|message| message.trained) {
        true => Ok(()),
        false => Err(Skip::new("nothing-to-train-on", format!("no message of `{field}` is trained on"))),
    }
}

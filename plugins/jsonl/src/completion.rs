//! Conversations of one turn: a prompt with its completion.

use hilora_dataset_formats::json::Fields;
use hilora_dataset_formats::skip::Skip;
use hilora_plugin_sdk::loader::LoadError;
use hilora_plugin_sdk::types::{Conversation, Message, Role};

use crate::field::Field;
use crate::mapping::Labels;
use crate::options::Options;

/// `kind: completion`.
pub(crate) struct Completion {
    prompt: Field,
    completion: Field,
    system: Option<String>,
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
        let system = self.system.as_ref().map(|system| Message::new(Role::System, &**system));
        let turns = [Message::new(Role::User, prompt), Message::new(Role::Assistant, completion)];
        let Labels { id, tags, difficulty } = labels;
        Ok(Conversation {
            id,
            messages: system.into_iter().chain(turns).collect(),
            tools: Vec::new(),
            tags,
            difficulty,
        })
    }
}

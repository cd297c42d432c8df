//! Conversations of a prompt and its completion: two texts, or messages of which those of the completion are learned.

use hilora_dataset_formats::json::{Fields, Json};
use hilora_dataset_formats::skip::Skip;
use hilora_plugin_sdk::loader::LoadError;
use hilora_plugin_sdk::types::{Conversation, Message, Role};

use crate::beside::Beside;
use crate::chat::check_answers;
use crate::field::{Field, Joined, texts, with_embedded};
use crate::mapping::Labels;
use crate::message::{Messages, REASONING_FIELDS, holds_nothing};
use crate::options::{Options, refused};

/// `kind: completion`.
pub(crate) struct Completion {
    prompt: Joined,
    completion: Joined,
    reasoning: Vec<Field>,
    history: Field,
    message: Messages,
    beside: Beside,
}

impl Completion {
    pub(crate) fn from_options(options: &mut Options<'_>) -> Result<Self, LoadError> {
        let ignored = match options.get("ignore") {
            Some(list) => texts(list, "ignore").map_err(refused)?,
            None => Vec::new(),
        };
        let kept = |field: &Field| !ignored.contains(&field.path);
        let mut reasoning = options.one_of_fields("reasoning", &REASONING_FIELDS)?;
        reasoning.retain(kept);
        let message = Messages::usual()?;
        let (weight, train) = message.weight_and_train();
        Ok(Self {
            prompt: options.joined("prompt", "prompt")?,
            completion: options.joined("completion", "completion")?,
            history: options.field("history", "history")?,
            beside: Beside::from_options(options, weight, train, ignored)?,
            reasoning,
            message,
        })
    }

    pub(crate) fn read(&self, labels: Labels, row: &Fields<'_>) -> Result<Conversation, Skip> {
        let reasoning = self.reasoning(row)?;
        let is_read = |name: &str| {
            self.prompt.reads(name)
                || self.completion.reads(name)
                || name == self.history.path
                || reasoning.as_ref().is_some_and(|(field, _)| field.path == name)
        };
        let said = self.beside.read(row, &is_read)?;
        let mut messages = self.history(row)?;
        messages.extend(match self.conversation(row, &self.prompt)? {
            Some(mut asked) => {
                asked.iter_mut().for_each(|message| message.trained = false);
                asked
            }
            None => vec![Message::new(Role::User, self.prompt.required_text(row, "empty-prompt")?)],
        });
        match self.conversation(row, &self.completion)? {
            Some(answers) => {
                check_answers(&answers, &self.completion.fields[0].path)?;
                messages.extend(answers);
            }
            None => {
                let answer = self.completion.required_text(row, "empty-answer")?;
                messages.push(Message::new(Role::Assistant, answer));
            }
        }
        if let (Some((field, thought)), Some(last)) = (reasoning, messages.last_mut()) {
            if last.reasoning.is_some() {
                let detail = format!("`{}`: the answer has a reasoning of its own", field.path);
                return Err(Skip::new("unread-field", detail));
            }
            last.reasoning = Some(thought);
        }
        let Labels { id, tags, difficulty } = labels;
        Ok(Conversation { id, messages: said.before(messages)?, tools: said.tools, tags, difficulty })
    }

    /// What was thought before the completion was said.
    fn reasoning(&self, row: &Fields<'_>) -> Result<Option<(&Field, String)>, Skip> {
        for field in &self.reasoning {
            let Some(value) = field.value(row)?.filter(|value| !holds_nothing(*value)) else { continue };
            return Ok(Some((field, value.text(&field.path)?.into_owned())));
        }
        Ok(None)
    }

    /// The messages of a field that holds messages instead of a text.
    fn conversation(&self, row: &Fields<'_>, joined: &Joined) -> Result<Option<Vec<Message>>, Skip> {
        let Some(field) = joined.single() else { return Ok(None) };
        let value = row.at(&field.path)?.filter(|value| value.is_list() || value.is_object());
        value.map(|value| self.message.read_all(value, &field.path)).transpose()
    }

    /// Earlier turns as pairs of a question and its answer, which are learned as well.
    fn history(&self, row: &Fields<'_>) -> Result<Vec<Message>, Skip> {
        let field = &self.history.path;
        let value = match self.history.value(row)? {
            Some(value) if !self.prompt.reads(field) && !holds_nothing(value) => value,
            _ => return Ok(Vec::new()),
        };
        let pair = |(index, pair): (usize, Json<'_>)| {
            let place = format!("{field}[{index}]");
            match pair.items(&place)?[..] {
                [question, answer] => Ok([
                    Message::new(Role::User, question.text(&format!("{place}[0]"))?),
                    Message::new(Role::Assistant, answer.text(&format!("{place}[1]"))?),
                ]),
                ref items => {
                    let got = format!("{} items", items.len());
                    Err(Skip::wrong_type(&place, "a pair of question and answer", &got))
                }
            }
        };
        with_embedded(value, field, |list| {
            let pairs = list.items(field)?.into_iter().enumerate().map(pair);
            Ok(pairs.collect::<Result<Vec<_>, Skip>>()?.into_iter().flatten().collect())
        })
    }
}

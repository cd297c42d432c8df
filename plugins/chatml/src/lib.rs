//! ChatML: chat messages as Qwen's turns, `<|im_start|>role`, a newline, the text and `<|im_end|>`.
//!
//! A thought, calls of tools and their answers stand where Qwen's own templates put them:
//!
//! ```text
//! <|im_start|>assistant
//! <think>
//! {reasoning}
//! </think>
//!
//! {content}
//! <tool_call>
//! {"name": {name}, "arguments": {arguments}}
//! </tool_call><|im_end|>
//! <|im_start|>user
//! <tool_response>
//! {content}
//! </tool_response><|im_end|>
//! ```
//!
//! Only messages that are to be trained on are, each with its end token; by default these are the assistant's. Whatever
//! somebody wrote is a `content` segment, so that no text can forge a turn; markers alone are `control`. What has no place
//! in this layout is refused by name. It words nothing and truncates nothing.
//!
//! Of what a model wrote, [`answer`] is what remains without its thoughts.

mod thoughts;
mod tools;
mod turns;

use hilora_plugin_sdk::formatter::{FormatError, Lesson, Sequence};
use hilora_plugin_sdk::types::{Conversation, Message, Role};

pub use thoughts::answer;
pub use turns::segments;

/// The token that ends a turn.
pub const END_OF_TURN: &str = "<|im_end|>";

/// A message.
pub fn message(role: Role, content: impl Into<String>) -> Message {
    Message::new(role, content)
}

/// The sequence of each lesson: the messages that `compose` makes of it, as turns. An error tells which lesson it is.
pub fn lessons(
    lessons: Vec<Lesson>,
    compose: impl Fn(Lesson) -> Result<Vec<Message>, String>,
) -> Result<Vec<Sequence>, FormatError> {
    let lay_out = |(index, lesson): (usize, Lesson)| {
        let messages = compose(lesson).and_then(|messages| Ok((segments(&messages)?, messages)));
        let sequence = messages.map(|(segments, messages)| Sequence { messages, segments });
        sequence.map_err(|why| FormatError::Rejected((index as u32, why)))
    };
    lessons.into_iter().enumerate().map(lay_out).collect()
}

/// Instructions and a question as turns, and the assistant's turn opened. Lessons that begin with these messages begin
/// with exactly these segments.
pub fn prompt(system: &str, question: &str) -> Sequence {
    let messages = vec![message(Role::System, system), message(Role::User, question)];
    let segments = turns::prompt(system, question);
    Sequence { messages, segments }
}

/// A conversation's messages as they stand, with its tools in the instructions; an error where an answer in it is empty.
pub fn conversation_messages(conversation: Conversation) -> Result<Vec<Message>, String> {
    let Conversation { messages, tools, .. } = conversation;
    let is_empty = |message: &Message| message.content.trim().is_empty() && message.tool_calls.is_empty();
    if messages.iter().any(|message| message.role == Role::Assistant && is_empty(message)) {
        return Err("an answer is empty".to_owned());
    }
    Ok(tools::described(messages, &tools))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conversation(messages: Vec<Message>) -> Conversation {
        Conversation { id: "c".to_owned(), messages, tools: vec![], tags: vec![], difficulty: None }
    }

    #[test]
    fn a_conversation_with_an_empty_answer_is_refused() {
        let turns = vec![message(Role::User, "Hi"), message(Role::Assistant, "Hello.")];
        assert_eq!(conversation_messages(conversation(turns.clone())), Ok(turns));
        let empty = vec![message(Role::Assistant, " ")];
        assert_eq!(conversation_messages(conversation(empty)), Err("an answer is empty".to_owned()));
    }

    #[test]
    fn a_lesson_that_cannot_be_laid_out_is_told_by_its_index() {
        let named = Message { name: Some("a\nb".to_owned()), ..message(Role::User, "Hi") };
        let given = [vec![message(Role::Assistant, "a")], vec![named, message(Role::Assistant, "a")]];
        let given = given.map(|messages| Lesson::Conversation(conversation(messages))).into();
        let refused = lessons(given, |lesson| match lesson {
            Lesson::Conversation(conversation) => conversation_messages(conversation),
            Lesson::Solved(_) | Lesson::Policy(_) => Err("not asked".to_owned()),
        });
        let why = "message 0 has a speaker's name of more than one line, which a turn cannot show".to_owned();
        assert_eq!(refused, Err(FormatError::Rejected((1, why))));
    }
}

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

use hilora_plugin_sdk::formatter::Sequence;
use hilora_plugin_sdk::types::{Conversation, Message, Role};

pub use thoughts::answer;
pub use turns::segments;

/// The token that ends a turn.
pub const END_OF_TURN: &str = "<|im_end|>";

/// A message.
pub fn message(role: Role, content: impl Into<String>) -> Message {
    Message::new(role, content)
}

/// These messages as turns.
pub fn sequence(messages: Vec<Message>) -> Result<Sequence, String> {
    Ok(Sequence { segments: segments(&messages)?, messages })
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
    fn messages_that_cannot_be_laid_out_are_refused() {
        let named = Message { name: Some("a\nb".to_owned()), ..message(Role::User, "Hi") };
        let refused = sequence(vec![named, message(Role::Assistant, "a")]);
        let why = "message 0 has a speaker's name of more than one line, which a turn cannot show";
        assert_eq!(refused, Err(why.to_owned()));
    }
}

//! Chat messages on their way into and out of components.

use super::bindings::types;
use hilora_contract::dataset::{Action, Message, Role, ToolCall};

impl From<&Message> for types::Message {
    fn from(message: &Message) -> Self {
        let role = match &message.role {
            Role::System => types::Role::System,
            Role::User => types::Role::User,
            Role::Assistant => types::Role::Assistant,
            Role::Tool => types::Role::Tool,
            Role::Developer => types::Role::Developer,
            other @ Role::Other(_) => types::Role::Other(other.as_str().to_owned()),
        };
        let call = |call: &ToolCall| types::ToolCall {
            id: call.id.clone(),
            name: call.name.clone(),
            arguments: call.arguments.clone(),
        };
        Self {
            role,
            name: message.name.clone(),
            content: message.content.clone(),
            reasoning: message.reasoning.clone(),
            tool_calls: message.tool_calls.iter().map(call).collect(),
            tool_call_id: message.tool_call_id.clone(),
            trained: message.trained,
        }
    }
}

/// The message of a component, or what is wrong with it. A role that goes by another name than its own becomes its own.
pub(super) fn checked(message: types::Message) -> Result<Message, String> {
    let role = match message.role {
        types::Role::System => Role::System,
        types::Role::User => Role::User,
        types::Role::Assistant => Role::Assistant,
        types::Role::Tool => Role::Tool,
        types::Role::Developer => Role::Developer,
        types::Role::Other(name) => Role::try_from(name).map_err(|error| error.to_string())?,
    };
    let call = |call: types::ToolCall| {
        check_object(&call.arguments, || format!("as arguments of `{}`", call.name))?;
        Ok(ToolCall { id: call.id, name: call.name, arguments: call.arguments })
    };
    Ok(Message {
        role,
        name: message.name,
        content: message.content,
        reasoning: message.reasoning,
        tool_calls: message.tool_calls.into_iter().map(call).collect::<Result<_, String>>()?,
        tool_call_id: message.tool_call_id,
        trained: message.trained,
    })
}

/// All of them, or what is wrong with the first that is not as it must be.
pub(super) fn all_checked(messages: Vec<types::Message>) -> Result<Vec<Message>, String> {
    let messages: Vec<Message> = messages.into_iter().map(checked).collect::<Result<_, _>>()?;
    match messages.last() {
        Some(last) if last.role == Role::Assistant => Ok(messages),
        _ => Err("expected messages of which the last is the assistant's".to_owned()),
    }
}

/// Refuses what is not the text of a JSON object. The text is kept and never built.
pub(super) fn check_object(text: &str, place: impl FnOnce() -> String) -> Result<(), String> {
    let got = match serde_json::from_str::<serde::de::IgnoredAny>(text) {
        Err(error) => error.to_string(),
        Ok(_) if text.trim_start().starts_with('{') => return Ok(()),
        Ok(_) => "another value".to_owned(),
    };
    Err(format!("expected a JSON object {}, got {got}", place()))
}

impl From<&Action> for types::Action {
    fn from(action: &Action) -> Self {
        Self { name: action.name.clone(), arguments: action.arguments.clone() }
    }
}

impl From<types::Action> for Action {
    fn from(action: types::Action) -> Self {
        Self { name: action.name, arguments: action.arguments }
    }
}

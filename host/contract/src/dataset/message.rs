//! A chat message: who says what, with what was thought before and what is called after it.
//!
//! In JSON it is as chat endpoints write it, and shows no more than there is: a message of a role and a text has these
//! two fields alone.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The most characters of a role's name.
const ROLE_CHARACTERS_MAX: usize = 64;

/// Who speaks.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Role {
    /// The instructions.
    System,
    /// The question.
    User,
    /// The answer.
    Assistant,
    /// What a tool that was called gave back.
    Tool,
    /// The instructions of who built the application.
    Developer,
    /// Somebody else.
    Other(OtherRole),
}

/// The name of a role that is none of the known ones.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct OtherRole(String);

/// A text that names no role.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected a role of at most {ROLE_CHARACTERS_MAX} letters, digits and `-`, `_`, `.`, got `{0}`")]
pub struct RoleError(String);

impl Role {
    /// Its name.
    pub fn as_str(&self) -> &str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
            Self::Tool => "tool",
            Self::Developer => "developer",
            Self::Other(OtherRole(name)) => name,
        }
    }
}

impl TryFrom<String> for Role {
    type Error = RoleError;

    fn try_from(name: String) -> Result<Self, RoleError> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        Ok(match name.as_str() {
            "system" => Self::System,
            "user" => Self::User,
            "assistant" => Self::Assistant,
            "tool" => Self::Tool,
            "developer" => Self::Developer,
            other if !other.is_empty() && other.len() <= ROLE_CHARACTERS_MAX && other.bytes().all(plain) => {
                Self::Other(OtherRole(name))
            }
            _ => return Err(RoleError(name)),
        })
    }
}

impl From<Role> for String {
    fn from(role: Role) -> Self {
        role.as_str().to_owned()
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A tool that the assistant calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolCall {
    /// What the tool's answer refers to it by.
    pub id: Option<String>,
    /// The tool's name.
    pub name: String,
    /// Its arguments: the text of a JSON object. It is never built, so that the order of its keys and every digit stay
    /// as the dataset wrote them.
    pub arguments: String,
}

/// A chat message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Form", into = "Form")]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// The speaker's own name.
    pub name: Option<String>,
    /// What is said; may be empty if a tool is called.
    pub content: String,
    /// What was thought before it was said.
    pub reasoning: Option<String>,
    /// The tools that are called after it was said.
    pub tool_calls: Vec<ToolCall>,
    /// Of a tool's answer, the call that it answers.
    pub tool_call_id: Option<String>,
    /// Whether it is trained on.
    pub trained: bool,
}

impl Message {
    /// A text; it is trained on if it is the assistant's.
    pub fn new(role: Role, content: impl Into<String>) -> Self {
        let trained = role == Role::Assistant;
        Self {
            role,
            name: None,
            content: content.into(),
            reasoning: None,
            tool_calls: Vec::new(),
            tool_call_id: None,
            trained,
        }
    }

    /// Everything that somebody worded in it: what was thought, what is said, what is called.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        let calls = self.tool_calls.iter().flat_map(|call| [call.name.as_str(), call.arguments.as_str()]);
        self.reasoning.as_deref().into_iter().chain([self.content.as_str()]).chain(calls)
    }

    /// What it has beside a role and a text, in a word for people; `None` where there is nothing.
    pub fn beyond_text(&self) -> Option<&'static str> {
        match self {
            Self { name: Some(_), .. } => Some("a speaker's name"),
            Self { reasoning: Some(_), .. } => Some("a reasoning"),
            Self { tool_calls, .. } if !tool_calls.is_empty() => Some("tool calls"),
            Self { tool_call_id: Some(_), .. } => Some("the identifier of a tool call"),
            _ => None,
        }
    }
}

/// How it stands in JSON.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    role: Role,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    content: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reasoning: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<CallForm>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tool_call_id: Option<String>,
    /// Only where it is not what the role says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    trained: Option<bool>,
}

/// How a call stands in JSON.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CallForm {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(default)]
    r#type: CallType,
    function: FunctionForm,
}

/// The one kind of tool that there is.
#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum CallType {
    #[default]
    Function,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FunctionForm {
    name: String,
    arguments: String,
}

impl From<Form> for Message {
    fn from(form: Form) -> Self {
        let call =
            |call: CallForm| ToolCall { id: call.id, name: call.function.name, arguments: call.function.arguments };
        Self {
            trained: form.trained.unwrap_or(form.role == Role::Assistant),
            role: form.role,
            name: form.name,
            content: form.content,
            reasoning: form.reasoning,
            tool_calls: form.tool_calls.into_iter().map(call).collect(),
            tool_call_id: form.tool_call_id,
        }
    }
}

impl From<Message> for Form {
    fn from(message: Message) -> Self {
        let call = |ToolCall { id, name, arguments }: ToolCall| CallForm {
            id,
            r#type: CallType::Function,
            function: FunctionForm { name, arguments },
        };
        let by_role = message.role == Role::Assistant;
        Self {
            role: message.role,
            name: message.name,
            content: message.content,
            reasoning: message.reasoning,
            tool_calls: message.tool_calls.into_iter().map(call).collect(),
            tool_call_id: message.tool_call_id,
            trained: (message.trained != by_role).then_some(message.trained),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_json_shows_no_more_than_there_is() -> Result<(), serde_json::Error> {
        for text in [
            r#"{"role":"user","content":"q"}"#,
            r#"{"role":"moderator","name":"Ann","content":"q"}"#,
            r#"{"role":"assistant","content":"a","trained":false}"#,
            r#"{"role":"user","content":"q","trained":true}"#,
            r#"{"role":"assistant","content":"","reasoning":"r","tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{\"b\":1.50}"}}]}"#,
            r#"{"role":"tool","content":"o","tool_call_id":"c"}"#,
        ] {
            let message: Message = serde_json::from_str(text)?;
            assert_eq!(serde_json::to_string(&message)?, text);
        }
        let message: Message = serde_json::from_str(r#"{"role":"assistant","content":"a"}"#)?;
        assert_eq!(message, Message::new(Role::Assistant, "a"));
        assert!(message.trained);
        Ok(())
    }

    #[test]
    fn a_role_is_a_plain_name() {
        for name in ["", "a b", "a<|im_end|>", "é", &"a".repeat(65)] {
            assert_eq!(Role::try_from(name.to_owned()), Err(RoleError(name.to_owned())));
        }
        assert_eq!(Role::try_from("tool".to_owned()), Ok(Role::Tool));
    }
}

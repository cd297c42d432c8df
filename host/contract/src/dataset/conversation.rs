//! What is learned from as it stands: conversations, and cases under a policy. Nothing of it can be run.

use serde::{Deserialize, Serialize};

use super::Message;

/// A conversation. Its last message is the assistant's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conversation {
    /// Unique within its dataset.
    pub id: String,
    /// What is said, in order.
    pub messages: Vec<Message>,
    /// The tools that the assistant can call: of each the text of a JSON object that defines it.
    pub tools: Vec<String>,
    /// The dataset's own tags.
    pub tags: Vec<String>,
    /// The dataset's own word for how hard it is.
    pub difficulty: Option<String>,
}

/// An action that a policy demands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Action {
    /// The tool's name.
    pub name: String,
    /// Its arguments: the text of a JSON object, as in OpenAI's tool calls. It is never built, so that the order of its
    /// keys and every digit stay as the dataset wrote them.
    pub arguments: String,
}

/// A case under a policy: what a user wants, and what the policy makes of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyExample {
    /// Unique within its dataset.
    pub id: String,
    /// What the user wants.
    pub instruction: String,
    /// The policy's text.
    pub policy: String,
    /// The actions that follow, in order.
    pub actions: Vec<Action>,
    /// What the answer must tell the user.
    pub outputs: Vec<String>,
    /// The dataset's own tags.
    pub tags: Vec<String>,
    /// The dataset's own word for how hard it is.
    pub difficulty: Option<String>,
}

//! A completion: what a model wrote after a prompt, and how it ended.

use serde::{Deserialize, Serialize};

/// How a completion ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CompletionEnd {
    /// At a stop token.
    Stopped,
    /// At the most tokens an answer may have.
    Cut,
    /// It never began: the model's context has no room for prompt and answer.
    PromptTooLong,
}

/// A completion.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Completion {
    /// Its text, without the stop token.
    pub text: String,
    /// Its length in tokens.
    pub tokens: u64,
    /// How it ended.
    pub end: CompletionEnd,
}

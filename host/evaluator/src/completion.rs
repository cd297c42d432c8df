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
    /// It never began: the endpoint refuses this request, though it answers others.
    Refused,
}

/// A completion.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Completion {
    /// Its text, without the stop token; of a refused request, the endpoint's words.
    pub text: String,
    /// Its length in tokens.
    pub tokens: u64,
    /// How it ended.
    pub end: CompletionEnd,
    /// The log-probability of each of its tokens, where they were asked for and given; of a stop token last, which the
    /// engine tells and most endpoints do not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_probabilities: Option<Vec<f64>>,
}

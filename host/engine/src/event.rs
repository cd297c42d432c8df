//! What a step of the engine tells: tokens as they are drawn, and samples that have ended.

use super::request::RequestId;
use super::sample_error::SampleError;
use super::sampler::LogProbabilities;

/// Something that happened in a step.
#[derive(Debug)]
pub enum Event {
    /// A sample has one more token. Stop tokens are not told.
    Token {
        /// Whose.
        request: RequestId,
        /// Which sample: its place among the request's streams.
        sample: usize,
        /// The token.
        token: u32,
        /// Its log-probabilities, if they were asked for.
        log_probabilities: Option<LogProbabilities>,
    },
    /// A sample has ended.
    End {
        /// Whose.
        request: RequestId,
        /// Which sample.
        sample: usize,
        /// All of it.
        completion: Completion,
    },
    /// A sample cannot go on, for a reason that is no other's. What was told of it is all there is.
    Failed {
        /// Whose.
        request: RequestId,
        /// Which sample.
        sample: usize,
        /// Why.
        error: SampleError,
    },
}

/// A sample that has ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Completion {
    /// Its tokens, without a stop token; those that spell a stop string are among them.
    pub tokens: Vec<u32>,
    /// Why it ended.
    pub end: CompletionEnd,
    /// The log-probabilities of each drawn token, a stop token's last; empty if they were not asked for.
    pub log_probabilities: Vec<LogProbabilities>,
}

/// Why a sample ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CompletionEnd {
    /// A stop token was drawn.
    StopToken(u32),
    /// A stop string came up in its text.
    StopString {
        /// The stop string.
        stop: String,
        /// The text before it.
        text: String,
    },
    /// At the most tokens that were asked for, or at the model's longest sequence.
    Length,
}

//! A request: a prompt, how to complete it, and how often.

use std::fmt;

use super::sampling_options::SamplingOptions;

/// What is asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// The prompt's tokens.
    pub prompt: Vec<u32>,
    /// Which of the engine's adapters; `None` is the base alone.
    pub adapter: Option<usize>,
    /// One sample for each; it names the random stream. Two samples with the same stream, seed and prompt are equal.
    /// However many they are, only as many are kept at once as the engine has rows for.
    pub streams: Vec<u64>,
    /// How tokens are drawn.
    pub options: SamplingOptions,
}

/// Names a request in one engine; later requests have greater ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub(crate) u64);

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "request {}", self.0)
    }
}

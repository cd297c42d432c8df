//! Generation.

use super::{Adapter, Model, ModelError};

/// How tokens are drawn.
#[derive(Debug, Clone, PartialEq)]
pub struct GenerationOptions {
    /// The most tokens a completion may have, its end token included.
    pub max_new_tokens: usize,
    /// Divides the logits; 0 takes the likeliest token.
    pub temperature: f64,
    /// The smallest set of likeliest tokens with at least this probability is drawn from; 1 is all.
    pub top_p: f64,
    /// Keys the random numbers together with a request's stream and the token's position.
    pub seed: u64,
}

/// One prompt to complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GenerationRequest {
    /// The prompt's tokens.
    pub prompt: Vec<u32>,
    /// Names the random stream: two requests with the same stream and seed draw the same numbers.
    pub stream: u64,
}

/// One completion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generation {
    /// The new tokens, without the stop token.
    pub tokens: Vec<u32>,
    /// Whether a stop token ended it; otherwise it was cut at `max_new_tokens`.
    pub finished: bool,
}

/// Completes every request; results are in the order of the requests and do not depend on `batch_rows_max`.
///
/// `on_done` is called with 1 for every completion that ends.
pub fn generate(
    _model: &Model,
    _adapter: Option<&Adapter>,
    _requests: &[GenerationRequest],
    _options: &GenerationOptions,
    _stop: &[u32],
    _batch_rows_max: usize,
    _on_done: &dyn Fn(usize),
) -> Result<Vec<Generation>, ModelError> {
    unimplemented!()
}

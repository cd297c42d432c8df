//! A sequence: a prompt with what has been drawn after it, and the blocks that hold its keys and values.
//!
//! The samples of a request are one sequence until the first of their tokens is drawn: the prompt is computed once. Then
//! each goes on by itself, from the same blocks.

use std::sync::Arc;

use super::event::{Completion, CompletionEnd};
use super::prefix_index::{PrefixKey, key_after, root_key};
use super::request::{Request, RequestId};
use super::sampler::LogProbabilities;
use super::stop_strings::StopMatcher;

/// One or, before their first token, several samples of a request.
#[derive(Debug, Clone)]
pub(crate) struct Sequence {
    pub(crate) id: RequestId,
    pub(crate) request: Arc<Request>,
    /// The first of its samples.
    pub(crate) sample: usize,
    /// How many samples it stands for.
    pub(crate) samples: usize,
    /// The prompt and what was drawn.
    pub(crate) tokens: Vec<u32>,
    /// How many of the tokens have their keys and values in the blocks.
    pub(crate) cached: usize,
    /// How many more the next pass computes.
    pub(crate) scheduled: usize,
    /// The blocks, in order.
    pub(crate) blocks: Vec<u32>,
    pub(crate) log_probabilities: Vec<LogProbabilities>,
    pub(crate) stop_matcher: StopMatcher,
    /// The keys of whole blocks of tokens, as far as somebody asked for them.
    keys: Vec<PrefixKey>,
}

impl Sequence {
    /// All samples of a request, of which nothing is computed.
    pub(crate) fn new(id: RequestId, request: Request) -> Self {
        Self {
            id,
            sample: 0,
            samples: request.streams.len(),
            tokens: request.prompt.clone(),
            request: Arc::new(request),
            cached: 0,
            scheduled: 0,
            blocks: Vec::new(),
            log_probabilities: Vec::new(),
            stop_matcher: StopMatcher::default(),
            keys: Vec::new(),
        }
    }

    /// Requests are served in the order of their admission.
    pub(crate) fn age(&self) -> (RequestId, usize) {
        (self.id, self.sample)
    }

    /// The tokens that were drawn.
    pub(crate) fn drawn(&self) -> &[u32] {
        &self.tokens[self.request.prompt.len()..]
    }

    /// How many tokens are to be computed before the next can be drawn.
    pub(crate) fn remaining(&self) -> usize {
        self.tokens.len() - self.cached
    }

    /// Whether the next pass computes its last token, so that one can be drawn.
    pub(crate) fn draws(&self) -> bool {
        self.scheduled > 0 && self.scheduled == self.remaining()
    }

    /// The key of a whole block of its tokens.
    pub(crate) fn key(&mut self, block: usize, block_tokens: usize) -> PrefixKey {
        while self.keys.len() <= block {
            let before = self.keys.last().copied().unwrap_or_else(|| root_key(self.request.adapter));
            let start = self.keys.len() * block_tokens;
            self.keys.push(key_after(before, &self.tokens[start..start + block_tokens]));
        }
        self.keys[block]
    }

    /// Its samples, each by itself. Somebody has to hold its blocks once more for each but one.
    pub(crate) fn into_samples(self) -> Vec<Self> {
        match self.samples {
            1 => vec![self],
            samples => {
                let one = |sample| Self { sample, samples: 1, ..self.clone() };
                (self.sample..self.sample + samples).map(one).collect()
            }
        }
    }

    /// What it has become.
    pub(crate) fn completed(self, end: CompletionEnd) -> Completion {
        Completion { tokens: self.drawn().to_vec(), end, log_probabilities: self.log_probabilities }
    }
}

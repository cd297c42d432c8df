//! A sequence: a prompt with what has been drawn after it, and the blocks that hold its keys and values.
//!
//! The samples of a request are one sequence until the first of their tokens is drawn: the prompt is computed once. Then
//! each goes on by itself, from the same blocks. As many branch off at once as there are rows for; the sequence stands for
//! those to come, keeps the prompt's blocks for them, and computes its last token again when there are rows.

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
    /// For how many of its samples a token is drawn after the next pass.
    pub(crate) drawing: usize,
    /// Whether it only keeps its blocks for samples to come: it has no row, and needs one to draw.
    pub(crate) is_parked: bool,
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
            drawing: 0,
            is_parked: false,
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

    /// Lets the next pass compute so many of its tokens. If the last is among them, as many samples are drawn as have a row:
    /// one has the sequence's own, the others need a free one each. Returns how many of those they take.
    pub(crate) fn schedule(&mut self, tokens: usize, free_rows: usize) -> usize {
        self.scheduled = tokens;
        if !self.draws() {
            return 0;
        }
        let others = (self.samples - 1).min(free_rows);
        self.drawing = 1 + others;
        others
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

    /// The samples that a token was drawn for, each by itself, and what stands for those to come. Somebody has to hold its
    /// blocks once for each.
    pub(crate) fn branched(mut self) -> (Vec<Self>, Option<Self>) {
        let drawn = std::mem::take(&mut self.drawing);
        if self.samples == 1 {
            self.is_parked = false;
            return (vec![self], None);
        }
        let one = |sample| Self { sample, samples: 1, is_parked: false, ..self.clone() };
        let samples = (self.sample..self.sample + drawn).map(one).collect();
        (self.sample, self.samples) = (self.sample + drawn, self.samples - drawn);
        // The logits of its last token are asked for again.
        self.cached -= 1;
        self.is_parked = true;
        (samples, (self.samples > 0).then_some(self))
    }

    /// What it has become.
    pub(crate) fn completed(self, end: CompletionEnd) -> Completion {
        Completion { tokens: self.drawn().to_vec(), end, log_probabilities: self.log_probabilities }
    }
}

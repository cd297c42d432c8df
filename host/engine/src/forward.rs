//! The forward that the engine steps: a model's pass over a paged cache of keys and values.

use hilora_model::{Adapter, InferencePass, KeyValueBlocks, Model, ModelError, Span};

/// Computes spans of sequences over a cache that is cut into blocks.
pub trait Forward {
    /// How many tokens a block holds.
    fn block_tokens(&self) -> usize;

    /// How many tokens there are, and logits in a row.
    fn vocabulary(&self) -> usize;

    /// The longest sequence.
    fn length_max(&self) -> usize;

    /// How many adapters there are.
    fn adapters(&self) -> usize;

    /// Makes sure that the blocks 0 to `blocks` exist; what is in them stays.
    fn reserve(&mut self, blocks: usize) -> Result<(), ModelError>;

    /// Copies what a block holds.
    fn copy_block(&mut self, from: u32, to: u32) -> Result<(), ModelError>;

    /// Computes spans, and their keys and values into their blocks; returns the rows of logits that they ask for, in the
    /// spans' order. On the CPU a sequence's numbers depend on its own tokens and adapter
    /// alone.
    fn forward(&mut self, spans: &[Span<'_>]) -> Result<Vec<f32>, ModelError>;
}

/// A model with any number of adapters, and its cache.
pub struct ModelForward<'a> {
    model: &'a Model,
    adapters: usize,
    pass: InferencePass<'a>,
    blocks: KeyValueBlocks,
}

impl<'a> ModelForward<'a> {
    /// A model over an empty cache. The adapters' shapes are checked against it.
    pub fn new(model: &'a Model, adapters: &[&'a Adapter]) -> Result<Self, ModelError> {
        let (pass, blocks) = (InferencePass::new(model, adapters)?, KeyValueBlocks::new(model, 0)?);
        Ok(Self { model, adapters: adapters.len(), pass, blocks })
    }
}

impl Forward for ModelForward<'_> {
    fn block_tokens(&self) -> usize {
        KeyValueBlocks::BLOCK_TOKENS
    }

    fn vocabulary(&self) -> usize {
        self.model.config().vocab_size
    }

    fn length_max(&self) -> usize {
        self.model.config().max_position_embeddings
    }

    fn adapters(&self) -> usize {
        self.adapters
    }

    fn reserve(&mut self, blocks: usize) -> Result<(), ModelError> {
        self.blocks.reserve(blocks)
    }

    fn copy_block(&mut self, from: u32, to: u32) -> Result<(), ModelError> {
        self.blocks.copy_block(from, to)
    }

    fn forward(&mut self, spans: &[Span<'_>]) -> Result<Vec<f32>, ModelError> {
        self.pass.forward(&mut self.blocks, spans)
    }
}

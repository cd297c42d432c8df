//! The forward that the engine steps: a model's pass over a paged cache of keys and values.

use hilora_model::ModelError;

use super::span::Span;

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
    /// spans' order. A sequence's numbers depend on its own tokens and adapter alone.
    fn forward(&mut self, spans: &[Span<'_>]) -> Result<Vec<f32>, ModelError>;
}

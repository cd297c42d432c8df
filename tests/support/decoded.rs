//! Logits as decoding computes them, for the tests that hold them against others. Whoever has the model includes this file
//! by its path.

use hilora_model::{Adapter, InferencePass, KeyValueBlocks, LogitRows, Model, ModelError, Span};

/// The logits after the beginning of each sequence, and after each token that follows: those of all sequences side by side,
/// then those after one token more, without those that have ended. A sequence is its tokens, and how many of them are its
/// beginning.
pub(crate) fn decoded(
    model: &Model,
    adapter: Option<&Adapter>,
    sequences: &[(&[u32], usize)],
) -> Result<Vec<f32>, ModelError> {
    let mut cache = KeyValueBlocks::new(model, 1)?;
    let mut next = 0;
    let blocks = sequences.iter().map(|(tokens, _)| {
        let first = next;
        next += tokens.len().div_ceil(KeyValueBlocks::BLOCK_TOKENS) as u32;
        (first..next).collect()
    });
    let blocks: Vec<Vec<u32>> = blocks.collect();
    cache.reserve(next as usize)?;
    let pass = InferencePass::new(model, adapter.as_slice())?;
    let mut logits = Vec::new();
    for step in 0.. {
        let spans: Vec<Span<'_>> = sequences
            .iter()
            .zip(&blocks)
            .filter(|((tokens, beginning), _)| beginning + step <= tokens.len())
            .map(|((tokens, beginning), blocks)| {
                let start = if step == 0 { 0 } else { beginning + step - 1 };
                let tokens = &tokens[start..beginning + step];
                Span { tokens, start, blocks, adapter: adapter.map(|_| 0), logits: LogitRows::Last }
            })
            .collect();
        if spans.is_empty() {
            break;
        }
        logits.extend(pass.forward(&mut cache, &spans)?);
    }
    Ok(logits)
}

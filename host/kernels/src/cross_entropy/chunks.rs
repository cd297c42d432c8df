//! Chunks of rows: how many rows' logits are in memory at once.

use crate::element::Element;

/// Logits of a chunk, and the fewest and most rows that it has whatever the vocabulary.
const CHUNK_LOGITS: usize = 1 << 23;
const CHUNK_ROWS: [usize; 2] = [128, 1024];

/// Rows of a chunk.
pub fn chunk_rows(vocabulary: usize, rows: usize) -> usize {
    (CHUNK_LOGITS / vocabulary).clamp(CHUNK_ROWS[0], CHUNK_ROWS[1]).min(rows)
}

/// Bytes of a chunk's logits and their gradients.
pub fn chunk_bytes<T: Element>(vocabulary: usize, rows: usize) -> usize {
    chunk_rows(vocabulary, rows) * vocabulary * (size_of::<f32>() + size_of::<T>())
}

//! Causal attention with grouped queries, blocked by document.
//!
//! Within a document and a head of width d: S = s Q Kᵀ below and on the diagonal, with s = 1 / √d unless a model says
//! otherwise, P = softmax(S), O = P V; with a window w a row sees the last w rows alone. Query heads h · group … (h + 1) ·
//! group − 1 share key and value head h. q, o [rows, heads · d]; k, v [rows, key heads · d]. A row sees only rows of its
//! own document: documents packed together get the numbers each gets alone.
//!
//! Only the log-sum-exp of each row, lse [rows, heads], is saved. Backward computes P = exp(S − lse) again, block of
//! queries by block of queries: dV += Pᵀ dO, dP = dO Vᵀ, dS = s P · (dP − Σ dO · O), dQ = dS K, dK += dSᵀ Q.

mod composite;
mod cpu;
mod shape;

use candle_core::{Result, Tensor};

pub use self::shape::{Backward, Document, Heads};
use crate::element::Element;
use crate::place::Body;
use crate::scratch::Scratch;

/// Returns (o, lse).
pub fn forward<T: Element>(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    documents: &[Document],
    heads: Heads,
) -> Result<(Scratch, Scratch)> {
    match Body::of(q) {
        Body::Cpu => cpu::forward::<T>(q, k, v, documents, heads),
        Body::Composite | Body::Cuda => composite::forward::<T>(q, k, v, documents, heads),
    }
}

/// Returns (dq, dk, dv).
pub fn backward<T: Element>(
    saved: &Backward<'_>,
    documents: &[Document],
    heads: Heads,
) -> Result<(Scratch, Scratch, Scratch)> {
    match Body::of(saved.q) {
        Body::Cpu => cpu::backward::<T>(saved, documents, heads),
        Body::Composite | Body::Cuda => composite::backward::<T>(saved, documents, heads),
    }
}

/// Writes rows of keys or values into a cache [slots, capacity, key heads · d]; `places[i]` is (slot, position).
pub fn store(rows: &Tensor, places: &[(usize, usize)], cache: &Tensor) -> Result<()> {
    match Body::of(cache) {
        Body::Cpu => cpu::store(rows, places, cache),
        Body::Composite | Body::Cuda => composite::store(rows, places, cache),
    }
}

/// Copies a cache into a larger one.
pub fn move_cache(from: &Tensor, to: &Tensor) -> Result<()> {
    match Body::of(to) {
        Body::Cpu => cpu::move_cache(from, to),
        Body::Composite | Body::Cuda => composite::move_cache(from, to),
    }
}

/// One new query per sequence over its cached keys and values: `sequences[i]` is (slot, keys seen, the new one included).
///
/// k and v [slots, capacity, key heads · d]. Every sequence is computed by itself, whatever else is in the batch.
pub fn decode(q: &Tensor, k: &Tensor, v: &Tensor, sequences: &[(usize, usize)], heads: Heads) -> Result<Scratch> {
    match Body::of(q) {
        Body::Cpu => cpu::decode(q, k, v, sequences, heads),
        Body::Composite | Body::Cuda => composite::decode(q, k, v, sequences, heads),
    }
}

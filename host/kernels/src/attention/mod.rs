//! Causal attention with grouped queries, blocked by document.
//!
//! Within a document and a head of width d: S = s Q Kᵀ below and on the diagonal, with s = 1 / √d unless a model says
//! otherwise, P = softmax(S), O = P V; with a window w a row sees the last w rows alone. Query heads h · group … (h + 1) ·
//! group − 1 share key and value head h. q, o [rows, heads · d]; k, v [rows, key heads · d]. A row sees only rows of its
//! own document: documents packed together get the numbers each gets alone.
//!
//! Only the log-sum-exp of each row, lse [rows, heads], is saved. Backward computes P = exp(S − lse) again, block of
//! queries by block of queries: dV += Pᵀ dO, dP = dO Vᵀ, dS = s P · (dP − Σ dO · O), dQ = dS K, dK += dSᵀ Q.
//!
//! A sequence that grows keeps its keys and values in blocks (`KeyValues`); what its rows get there, whole, in parts or one
//! by one, are on the CPU the bits that `forward` gives them in a document.

mod key_values;
mod shape;

mod composite;
mod cpu;
mod cpu_blocks;

use candle_core::{Result, Tensor};

pub use self::key_values::{BLOCK_TOKENS, CachedSpan, KeyValues};
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

impl KeyValues {
    /// Writes the keys and values of spans, k and v [rows, key heads · d].
    pub fn store<T: Element>(&self, k: &Tensor, v: &Tensor, spans: &[CachedSpan<'_>], heads: Heads) -> Result<()> {
        match Body::of(k) {
            Body::Cpu => cpu_blocks::store::<T>(self, k, v, spans, heads),
            Body::Composite | Body::Cuda => composite::store(self, k, v, spans),
        }
    }

    /// Attention of spans over all that their sequences have up to each row: o. Their own keys and values are stored. On
    /// the CPU a row gets the bits that `forward` gives it in its document.
    pub fn attend<T: Element>(&self, q: &Tensor, spans: &[CachedSpan<'_>], heads: Heads) -> Result<Scratch> {
        match Body::of(q) {
            Body::Cpu => cpu_blocks::attend::<T>(self, q, spans, heads),
            Body::Composite | Body::Cuda => composite::attend::<T>(self, q, spans, heads),
        }
    }
}

//! Cross-entropy fused with the output layer, in chunks of rows: loss = Σ_rows (logsumexp(z) − z[target]) with
//! z = h Wᵀ, h [rows, width], W [vocabulary, width].
//!
//! The gradient dz = (softmax(z) − onehot(target)) · scale is rounded to the type of h, and dh = dz W and dW += dzᵀ h are
//! taken chunk by chunk: all logits together never exist. Rows are those that predict a target; the caller gathers them.
//! With a LoRA on the output layer z = h Wᵀ + t Bᵀ, and dt = scale · dz B and dB += dzᵀ t are taken chunk by chunk, too;
//! what dt brings to A and h is the caller's.

mod chunks;
mod composite;
mod cpu;
mod normalization;

use candle_core::{Result, Tensor};

pub use self::chunks::{chunk_bytes, chunk_rows};
pub use self::normalization::Normalization;
use crate::element::Element;
use crate::linear::Weight;
use crate::lora::Inner;
use crate::place::Body;
use crate::scratch::Scratch;

/// What of the output layer is trained.
#[derive(Clone, Copy)]
pub enum Trained<'a> {
    /// Nothing.
    Nothing,
    /// The table: dW is added here.
    Table(&'a Tensor),
    /// The update: dt, in the shape and the type of t, is written, and dB is added.
    Update {
        /// dt.
        dt: &'a Tensor,
        /// dB.
        db: &'a Tensor,
    },
}

/// The summed loss in nats, without gradients: the bits of `forward_backward`'s.
pub fn forward<T: Element>(h: &Tensor, weight: &Weight, update: Option<&Inner<'_>>, targets: &[u32]) -> Result<f64> {
    match Body::of(h) {
        Body::Cpu => cpu::forward::<T>(h, weight, update, targets),
        Body::Composite | Body::Cuda => composite::forward::<T>(h, weight, update, targets),
    }
}

/// The summed loss in nats, and dz W (f32) of a gradient that is scaled by `scale`.
pub fn forward_backward<T: Element>(
    h: &Tensor,
    weight: &Weight,
    update: Option<&Inner<'_>>,
    targets: &[u32],
    scale: f32,
    trained: Trained<'_>,
) -> Result<(f64, Scratch)> {
    match Body::of(h) {
        Body::Cpu => cpu::forward_backward::<T>(h, weight, update, targets, scale, trained),
        Body::Composite | Body::Cuda => composite::forward_backward::<T>(h, weight, update, targets, scale, trained),
    }
}

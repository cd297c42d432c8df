//! Cross-entropy fused with the output layer, in chunks of rows: loss = Σ_rows (logsumexp(z) − z[target]) with
//! z = h Wᵀ, h [rows, width], W [vocabulary, width].
//!
//! The gradient dz = (softmax(z) − onehot(target)) · scale is rounded to the type of h, and dh = dz W and dW += dzᵀ h are
//! taken chunk by chunk: all logits together never exist. Rows are those that predict a target; the caller gathers them.

mod chunks;
mod composite;
mod cpu;

use candle_core::{Result, Tensor};

pub use self::chunks::{chunk_bytes, chunk_rows};
use crate::element::Element;
use crate::linear::Weight;
use crate::place::Body;
use crate::scratch::Scratch;

/// The summed loss in nats, without gradients: the bits of `forward_backward`'s.
pub fn forward<T: Element>(h: &Tensor, weight: &Weight, targets: &[u32]) -> Result<f64> {
    match Body::of(h) {
        Body::Cpu => cpu::forward::<T>(h, weight, targets),
        Body::Composite | Body::Cuda => composite::forward::<T>(h, weight, targets),
    }
}

/// The summed loss in nats, and the gradient of h (f32) scaled by `scale`; dW is added to `dw` if it is given.
pub fn forward_backward<T: Element>(
    h: &Tensor,
    weight: &Weight,
    targets: &[u32],
    scale: f32,
    dw: Option<&Tensor>,
) -> Result<(f64, Scratch)> {
    match Body::of(h) {
        Body::Cpu => cpu::forward_backward::<T>(h, weight, targets, scale, dw),
        Body::Composite | Body::Cuda => composite::forward_backward::<T>(h, weight, targets, scale, dw),
    }
}

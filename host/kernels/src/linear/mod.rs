//! The linear layer: y = x Wᵀ + b, with x [rows, in], W [out, in], b [out], y [rows, out].
//!
//! W is dense in f32, bf16 or f16, or quantized (NF4, integers, float8); it is converted to the type of x while it is
//! packed for the product. Backward: dx += dy W; for trained weights dW += dyᵀ x and db += Σ_rows dy. A frozen weight never
//! gets a gradient product.

mod coded_matrix;
mod onto;
mod weight;

mod composite;
mod cpu;

use candle_core::{Result, Tensor};

pub use self::coded_matrix::CodedMatrix;
pub(crate) use self::composite::dense_of_type;
pub use self::onto::Onto;
pub use self::weight::Weight;
use crate::element::Element;
use crate::lora::Inner;
use crate::place::Body;

/// y = x Wᵀ + t Bᵀ on top of what `onto` says: x in T, y in T or f32, and the update of a LoRA if there is one.
pub fn forward<T: Element, Y: Element>(
    x: &Tensor,
    weight: &Weight,
    update: Option<&Inner<'_>>,
    onto: Onto<'_>,
    y: &Tensor,
) -> Result<()> {
    match Body::of(x) {
        Body::Cpu => cpu::forward::<T, Y>(x, weight, update, onto, y),
        Body::Composite | Body::Cuda => composite::forward::<T>(x, weight, update, onto, y),
    }
}

/// dx = dy W + dt A, or dx += …: dy in T, dx in T or f32, and the part of a LoRA if there is one.
pub fn backward<T: Element, X: Element>(
    dy: &Tensor,
    weight: &Weight,
    update: Option<&Inner<'_>>,
    dx: &Tensor,
    accumulate: bool,
) -> Result<()> {
    match Body::of(dy) {
        Body::Cpu => cpu::backward::<T, X>(dy, weight, update, dx, accumulate),
        Body::Composite | Body::Cuda => composite::backward::<T>(dy, weight, update, dx, accumulate),
    }
}

/// dW += alpha · dyᵀ x, in f32 for dy and x in T.
pub fn backward_weight<T: Element>(dy: &Tensor, x: &Tensor, alpha: f32, dw: &Tensor) -> Result<()> {
    match Body::of(dy) {
        Body::Cpu => cpu::backward_weight::<T>(dy, x, alpha, dw),
        Body::Composite | Body::Cuda => composite::backward_weight(dy, x, alpha, dw),
    }
}

/// db += Σ_rows dy, in a fixed partition of the rows.
pub fn backward_bias<T: Element>(dy: &Tensor, db: &Tensor) -> Result<()> {
    match Body::of(dy) {
        Body::Cpu => cpu::backward_bias::<T>(dy, db),
        Body::Composite | Body::Cuda => composite::backward_bias(dy, db),
    }
}

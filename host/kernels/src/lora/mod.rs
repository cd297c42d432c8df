//! LoRA: y += t Bᵀ with t = scale · drop(x) Aᵀ; x [rows, in], A [r, in], B [out, r], t [rows, r], y [rows, out].
//!
//! t is saved. Backward, with dt = scale · dy B: dB += dyᵀ t, dA += dtᵀ drop(x), dx += drop(dt A). drop zeroes an element
//! with probability p and divides the others by 1 − p; its mask is a function of (seed, step, layer, module, element), so
//! backward draws it again instead of keeping it.
//!
//! The products with x Wᵀ and dy W run in one pass with those of the base (`linear`). A and B are f32; in bf16 they are
//! rounded while they are packed, and t has a column of zeros if r is odd.

mod dropout;
mod factors;

mod composite;
mod cpu;
#[cfg(feature = "cuda")]
mod cuda;
mod prepared;

use candle_core::{Result, Tensor};

pub use self::dropout::Dropout;
pub use self::factors::{Factors, Inner};
pub use self::prepared::{PackedFactors, PreparedFactors};
use crate::element::Element;
use crate::place::Body;
use crate::scratch::Scratch;

/// t = scale · drop(x) Aᵀ.
pub fn inner<T: Element>(x: &Tensor, factors: Factors<'_>, dropout: Option<&Dropout>) -> Result<Scratch> {
    match Body::of(x) {
        Body::Cpu => cpu::inner::<T>(x, factors, dropout),
        Body::Composite | Body::Cuda => composite::inner::<T>(x, factors, dropout),
    }
}

/// Adds the gradients of A and B to `da` and `db`; returns dt.
pub fn backward<T: Element>(
    dy: &Tensor,
    x: &Tensor,
    t: &Tensor,
    factors: Factors<'_>,
    dropout: Option<&Dropout>,
    (da, db): (&Tensor, &Tensor),
) -> Result<Scratch> {
    match Body::of(x) {
        Body::Cpu => cpu::backward::<T>(dy, x, t, factors, dropout, (da, db)),
        Body::Composite | Body::Cuda => composite::backward::<T>(dy, x, t, factors, dropout, (da, db)),
    }
}

/// dx += drop(dt A), when dropout stands between the update and the product of the base.
pub fn backward_dropped<T: Element, X: Element>(update: &Inner<'_>, dropout: &Dropout, dx: &Tensor) -> Result<()> {
    match Body::of(dx) {
        Body::Cpu => cpu::backward_dropped::<T, X>(update, dropout, dx),
        Body::Composite | Body::Cuda => composite::backward_dropped::<T>(update, dropout, dx),
    }
}

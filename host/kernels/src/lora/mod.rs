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
pub use self::prepared::PreparedFactors;
use crate::composite::add;
use crate::element::Element;
use crate::matmul::Start;
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

/// drop(x) in the type of x.
pub fn dropped<T: Element>(x: &Tensor, dropout: &Dropout) -> Result<Scratch> {
    match Body::of(x) {
        Body::Cpu => cpu::dropped::<T>(dropout, x),
        Body::Composite | Body::Cuda => Ok(composite::dropped(x, Some(dropout))?.to_dtype(T::DTYPE)?.into()),
    }
}

/// dA += dtᵀ drop(x), where dt was computed elsewhere.
pub fn backward_a<T: Element>(
    dt: &Tensor,
    x: &Tensor,
    factors: Factors<'_>,
    dropout: Option<&Dropout>,
    da: &Tensor,
) -> Result<()> {
    match Body::of(x) {
        Body::Cpu => cpu::backward_a::<T>(dt, x, factors, dropout, da),
        Body::Composite | Body::Cuda => composite::backward_a(dt, x, dropout, da),
    }
}

/// dx += drop(dt A), where the product of the base is in dx already.
pub fn backward_x<T: Element, X: Element>(update: &Inner<'_>, dropout: Option<&Dropout>, dx: &Tensor) -> Result<()> {
    match (dropout, Body::of(dx)) {
        (Some(dropout), _) => backward_dropped::<T, X>(update, dropout, dx),
        (None, Body::Cpu) => cpu::backward_x::<T, X>(update, dx, Start::Existing),
        (None, Body::Composite | Body::Cuda) => add(dx, &update.backward_product::<T>()?),
    }
}

/// dx += drop(before), for a gradient in f32.
pub fn add_dropped<X: Element>(before: &Tensor, dropout: &Dropout, dx: &Tensor) -> Result<()> {
    match Body::of(dx) {
        Body::Cpu => cpu::add_dropped::<X>(before, dropout, dx),
        Body::Composite | Body::Cuda => composite::add_dropped(before, dropout, dx),
    }
}

/// dx += drop(dt A), when dropout stands between the update and the product of the base.
pub fn backward_dropped<T: Element, X: Element>(update: &Inner<'_>, dropout: &Dropout, dx: &Tensor) -> Result<()> {
    match Body::of(dx) {
        Body::Cpu => cpu::backward_dropped::<T, X>(update, dropout, dx),
        Body::Composite | Body::Cuda => composite::backward_dropped::<T>(update, dropout, dx),
    }
}

//! LoRA as a composite; t has no column of zeros if r is odd.
//!
//! The gradients of A and B are products in f32: they have few columns, and they are what is trained.

use candle_core::{Result, Tensor};

use super::dropout::Dropout;
use super::factors::{Factors, Inner};
use crate::composite::{add, widened};
use crate::element::Element;
use crate::place::Body;
use crate::scratch::Scratch;

impl Inner<'_> {
    /// t Bᵀ.
    pub(crate) fn forward_product<T: Element>(&self) -> Result<Tensor> {
        self.product.matmul(&self.factors.b.to_dtype(T::DTYPE)?.t()?)
    }

    /// dt A.
    pub(crate) fn backward_product<T: Element>(&self) -> Result<Tensor> {
        self.product.matmul(&self.factors.a.to_dtype(T::DTYPE)?)
    }
}

/// What multiplies every element: 0 or 1 / (1 − p), the same on every device. candle has no operations to draw it with.
fn mask(dropout: &Dropout, like: &Tensor) -> Result<Tensor> {
    match Body::of(like) {
        Body::Cpu | Body::Composite => drawn_here(dropout, like),
        #[cfg(feature = "cuda")]
        Body::Cuda => super::cuda::mask(dropout, like),
        #[cfg(not(feature = "cuda"))]
        Body::Cuda => candle_core::bail!("dropout: this program was built without the feature `cuda`"),
    }
}

/// The mask, drawn on the CPU and uploaded.
fn drawn_here(dropout: &Dropout, like: &Tensor) -> Result<Tensor> {
    let ones = vec![1.0f32; like.elem_count()];
    let mut mask = vec![0.0f32; like.elem_count()];
    dropout.apply(&ones, &mut mask, false);
    Tensor::from_vec(mask, like.shape(), like.device())
}

/// drop(x) in f32.
pub(super) fn dropped(x: &Tensor, dropout: Option<&Dropout>) -> Result<Tensor> {
    match dropout {
        None => widened(x),
        Some(dropout) => widened(x)? * mask(dropout, x)?,
    }
}

/// t = scale · drop(x) Aᵀ, [rows, r].
pub(super) fn inner<T: Element>(x: &Tensor, factors: Factors<'_>, dropout: Option<&Dropout>) -> Result<Scratch> {
    let x = match dropout {
        None => x.clone(),
        Some(_) => dropped(x, dropout)?.to_dtype(T::DTYPE)?,
    };
    let t = x.matmul(&factors.a.to_dtype(T::DTYPE)?.t()?)?;
    Ok((widened(&t)? * f64::from(factors.scale))?.to_dtype(T::DTYPE)?.into())
}

/// Adds the gradients of A and B to `da` and `db`; returns dt.
pub(super) fn backward<T: Element>(
    dy: &Tensor,
    x: &Tensor,
    t: &Tensor,
    factors: Factors<'_>,
    dropout: Option<&Dropout>,
    (da, db): (&Tensor, &Tensor),
) -> Result<Scratch> {
    let dt = (widened(&dy.matmul(&factors.b.to_dtype(T::DTYPE)?)?)? * f64::from(factors.scale))?;
    let dt = dt.to_dtype(T::DTYPE)?;
    add(db, &widened(dy)?.t()?.matmul(&widened(t)?)?)?;
    backward_a(&dt, x, dropout, da)?;
    Ok(dt.into())
}

/// dA += dtᵀ drop(x).
pub(super) fn backward_a(dt: &Tensor, x: &Tensor, dropout: Option<&Dropout>, da: &Tensor) -> Result<()> {
    add(da, &widened(dt)?.t()?.matmul(&dropped(x, dropout)?)?)
}

/// dx += drop(dt A).
pub(super) fn backward_dropped<T: Element>(update: &Inner<'_>, dropout: &Dropout, dx: &Tensor) -> Result<()> {
    add(dx, &dropped(&update.backward_product::<T>()?, Some(dropout))?)
}

/// dx += drop(before), for a gradient in f32.
pub(super) fn add_dropped(before: &Tensor, dropout: &Dropout, dx: &Tensor) -> Result<()> {
    add(dx, &dropped(before, Some(dropout))?)
}

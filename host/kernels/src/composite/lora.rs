//! LoRA: y += t Bᵀ with t = scale · drop(x) Aᵀ, as `kernels::lora` says it, save that t has no column of zeros where r
//! is odd.
//!
//! The gradients of A and B are products in f32: they have few columns, and they are what is trained.

use candle_core::{Result, Tensor};

use super::super::element::Element;
use super::super::lora::{Dropout, Factors};
use super::super::scratch::Scratch;
use super::{add, widened};

/// What multiplies every element: 0 or 1 / (1 − p), the same on every device. candle has no operations to draw it with: on
/// CUDA it is a kernel of our own, elsewhere it is drawn on the CPU and uploaded.
fn mask(dropout: &Dropout, like: &Tensor) -> Result<Tensor> {
    #[cfg(feature = "cuda")]
    if let candle_core::Device::Cuda(device) = like.device() {
        return super::super::cuda::dropout_mask(dropout, like.shape(), device);
    }
    let ones = vec![1.0f32; like.elem_count()];
    let mut mask = vec![0.0f32; like.elem_count()];
    dropout.apply(&ones, &mut mask, false);
    Tensor::from_vec(mask, like.shape(), like.device())
}

/// drop(x) in f32.
fn dropped(x: &Tensor, dropout: Option<&Dropout>) -> Result<Tensor> {
    match dropout {
        None => widened(x),
        Some(dropout) => widened(x)? * mask(dropout, x)?,
    }
}

/// t = scale · drop(x) Aᵀ, [rows, r].
pub(in super::super) fn inner<T: Element>(
    x: &Tensor,
    factors: Factors<'_>,
    dropout: Option<&Dropout>,
) -> Result<Scratch> {
    let x = match dropout {
        None => x.clone(),
        Some(_) => dropped(x, dropout)?.to_dtype(T::DTYPE)?,
    };
    let t = x.matmul(&factors.a.to_dtype(T::DTYPE)?.t()?)?;
    Ok((widened(&t)? * f64::from(factors.scale))?.to_dtype(T::DTYPE)?.into())
}

/// Adds the gradients of A and B to `da` and `db`; returns dt.
pub(in super::super) fn backward<T: Element>(
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
    add(da, &widened(&dt)?.t()?.matmul(&dropped(x, dropout)?)?)?;
    Ok(dt.into())
}

/// dx += drop(before), where `before` is dt A.
pub(in super::super) fn add_dropped(before: &Tensor, dropout: &Dropout, dx: &Tensor) -> Result<()> {
    add(dx, &dropped(before, Some(dropout))?)
}

//! The residual stream as a composite.

use candle_core::{Result, Tensor};

use crate::composite::{add, widened};
use crate::element::Element;
use crate::scratch::Scratch;

/// y += α · x.
pub(super) fn forward(x: &Tensor, alpha: f32, y: &Tensor) -> Result<()> {
    add(y, &(widened(x)? * f64::from(alpha))?)
}

/// Returns dx.
pub(super) fn backward<T: Element>(dy: &Tensor, alpha: f32) -> Result<Scratch> {
    // A product by a number is a tensor of its own even where it changes nothing.
    Ok(dy.affine(f64::from(alpha), 0.0)?.to_dtype(T::DTYPE)?.into())
}

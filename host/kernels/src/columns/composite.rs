//! Columns as a composite.

use candle_core::{Result, Tensor};

use crate::scratch::Scratch;

/// Returns the part of this width from a column on.
pub(super) fn part(x: &Tensor, column: usize, width: usize) -> Result<Scratch> {
    Ok(x.narrow(1, column, width)?.force_contiguous()?.into())
}

/// Returns x.
pub(super) fn join(parts: &[&Tensor]) -> Result<Scratch> {
    Ok(Tensor::cat(parts, 1)?.contiguous()?.into())
}

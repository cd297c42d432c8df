//! What composites share. A composite states an operation's equation in candle's own tensor operations, for devices that
//! have no body of ours; it stands beside the body, as `composite.rs` of the operation's folder.
//!
//! Candle's operations run on the CPU too, where the tests hold every composite against its body. Sums are in f32. A
//! product of bf16 is candle's own and is rounded to bf16 before it is added to a sum, as in torch; where that would cost
//! a gradient or a score its precision the factors are widened first, and the file says so. A composite fixes no order of
//! sums: its numbers are those of the body up to rounding, and may depend on the batch.

#[cfg(test)]
mod tests;

use candle_core::{DType, Result, Tensor};

/// target = value, rounded or widened to the target's type. The value is a result of its own, never the target.
pub(crate) fn write(target: &Tensor, value: &Tensor) -> Result<()> {
    let value = value.to_dtype(target.dtype())?.reshape(target.shape())?.contiguous()?;
    target.slice_set(&value, 0, 0)
}

/// target += value, added in f32.
pub(crate) fn add(target: &Tensor, value: &Tensor) -> Result<()> {
    let value = widened(value)?.reshape(target.shape())?;
    write(target, &(widened(target)? + value)?)
}

/// The tensor in f32.
pub(crate) fn widened(tensor: &Tensor) -> Result<Tensor> {
    tensor.to_dtype(DType::F32)
}

/// Row numbers as indices on the device of `like`.
pub(crate) fn indices(rows: impl IntoIterator<Item = usize>, like: &Tensor) -> Result<Tensor> {
    let rows: Vec<u32> = rows.into_iter().map(|row| row as u32).collect();
    let count = rows.len();
    Tensor::from_vec(rows, count, like.device())
}

/// Indices [rows] repeated for every column, [rows, width].
pub(crate) fn per_column(indices: &Tensor, width: usize) -> Result<Tensor> {
    indices.unsqueeze(1)?.broadcast_as((indices.elem_count(), width))?.contiguous()
}

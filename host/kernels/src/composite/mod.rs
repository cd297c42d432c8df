//! Composites: the operations of this module's parent as candle's own tensor operations, for devices that have no body
//! here.
//!
//! An operation asks `serves` about a tensor and either runs its body or its composite; both state one equation, and
//! candle's operations run on the CPU too, where the tests hold one against the other. Sums are in f32. A product of
//! bf16 is candle's own and is rounded to bf16 before it is added to a sum, as in torch; where that would cost a gradient
//! or a score its precision the factors are widened first, and the file says so. A composite fixes no order of sums: its
//! numbers are those of the body up to rounding, and may depend on the batch.

pub(crate) mod adamw;
pub(crate) mod attention;
pub(crate) mod coded_matrix;
pub(crate) mod cross_entropy;
pub(crate) mod embedding;
pub(crate) mod linear;
pub(crate) mod lora;
pub(crate) mod rms_norm;
pub(crate) mod rope;
pub(crate) mod swiglu;
#[cfg(test)]
pub(crate) mod tests;

use candle_core::{DType, Result, Tensor};

use super::linear::Weight;
use crate::place::composites_are_forced;

/// Whether an operation on this tensor is a composite: everywhere but in the CPU's memory.
pub(crate) fn serves(tensor: &Tensor) -> bool {
    !tensor.device().is_cpu() || composites_are_forced()
}

/// Whether an operation that has only a weight to ask is a composite.
pub(crate) fn serves_weight(weight: &Weight) -> bool {
    match weight {
        Weight::F32(weight) | Weight::Bf16(weight) | Weight::F16(weight) => serves(weight),
        Weight::Coded(_) => true,
        Weight::Nf4(_) | Weight::Awq(_) => false,
    }
}

/// target = value, rounded or widened to the target's type. The value is a result of its own, never the target.
fn write(target: &Tensor, value: &Tensor) -> Result<()> {
    let value = value.to_dtype(target.dtype())?.reshape(target.shape())?.contiguous()?;
    target.slice_set(&value, 0, 0)
}

/// target += value, added in f32.
pub(super) fn add(target: &Tensor, value: &Tensor) -> Result<()> {
    let value = widened(value)?.reshape(target.shape())?;
    write(target, &(widened(target)? + value)?)
}

/// The tensor in f32.
fn widened(tensor: &Tensor) -> Result<Tensor> {
    tensor.to_dtype(DType::F32)
}

/// Row numbers as indices on the device of `like`.
fn indices(rows: impl IntoIterator<Item = usize>, like: &Tensor) -> Result<Tensor> {
    let rows: Vec<u32> = rows.into_iter().map(|row| row as u32).collect();
    let count = rows.len();
    Tensor::from_vec(rows, count, like.device())
}

/// Indices [rows] repeated for every column, [rows, width].
fn per_column(indices: &Tensor, width: usize) -> Result<Tensor> {
    indices.unsqueeze(1)?.broadcast_as((indices.elem_count(), width))?.contiguous()
}

//! A matrix of float8 with scales as checkpoints hold it: DeepSeek's and Qwen's `fp8`, `fbgemm_fp8`, and
//! compressed-tensors' `float-quantized`.
//!
//! `X` f8_e4m3 (or e5m2) [out, in]; the scales that weights are multiplied by are `X_scale_inv`, or `X_scale`: one number,
//! [out, 1], or a number for each block. Scales of activations are left alone: what passes through a layer is not quantized.

use safetensors::Dtype;
use serde::{Deserialize, Serialize};

use super::ModelError;
use super::checkpoint_files::{CheckpointFiles, NOT_THIS_CONFIG, StoredTensor};
use super::stored_integers::scales;
use hilora_kernels::float8::{Float8, Float8Matrix};
use hilora_kernels::scales::Scales;

const NOT_THESE_SCALES: &str = "does quantization_config belong to this checkpoint?";

/// Which weights of a matrix share a scale.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ScaleBlock {
    /// All.
    Tensor,
    /// Those of an output.
    Channel,
    /// Those of so many outputs and inputs.
    Block(usize, usize),
}

/// What the codes of a tensor stand for, if it is one of float8.
pub(crate) fn format(dtype: Dtype) -> Option<Float8> {
    match dtype {
        Dtype::F8_E4M3 => Some(Float8::E4m3),
        Dtype::F8_E5M2 => Some(Float8::E5m2),
        _ => None,
    }
}

/// A matrix of float8 without scales.
pub(crate) fn unscaled(tensor: StoredTensor<'_>, [rows, columns]: [usize; 2], format: Float8) -> Float8Matrix {
    Float8Matrix::new((rows, columns), format, tensor.bytes, Scales::F32(vec![1.0]), (rows, columns))
}

/// Reads the matrix of a layer; `None` if this checkpoint holds it as wider floats.
pub(crate) fn read(
    files: &CheckpointFiles,
    name: &str,
    [rows, columns]: [usize; 2],
    block: ScaleBlock,
) -> Result<Option<Float8Matrix>, ModelError> {
    let tensor = files.tensor(name)?;
    let Some(format) = format(tensor.dtype) else { return Ok(None) };
    let tensor = tensor.of_shape(&[rows, columns], NOT_THIS_CONFIG)?;
    let (inverse, plain) = (format!("{name}_scale_inv"), format!("{name}_scale"));
    let stored = files.tensor(if files.contains(&inverse) { &inverse } else { &plain })?;
    let block = match block {
        ScaleBlock::Tensor => (rows, columns),
        ScaleBlock::Channel => (1, columns),
        ScaleBlock::Block(down, across) => (down, across),
    };
    let shape = [rows.div_ceil(block.0), columns.div_ceil(block.1)];
    // A list of numbers may lack the axis along which there is one.
    let without_axis = shape[1] == 1 && (stored.shape == [shape[0]] || (shape[0] == 1 && stored.shape.is_empty()));
    let stored = if without_axis { stored } else { stored.of_shape(&shape, NOT_THESE_SCALES)? };
    let scales = scales(&stored, shape[0] * shape[1], |at| at)?;
    Ok(Some(Float8Matrix::new((rows, columns), format, tensor.bytes, scales, block)))
}

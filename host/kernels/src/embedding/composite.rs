//! The embedding and the moving of rows as composites.

use candle_core::{DType, Result, Tensor};

use crate::composite::{indices, per_column, widened};
use crate::linear::{Weight, dense_of_type};
use crate::scratch::Scratch;

/// Returns y [tokens, width] in f32.
pub(super) fn forward(tokens: &[u32], weight: &Weight) -> Result<Scratch> {
    let table = match weight {
        Weight::F32(table) | Weight::Bf16(table) | Weight::F16(table) => table.clone(),
        _ => dense_of_type(weight, DType::F32)?,
    };
    let tokens = indices(tokens.iter().map(|token| *token as usize), &table)?;
    Ok(widened(&table.index_select(&tokens, 0)?)?.into())
}

/// Adds the gradient of the table to `dw`.
pub(super) fn backward(tokens: &[u32], dy: &Tensor, dw: &Tensor) -> Result<()> {
    let tokens = per_column(&indices(tokens.iter().map(|token| *token as usize), dy)?, dy.dims2()?.1)?;
    dw.scatter_add_set(&tokens, dy, 0)
}

/// Copies some rows: y[i] = x[rows[i]].
pub(super) fn gather(x: &Tensor, rows: &[usize]) -> Result<Scratch> {
    Ok(x.index_select(&indices(rows.iter().copied(), x)?, 0)?.into())
}

/// The transpose of `gather`: y[rows[i]] = x[i], zero elsewhere.
pub(super) fn scatter(x: &Tensor, rows: &[usize], count: usize) -> Result<Scratch> {
    let width = x.dims2()?.1;
    let y = Tensor::zeros((count, width), x.dtype(), x.device())?;
    y.scatter_set(&per_column(&indices(rows.iter().copied(), x)?, width)?, x, 0)?;
    Ok(y.into())
}

/// Returns t[row] = α · A[:, token[row]].
pub(super) fn columns(tokens: &[u32], a: &Tensor, alpha: f32) -> Result<Scratch> {
    let tokens = indices(tokens.iter().map(|token| *token as usize), a)?;
    Ok((a.index_select(&tokens, 1)?.t()?.contiguous()? * f64::from(alpha))?.into())
}

/// dA[:, token[row]] += α · dt[row].
pub(super) fn backward_columns(
    tokens: &[u32],
    padding: Option<u32>,
    dt: &Tensor,
    alpha: f32,
    da: &Tensor,
) -> Result<()> {
    let rows: Vec<usize> = (0..tokens.len()).filter(|row| Some(tokens[*row]) != padding).collect();
    if rows.is_empty() {
        return Ok(());
    }
    let rank = da.dims2()?.0;
    let dt = (dt.index_select(&indices(rows.iter().copied(), dt)?, 0)? * f64::from(alpha))?.t()?.contiguous()?;
    let tokens = indices(rows.iter().map(|row| tokens[*row] as usize), da)?;
    da.scatter_add_set(&tokens.unsqueeze(0)?.broadcast_as((rank, rows.len()))?.contiguous()?, &dt, 1)
}

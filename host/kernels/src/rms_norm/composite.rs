//! Root-mean-square normalization as a composite; everything is in f32.

use candle_core::{Result, Tensor};

use crate::composite::{add, widened};
use crate::element::Element;
use crate::scratch::Scratch;

/// Rows of one norm's width in f32, [rows · heads, width].
fn rows(x: &Tensor, width: usize) -> Result<Tensor> {
    widened(x)?.reshape(((), width))
}

/// Returns (y, rstd).
pub(super) fn forward<Y: Element>(x: &Tensor, weight: &Tensor, epsilon: f64) -> Result<(Scratch, Scratch)> {
    let width = weight.elem_count();
    let values = rows(x, width)?;
    let mean = values.sqr()?.sum_keepdim(1)?.affine(1.0 / width as f64, epsilon)?;
    let rstd = mean.sqrt()?.recip()?;
    let y = values.broadcast_mul(&rstd)?.broadcast_mul(weight)?;
    Ok((y.reshape(x.shape())?.to_dtype(Y::DTYPE)?.into(), rstd.flatten_all()?.into()))
}

/// Adds the gradient of the input to `dx`.
pub(super) fn backward(dy: &Tensor, x: &Tensor, weight: &Tensor, rstd: &Tensor, dx: &Tensor) -> Result<()> {
    let width = weight.elem_count();
    let (values, rstd) = (rows(x, width)?, rstd.reshape(((), 1))?);
    let g = rows(dy, width)?.broadcast_mul(weight)?;
    let dot = (&g * &values)?.sum_keepdim(1)?;
    let factor = ((rstd.sqr()? * &rstd)? * dot)?.affine(-1.0 / width as f64, 0.0)?;
    add(dx, &(g.broadcast_mul(&rstd)? + values.broadcast_mul(&factor)?)?)
}

/// Adds the gradient of the weight to `dw`.
pub(super) fn backward_weight(dy: &Tensor, x: &Tensor, rstd: &Tensor, dw: &Tensor) -> Result<()> {
    let width = dw.elem_count();
    let normed = rows(x, width)?.broadcast_mul(&rstd.reshape(((), 1))?)?;
    add(dw, &(rows(dy, width)? * normed)?.sum(0)?)
}

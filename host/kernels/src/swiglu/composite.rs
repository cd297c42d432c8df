//! SwiGLU as a composite; element by element in f32.

use candle_core::{Result, Tensor};

use crate::composite::{widened, write};
use crate::scratch::Scratch;

/// σ(g) = 1 / (1 + exp(−g)).
fn sigmoid(g: &Tensor) -> Result<Tensor> {
    (g.neg()?.exp()? + 1.0)?.recip()
}

/// Returns s.
pub(super) fn forward(gate: &Tensor, up: &Tensor) -> Result<Scratch> {
    let g = widened(gate)?;
    let product = ((sigmoid(&g)? * g)? * widened(up)?)?;
    Ok(product.to_dtype(gate.dtype())?.into())
}

/// Replaces the gate and its other half by their gradients.
pub(super) fn backward(ds: &Tensor, gate: &Tensor, up: &Tensor) -> Result<()> {
    let (ds, g, u) = (widened(ds)?, widened(gate)?, widened(up)?);
    let s = sigmoid(&g)?;
    let silu = (&g * &s)?;
    // silu · (1 − σ) + σ
    let slope = ((&silu * s.affine(-1.0, 1.0)?)? + &s)?;
    write(gate, &((&ds * u)? * slope)?)?;
    write(up, &(ds * silu)?)
}

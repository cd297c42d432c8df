//! GeGLU as a composite; element by element in f32.

use candle_core::{Result, Tensor};

use super::{CUBIC, TWICE_ROOT};
use crate::composite::{widened, write};
use crate::scratch::Scratch;

/// σ(2 z) = 1 / (1 + exp(−2 z)).
fn sigmoid(g: &Tensor) -> Result<Tensor> {
    let twice_z = (g * g.sqr()?.affine(f64::from(TWICE_ROOT * CUBIC), f64::from(TWICE_ROOT))?)?;
    (twice_z.neg()?.exp()? + 1.0)?.recip()
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
    let gelu = (&g * &s)?;
    let twice_slope = g.sqr()?.affine(f64::from(3.0 * TWICE_ROOT * CUBIC), f64::from(TWICE_ROOT))?;
    let slope = (((&gelu * s.affine(-1.0, 1.0)?)? * twice_slope)? + &s)?;
    write(gate, &((&ds * u)? * slope)?)?;
    write(up, &(ds * gelu)?)
}

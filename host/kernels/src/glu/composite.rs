//! Gated linear units as composites; element by element in f32.

use candle_core::{Result, Tensor};

use super::{Activation, CUBIC, TWICE_ROOT};
use crate::composite::{widened, write};
use crate::scratch::Scratch;

/// σ(c(g)) = 1 / (1 + exp(−c(g))).
fn sigmoid(activation: Activation, g: &Tensor) -> Result<Tensor> {
    let curve = match activation {
        Activation::Silu => g.clone(),
        Activation::GeluTanh => (g * g.sqr()?.affine(f64::from(TWICE_ROOT * CUBIC), f64::from(TWICE_ROOT))?)?,
    };
    (curve.neg()?.exp()? + 1.0)?.recip()
}

/// Returns s.
pub(super) fn forward(activation: Activation, gate: &Tensor, up: &Tensor) -> Result<Scratch> {
    let g = widened(gate)?;
    let product = ((sigmoid(activation, &g)? * g)? * widened(up)?)?;
    Ok(product.to_dtype(gate.dtype())?.into())
}

/// Replaces the gate and its other half by their gradients.
pub(super) fn backward(activation: Activation, ds: &Tensor, gate: &Tensor, up: &Tensor) -> Result<()> {
    let (ds, g, u) = (widened(ds)?, widened(gate)?, widened(up)?);
    let s = sigmoid(activation, &g)?;
    let value = (&g * &s)?;
    // f · (1 − σ), which is multiplied with c′.
    let rest = (&value * s.affine(-1.0, 1.0)?)?;
    let rest = match activation {
        Activation::Silu => rest,
        Activation::GeluTanh => {
            (rest * g.sqr()?.affine(f64::from(3.0 * TWICE_ROOT * CUBIC), f64::from(TWICE_ROOT))?)?
        }
    };
    let slope = (rest + &s)?;
    write(gate, &((&ds * u)? * slope)?)?;
    write(up, &(ds * value)?)
}

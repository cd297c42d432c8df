//! DoRA as a composite.

use candle_core::{DType, Result, Tensor};

use crate::composite::{add, widened, write};
use crate::element::Element;
use crate::linear::{Onto, Weight, dense_of_type};
use crate::lora::Factors;
use crate::scratch::Scratch;

/// Returns the norms of the rows of W + scale · B A.
pub(super) fn norms(weight: &Weight, factors: Factors<'_>) -> Result<Scratch> {
    let update = (factors.b.matmul(factors.a)? * f64::from(factors.scale))?;
    Ok((dense_of_type(weight, DType::F32)? + update)?.sqr()?.sum(1)?.sqrt()?.into())
}

/// y = g ⊙ u on top of what `onto` says.
pub(super) fn forward(u: &Tensor, gain: &Tensor, onto: Onto<'_>, y: &Tensor) -> Result<()> {
    let scaled = widened(u)?.broadcast_mul(gain)?;
    match onto {
        Onto::Nothing => write(y, &scaled),
        Onto::Bias(bias) => write(y, &scaled.broadcast_add(bias)?),
        Onto::Existing => add(y, &scaled),
    }
}

/// Adds the gradient of m to `dm`; returns du.
pub(super) fn backward<T: Element>(
    dy: &Tensor,
    u: &Tensor,
    gain: &Tensor,
    norms: &Tensor,
    dm: &Tensor,
) -> Result<Scratch> {
    let dy = widened(dy)?;
    add(dm, &((&dy * widened(u)?)?.sum(0)? / norms)?)?;
    Ok(dy.broadcast_mul(gain)?.to_dtype(T::DTYPE)?.into())
}

/// Returns x − y.
pub(super) fn difference<T: Element>(x: &Tensor, y: &Tensor) -> Result<Scratch> {
    Ok((widened(x)? - widened(y)?)?.to_dtype(T::DTYPE)?.into())
}

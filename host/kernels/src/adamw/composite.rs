//! AdamW as a composite, and what a step asks of a gradient.

use candle_core::{DType, Result, Tensor};

use super::step::AdamwStep;
use crate::composite::write;

/// Elements whose squares are added in f64 at a time.
const CHUNK: usize = 1 << 24;

/// Updates a parameter and its two moments in 32 bits; a composite has no roundings of its own to choose.
pub(super) fn step(task: &AdamwStep, p: &Tensor, g: &Tensor, m: &Tensor, v: &Tensor) -> Result<()> {
    let t = task.step as i32;
    let (correction1, correction2) = (1.0 - task.beta1.powi(t), (1.0 - task.beta2.powi(t)).sqrt());
    let g = (g * task.gradient_scale)?;
    write(m, &((m * task.beta1)? + (&g * (1.0 - task.beta1))?)?)?;
    write(v, &((v * task.beta2)? + (g.sqr()? * (1.0 - task.beta2))?)?)?;
    let moved = (m / v.sqrt()?.affine(1.0 / correction2, task.epsilon)?)?;
    let kept = (p * (1.0 - task.learning_rate * task.weight_decay))?;
    write(p, &(kept - (moved * (task.learning_rate / correction1))?)?)
}

/// g = 0.
pub(super) fn zero(gradient: &Tensor) -> Result<()> {
    gradient.zero_set()
}

/// Σ g² in f64.
pub(super) fn sum_of_squares(gradient: &Tensor) -> Result<f64> {
    let values = gradient.flatten_all()?;
    let length = values.elem_count();
    let mut sum = 0.0;
    for first in (0..length).step_by(CHUNK) {
        let part = values.narrow(0, first, CHUNK.min(length - first))?.to_dtype(DType::F64)?;
        sum += part.sqr()?.sum_all()?.to_scalar::<f64>()?;
    }
    Ok(sum)
}

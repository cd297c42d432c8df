//! AdamW and what an optimizer step asks of a gradient, as `kernels::adamw` and `kernels::adamw_8bit` say them.
//!
//! Moments in 8 bits stay in host memory wherever the parameter is: the gradient and the parameter come down, the CPU's
//! body runs, and the parameter goes up again. The states are bitsandbytes' bit for bit on every device.

use candle_core::{DType, Device, Result, Tensor};

use super::super::adamw::AdamwStep;
use super::write;

/// Elements whose squares are added in f64 at a time.
const CHUNK: usize = 1 << 24;

/// Updates a parameter and its two moments in 32 bits.
pub(in super::super) fn step(task: &AdamwStep, p: &Tensor, g: &Tensor, m: &Tensor, v: &Tensor) -> Result<()> {
    let t = task.step as i32;
    let (correction1, correction2) = (1.0 - task.beta1.powi(t), (1.0 - task.beta2.powi(t)).sqrt());
    let g = (g * task.gradient_scale)?;
    write(m, &((m * task.beta1)? + (&g * (1.0 - task.beta1))?)?)?;
    write(v, &((v * task.beta2)? + (g.sqr()? * (1.0 - task.beta2))?)?)?;
    let moved = (m / v.sqrt()?.affine(1.0 / correction2, task.epsilon)?)?;
    let kept = (p * (1.0 - task.learning_rate * task.weight_decay))?;
    write(p, &(kept - (moved * (task.learning_rate / correction1))?)?)
}

/// Runs a step of the CPU's body on copies of the parameter and the gradient, and takes the parameter back.
pub(in super::super) fn on_the_host(
    parameter: &Tensor,
    gradient: &Tensor,
    body: impl FnOnce(&Tensor, &Tensor) -> Result<()>,
) -> Result<()> {
    let copy = |tensor: &Tensor| tensor.copy()?.to_device(&Device::Cpu);
    let (on_host, gradient) = (copy(parameter)?, copy(gradient)?);
    body(&on_host, &gradient)?;
    write(parameter, &on_host.to_device(parameter.device())?)
}

/// g = 0.
pub(in super::super) fn zero(gradient: &Tensor) -> Result<()> {
    gradient.zero_set()
}

/// Σ g² in f64.
pub(in super::super) fn sum_of_squares(gradient: &Tensor) -> Result<f64> {
    let values = gradient.flatten_all()?;
    let length = values.elem_count();
    let mut sum = 0.0;
    for first in (0..length).step_by(CHUNK) {
        let part = values.narrow(0, first, CHUNK.min(length - first))?.to_dtype(DType::F64)?;
        sum += part.sqr()?.sum_all()?.to_scalar::<f64>()?;
    }
    Ok(sum)
}

//! AdamW with decoupled decay, in torch's order: p *= 1 − lr · wd; m = β1 m + (1 − β1) g; v = β2 v + (1 − β2) g²;
//! p −= lr / (1 − β1ᵗ) · m / (√v / √(1 − β2ᵗ) + eps). g is first multiplied by the clipping factor.

mod bitsandbytes;
mod composite;
mod cpu;
mod step;

use candle_core::{Result, Tensor};

pub(crate) use self::bitsandbytes::BitsandbytesStep;
pub use self::step::{AdamwStep, Rounding};
use crate::place::Body;

/// Updates a parameter and its two moments in 32 bits.
pub fn step(
    task: &AdamwStep,
    rounding: Rounding,
    parameter: &Tensor,
    gradient: &Tensor,
    (first, second): (&Tensor, &Tensor),
) -> Result<()> {
    match (Body::of(parameter), rounding) {
        (Body::Cpu, Rounding::Torch) => cpu::step(task, parameter, gradient, first, second),
        (Body::Cpu, Rounding::Bitsandbytes) => bitsandbytes::step(task, parameter, gradient, first, second),
        (Body::Composite | Body::Cuda, _) => composite::step(task, parameter, gradient, first, second),
    }
}

/// g = 0.
pub fn zero(gradient: &Tensor) -> Result<()> {
    match Body::of(gradient) {
        Body::Cpu => cpu::zero(gradient),
        Body::Composite | Body::Cuda => composite::zero(gradient),
    }
}

/// Σ g² in f64, in a fixed partition.
pub fn sum_of_squares(gradient: &Tensor) -> Result<f64> {
    match Body::of(gradient) {
        Body::Cpu => cpu::sum_of_squares(gradient),
        Body::Composite | Body::Cuda => composite::sum_of_squares(gradient),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn equals_torch() -> Result<()> {
        // p = torch.nn.Parameter(torch.tensor([1.0])); opt = torch.optim.AdamW([p], lr=0.1, weight_decay=0.01)
        // p.grad = 0.5, then -0.25: after step 1 1 - 0.001 - 0.1 = 0.899, after step 2 the closed form below.
        let tensor = |x: f32| Tensor::new(&[x], &Device::Cpu);
        let (p, m, v) = (tensor(1.0)?, tensor(0.0)?, tensor(0.0)?);
        let task = |t| AdamwStep {
            step: t,
            learning_rate: 0.1,
            weight_decay: 0.01,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            gradient_scale: 1.0,
        };
        step(&task(1), Rounding::Torch, &p, &tensor(0.5)?, (&m, &v))?;
        assert!((p.to_vec1::<f32>()?[0] - 0.899).abs() < 1e-6);
        step(&task(2), Rounding::Torch, &p, &tensor(-0.25)?, (&m, &v))?;
        let (m2, v2) = (0.9 * 0.05 - 0.1 * 0.25, 0.999 * 0.001 * 0.25 + 0.001 * 0.0625);
        let expected = 0.899 * 0.999 - 0.1 * (m2 / 0.19) / ((v2 / (1.0 - 0.999f64 * 0.999)).sqrt() + 1e-8);
        assert!((f64::from(p.to_vec1::<f32>()?[0]) - expected).abs() < 1e-6);
        Ok(())
    }
}

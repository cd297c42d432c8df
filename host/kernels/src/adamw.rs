//! AdamW with decoupled decay, in torch's order: p *= 1 − lr · wd; m = β1 m + (1 − β1) g; v = β2 v + (1 − β2) g²;
//! p −= lr / (1 − β1ᵗ) · m / (√v / √(1 − β2ᵗ) + eps). g is first multiplied by the clipping factor.

use candle_core::{Result, Tensor};
use rayon::prelude::*;

use super::composite;
use super::launch::{read, write};
use super::simd::vectorized;

const CHUNK: usize = 1 << 14;

/// What one step does to every element.
#[derive(Debug, Clone, Copy)]
pub struct AdamwStep {
    /// Steps done, this one included: t.
    pub step: usize,
    /// The step's size.
    pub learning_rate: f64,
    /// Decoupled decay, multiplied by the learning rate.
    pub weight_decay: f64,
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub epsilon: f64,
    /// Multiplies the gradient.
    pub gradient_scale: f64,
}

/// Updates a parameter and its two moments.
pub fn step(task: &AdamwStep, parameter: &Tensor, gradient: &Tensor, first: &Tensor, second: &Tensor) -> Result<()> {
    if composite::serves(parameter) {
        return composite::adamw::step(task, parameter, gradient, first, second);
    }
    let t = task.step as i32;
    let factors = Factors {
        decay: (1.0 - task.learning_rate * task.weight_decay) as f32,
        step_size: (task.learning_rate / (1.0 - task.beta1.powi(t))) as f32,
        root_correction: (1.0 - task.beta2.powi(t)).sqrt() as f32,
        beta1: task.beta1 as f32,
        beta2: task.beta2 as f32,
        fresh1: (1.0 - task.beta1) as f32,
        fresh2: (1.0 - task.beta2) as f32,
        epsilon: task.epsilon as f32,
        scale: task.gradient_scale as f32,
    };
    write("adamw", [parameter, first, second], [gradient], |[p, m, v], [g]| {
        (p.par_chunks_mut(CHUNK), m.par_chunks_mut(CHUNK), v.par_chunks_mut(CHUNK), g.par_chunks(CHUNK))
            .into_par_iter()
            .for_each(|(p, m, v, g)| update(&factors, p, m, v, g));
    })
}

/// The step's constants in f32.
struct Factors {
    decay: f32,
    step_size: f32,
    root_correction: f32,
    beta1: f32,
    beta2: f32,
    fresh1: f32,
    fresh2: f32,
    epsilon: f32,
    scale: f32,
}

vectorized! {
    fn update(f: &Factors, p: &mut [f32], m: &mut [f32], v: &mut [f32], g: &[f32]) {
        for (((p, m), v), g) in p.iter_mut().zip(m).zip(v).zip(g) {
            let g = g * f.scale;
            *m = f.beta1.mul_add(*m, f.fresh1 * g);
            *v = f.beta2.mul_add(*v, f.fresh2 * g * g);
            *p = *p * f.decay - f.step_size * (*m / (v.sqrt() / f.root_correction + f.epsilon));
        }
    }
}

vectorized! {
    fn squares(g: &[f32]) -> f64 {
        let mut lanes = [0.0f64; 8];
        let (chunks, rest) = g.as_chunks::<8>();
        for chunk in chunks {
            for (lane, g) in lanes.iter_mut().zip(chunk) {
                *lane += f64::from(*g) * f64::from(*g);
            }
        }
        lanes.iter().sum::<f64>() + rest.iter().map(|g| f64::from(*g) * f64::from(*g)).sum::<f64>()
    }
}

/// g = 0.
pub fn zero(gradient: &Tensor) -> Result<()> {
    if composite::serves(gradient) {
        return composite::adamw::zero(gradient);
    }
    write("zero", [gradient], [], |[g], []| g.fill(0.0))
}

/// Σ g² in f64, in a fixed partition.
pub fn sum_of_squares(gradient: &Tensor) -> Result<f64> {
    if composite::serves(gradient) {
        return composite::adamw::sum_of_squares(gradient);
    }
    read::<f32, 1, _>("norm", [gradient], |[g]| g.par_chunks(CHUNK).map(squares).collect::<Vec<_>>().iter().sum())
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
        step(&task(1), &p, &tensor(0.5)?, &m, &v)?;
        assert!((p.to_vec1::<f32>()?[0] - 0.899).abs() < 1e-6);
        step(&task(2), &p, &tensor(-0.25)?, &m, &v)?;
        let (m2, v2) = (0.9 * 0.05 - 0.1 * 0.25, 0.999 * 0.001 * 0.25 + 0.001 * 0.0625);
        let expected = 0.899 * 0.999 - 0.1 * (m2 / 0.19) / ((v2 / (1.0 - 0.999f64 * 0.999)).sqrt() + 1e-8);
        assert!((f64::from(p.to_vec1::<f32>()?[0]) - expected).abs() < 1e-6);
        Ok(())
    }
}

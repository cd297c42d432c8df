//! AdamW on the CPU with torch's roundings, and what a step asks of a gradient.

use candle_core::{Result, Tensor};
use rayon::prelude::*;

use super::step::AdamwStep;
use crate::launch::{read, write};
use crate::simd::vectorized;

const CHUNK: usize = 1 << 14;

/// Updates a parameter and its two moments.
pub(super) fn step(
    task: &AdamwStep,
    parameter: &Tensor,
    gradient: &Tensor,
    first: &Tensor,
    second: &Tensor,
) -> Result<()> {
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
pub(super) fn zero(gradient: &Tensor) -> Result<()> {
    write("zero", [gradient], [], |[g], []| g.fill(0.0))
}

/// Σ g² in f64, in a fixed partition.
pub(super) fn sum_of_squares(gradient: &Tensor) -> Result<f64> {
    read::<f32, 1, _>("norm", [gradient], |[g]| g.par_chunks(CHUNK).map(squares).collect::<Vec<_>>().iter().sum())
}

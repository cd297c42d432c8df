//! AdamW with bitsandbytes' roundings, over moments in 32 bits; its constants serve the step over moments in 8 bits too.

use candle_core::{Result, Tensor};

use super::step::AdamwStep;
use crate::launch::write;

/// A step's constants in f32, as bitsandbytes takes them.
pub(crate) struct BitsandbytesStep {
    pub(crate) scale: f32,
    pub(crate) decay: f32,
    pub(crate) beta1: f32,
    pub(crate) beta2: f32,
    pub(crate) fresh1: f32,
    pub(crate) fresh2: f32,
    /// √(1 − β2ᵗ)
    pub(crate) root_correction: f32,
    /// −lr / (1 − β1ᵗ)
    pub(crate) step_size: f32,
    pub(crate) epsilon: f32,
    /// The two above as the update in 32 bits takes them: −lr √(1 − β2ᵗ) / (1 − β1ᵗ) and eps √(1 − β2ᵗ).
    corrected_step_size: f32,
    corrected_epsilon: f32,
}

impl BitsandbytesStep {
    pub(crate) fn new(task: &AdamwStep) -> Self {
        let t = task.step as i32;
        let (correction1, correction2) = (1.0 - task.beta1.powi(t), (1.0 - task.beta2.powi(t)).sqrt());
        Self {
            scale: task.gradient_scale as f32,
            decay: (1.0 - task.learning_rate * task.weight_decay) as f32,
            beta1: task.beta1 as f32,
            beta2: task.beta2 as f32,
            fresh1: (1.0 - task.beta1) as f32,
            fresh2: (1.0 - task.beta2) as f32,
            root_correction: correction2 as f32,
            step_size: (-task.learning_rate / correction1) as f32,
            epsilon: task.epsilon as f32,
            corrected_step_size: (-task.learning_rate * correction2 / correction1) as f32,
            corrected_epsilon: (task.epsilon * correction2) as f32,
        }
    }

    /// The moments' update, with torch's roundings: a product, then one fused multiply and add.
    #[inline(always)]
    pub(crate) fn moments(&self, m: f32, v: f32, g: f32) -> (f32, f32) {
        (g.mul_add(self.fresh1, m * self.beta1), (self.fresh2 * g).mul_add(g, v * self.beta2))
    }
}

/// Updates a parameter and its two moments in 32 bits.
pub(super) fn step(
    task: &AdamwStep,
    parameter: &Tensor,
    gradient: &Tensor,
    first: &Tensor,
    second: &Tensor,
) -> Result<()> {
    let f = BitsandbytesStep::new(task);
    write("adamw_32bit", [parameter, first, second], [gradient], |[p, m, v], [g]| {
        for (((p, m), v), g) in p.iter_mut().zip(m).zip(v).zip(g) {
            (*m, *v) = f.moments(*m, *v, g * f.scale);
            *p = (*m / (v.sqrt() + f.corrected_epsilon)).mul_add(f.corrected_step_size, *p * f.decay);
        }
    })
}

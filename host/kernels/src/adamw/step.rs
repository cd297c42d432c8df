//! What one step of the optimizer does to every element, and whose roundings it has.

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

/// Whose roundings a step over moments in 32 bits has. The two differ in the last bit of a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rounding {
    /// torch's.
    Torch,
    /// bitsandbytes', as in the step over moments in 8 bits.
    Bitsandbytes,
}

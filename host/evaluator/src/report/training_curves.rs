//! Training curves: what a training measured of itself, step by step.

/// Measurements of a training, in the order of its steps.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TrainingCurves {
    /// The mean cross-entropy of each step.
    pub loss: Vec<(f64, f64)>,
    /// The learning rate of each step.
    pub learning_rate: Vec<(f64, f64)>,
    /// The cross-entropy of held-out rows, at the steps after which it was measured.
    pub validation_loss: Vec<(f64, f64)>,
    /// The share of held-out problems' answers that pass all tests, at the steps after which it was measured.
    pub validation_pass_at_1: Vec<(f64, f64)>,
}

impl TrainingCurves {
    /// Whether nothing was measured.
    pub fn is_empty(&self) -> bool {
        let Self { loss, learning_rate, validation_loss, validation_pass_at_1 } = self;
        [loss, learning_rate, validation_loss, validation_pass_at_1].iter().all(|curve| curve.is_empty())
    }
}

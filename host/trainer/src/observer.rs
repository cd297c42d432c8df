//! What a run tells as it goes, and what it is told in return.

use super::evaluation::EvaluationReport;

/// What one optimizer step did.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct StepReport {
    /// Steps done, this one included.
    pub step: usize,
    /// Steps of the whole run.
    pub steps_total: usize,
    /// Mean cross-entropy per target token over the step, in nats.
    pub loss: f64,
    /// The learning rate of this step.
    pub learning_rate: f64,
    /// The gradient's norm before it was cut.
    pub gradient_norm: f64,
    /// Tokens that went through the model in this step.
    pub tokens: usize,
    /// How many of them were targets.
    pub target_tokens: usize,
}

/// What comes before the first step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preparation {
    /// The base is read, and quantized if it is not yet.
    LoadingBase,
    /// The run's own samples go through the model.
    Audit,
}

/// Sees a run as it goes.
pub trait TrainingObserver {
    /// What comes before the first step goes on: `done` parts of `total`. It begins with 0 done.
    fn preparing(&mut self, what: Preparation, done: usize, total: usize) {
        let _ = (what, done, total);
    }

    /// The run begins after `step` steps, 0 if it resumed from no checkpoint. `warnings` say which checkpoints were
    /// passed over, and why.
    fn begun(&mut self, step: usize, steps_total: usize, warnings: &[String]) {
        let _ = (step, steps_total, warnings);
    }

    /// Whether to save and stop without finishing the step that is under way; asked between its micro-batches.
    fn stop_requested(&mut self) -> bool {
        false
    }

    /// A step was taken.
    fn stepped(&mut self, report: &StepReport) -> AfterStep;

    /// The held-out rows were measured.
    fn evaluated(&mut self, report: &EvaluationReport) {
        let _ = report;
    }
}

impl<F: FnMut(&StepReport) -> AfterStep> TrainingObserver for F {
    fn stepped(&mut self, report: &StepReport) -> AfterStep {
        self(report)
    }
}

/// What the observer of a run asks for after a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterStep {
    /// Go on.
    Continue,
    /// Save a checkpoint and return; a later run resumes from it.
    SaveAndStop,
}

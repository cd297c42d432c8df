//! The trainer: token-mean cross-entropy over whole optimizer steps, explicit gradients, AdamW, exact resume.
//!
//! It takes samples of token ids and knows nothing of datasets, plugins or prompts. It drops nothing silently, and it
//! starts only after an audit has seen a gradient on every trained tensor and samples that do not see each other.

mod config;
mod error;
mod sample;
mod train;

mod batches;
mod length_groups;
mod packing;

mod audit;
mod learner;
mod optimizer;
mod precision;
mod schedule;

mod calibration;
mod plan;

mod checkpoint;
mod evaluation;
mod validation;

#[cfg(test)]
mod tests;

pub use config::{LearningRateSchedule, OptimizerKind, TrainingConfig, TrainingMode};
pub use error::TrainingError;
pub use evaluation::{EvaluationReport, PassAt1, Validation};
pub use learner::{Learner, StepNumbers, StepOptions};
pub use plan::{CALIBRATION_PARTS, MemoryPlan, PlanRequest, TimePlan, TrainingPlan, plan};
pub use precision::ComputePrecision;
pub use sample::TrainingSample;
pub use train::{
    AfterStep, Preparation, StartingPoint, StepReport, TrainingObserver, TrainingOutcome, TrainingRun, hash_of_base,
    train,
};
pub use validation::{BestStep, ValidationConfig, ValidationMetric};

#[cfg(test)]
#[path = "../../../tests/support/small_model.rs"]
#[allow(dead_code, reason = "not every crate that includes the file uses all of it")]
mod small_model;

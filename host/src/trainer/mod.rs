//! The trainer: token-mean cross-entropy over whole optimizer steps, explicit gradients, AdamW, exact resume.
//!
//! It takes samples of token ids and knows nothing of datasets, plugins or prompts. It drops nothing silently, and it
//! starts only after an audit has seen a gradient on every trained tensor.

mod batches;
mod checkpoint;
mod config;
mod error;
mod learner;
mod sample;
mod schedule;
mod train;

pub use config::{LearningRateSchedule, OptimizerKind, TrainingConfig, TrainingMode};
pub use error::TrainingError;
pub use learner::{Learner, StepNumbers, StepOptions};
pub use sample::TrainingSample;
pub use train::{AfterStep, StartingPoint, StepReport, TrainingOutcome, TrainingRun, train};

//! The trainer: token-mean cross-entropy over whole optimizer steps, explicit gradients, AdamW, exact resume.
//!
//! It takes samples of token ids and knows nothing of datasets, plugins or prompts. It drops nothing silently, and it
//! starts only after an audit has seen a gradient on every trained tensor and samples that do not see each other.
//!
//! # As a library
//!
//! A base, some samples and two folders are a training; nothing of it knows wasmtime.
//!
//! ```
//! use std::path::Path;
//!
//! use hilora_contract::artifact::ContentHash;
//! use hilora_model::{BaseFiles, LoraConfig, ModelError, Tokenizer};
//! use hilora_trainer::{AfterStep, StartingPoint, StepReport, TrainingConfig, TrainingRun, TrainingSample, train};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let base = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/tiny-base");
//! let tokenizer = Tokenizer::load(&base)?;
//!
//! // The prompt is read, and the answer is learned.
//! let sample = |prompt: &str, answer: &str| -> Result<TrainingSample, ModelError> {
//!     let (prompt, answer) = (tokenizer.encode_content(prompt)?, tokenizer.encode_content(answer)?);
//!     let trained = [vec![false; prompt.len()], vec![true; answer.len()]].concat();
//!     Ok(TrainingSample { tokens: [prompt, answer].concat(), trained })
//! };
//! let samples = [
//!     sample("Add two numbers.\n", "print(int(input()) + int(input()))\n")?,
//!     sample("Print a line in reverse.\n", "print(input()[::-1])\n")?,
//!     sample("Count the words of a line.\n", "print(len(input().split()))\n")?,
//! ];
//!
//! let config: TrainingConfig = serde_json::from_str(
//!     r#"{"mode": "lora", "num_epochs": 10, "batch_size": 3, "learning_rate": 1e-2, "max_seq_length": 64}"#,
//! )?;
//! let lora: LoraConfig = serde_json::from_str(r#"{"r": 4, "lora_alpha": 8}"#)?;
//! let work = tempfile::tempdir()?;
//! let run = TrainingRun {
//!     base: StartingPoint::Checkpoint(base.clone()),
//!     base_files: BaseFiles::hashed(&base, &mut |_, _| ())?,
//!     base_model: Some("examples/tiny-base"),
//!     program: ContentHash::of(b"program"),
//!     config: &config,
//!     lora: Some(&lora),
//!     seed: 1,
//!     samples: &samples,
//!     validation: None,
//!     checkpoints: &work.path().join("checkpoints"),
//!     output: &work.path().join("adapter"),
//! };
//!
//! // The observer sees every step, and may ask to save and stop.
//! let mut losses = Vec::new();
//! let outcome = train(&run, &mut |report: &StepReport| {
//!     println!("step {} of {}: loss {:.3}", report.step, report.steps_total, report.loss);
//!     losses.push(report.loss);
//!     AfterStep::Continue
//! })?;
//! assert!(outcome.finished);
//! assert!(losses[9] < losses[0], "{losses:?}");
//! // PEFT loads what stands there.
//! assert!(work.path().join("adapter/adapter_model.safetensors").exists());
//! # Ok(())
//! # }
//! ```

mod config;
mod error;
mod sample;

mod observer;
mod outcome;
mod run;
mod train;

mod batches;
mod length_groups;
mod packing;

mod audit;
mod learner;
mod optimizer;
mod optimizer_kind;
mod precision;
mod schedule;

mod calibration;
mod plan;

mod checkpoint;
mod save_schedule;

mod evaluation;
mod validation;

#[cfg(test)]
mod tests;

pub use config::{TrainingConfig, TrainingMode};
pub use error::{MeasurementError, TrainingError};
pub use evaluation::{EvaluationReport, PassAt1, Validation};
pub use learner::{Learner, LearnerOptions, StepNumbers, StepOptions};
pub use observer::{AfterStep, Preparation, StepReport, TrainingObserver};
pub use optimizer_kind::OptimizerKind;
pub use outcome::TrainingOutcome;
pub use plan::{CALIBRATION_PARTS, MemoryPlan, PlanRequest, TimePlan, TrainingPlan, plan};
pub use precision::ComputePrecision;
pub use run::{StartingPoint, TrainingRun};
pub use sample::TrainingSample;
pub use schedule::LearningRateSchedule;
pub use train::train;
pub use validation::{BestStep, ValidationConfig, ValidationMetric};

#[cfg(test)]
#[path = "../../../tests/support/small_model.rs"]
#[allow(dead_code, reason = "not every crate that includes the file uses all of it")]
mod small_model;

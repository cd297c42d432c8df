//! A training run.

use std::path::{Path, PathBuf};

use super::{TrainingConfig, TrainingError, TrainingSample};
use crate::model::LoraConfig;

/// Where the weights come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StartingPoint {
    /// A folder of the Hugging Face layout with weights.
    Checkpoint(PathBuf),
    /// A folder with `config.json` (and tokenizer files); the weights are drawn from the run's seed. Mode full only.
    Random(PathBuf),
}

/// Everything that decides a training run.
pub struct TrainingRun<'a> {
    /// Where the weights come from.
    pub base: StartingPoint,
    /// How it is trained.
    pub config: &'a TrainingConfig,
    /// The adapter's shape; not read in mode full.
    pub lora: &'a LoraConfig,
    /// Keys the order of samples, dropout and new weights.
    pub seed: u64,
    /// What is learned.
    pub samples: &'a [TrainingSample],
    /// Checkpoints stand here, `step-<n>` each. A run that finds its own checkpoint resumes from the newest.
    pub checkpoints: &'a Path,
    /// The adapter (PEFT layout) or, in mode full, the model (Hugging Face layout) is written here.
    pub output: &'a Path,
}

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

/// What the observer of a run asks for after a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterStep {
    /// Go on.
    Continue,
    /// Save a checkpoint and return; a later run resumes from it.
    SaveAndStop,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct TrainingOutcome {
    /// Steps done, those before a resume included.
    pub steps: usize,
    /// Steps of the whole run.
    pub steps_total: usize,
    /// Whether all steps were done and the output was written.
    pub finished: bool,
    /// The step this process resumed from.
    pub resumed_from: Option<usize>,
    /// The last step's loss.
    pub final_loss: f64,
    /// Indices of the samples that were longer than `max_seq_length` and were left out.
    pub samples_too_long: Vec<usize>,
    /// Number of trained parameters.
    pub trained_parameters: usize,
}

/// Trains. The observer sees every step and may ask to stop.
pub fn train(
    _run: &TrainingRun<'_>,
    _observer: &mut dyn FnMut(&StepReport) -> AfterStep,
) -> Result<TrainingOutcome, TrainingError> {
    unimplemented!()
}

//! What stops a training run: each error names the sample, the step or the tensor.

use std::path::PathBuf;

use crate::model::ModelError;

/// An error of the trainer.
#[derive(Debug, thiserror::Error)]
pub enum TrainingError {
    /// The configuration is wrong in these ways.
    #[error("{}", .0.join("\n"))]
    Config(Vec<String>),
    /// A sample cannot be learned from.
    #[error("sample {sample}: {problem}")]
    Sample {
        /// Its index.
        sample: usize,
        /// What is wrong with it.
        problem: String,
    },
    /// No sample is left to train on.
    #[error("no sample to train on: {given} given, {too_long} of them longer than max_seq_length {max_seq_length}")]
    NoSamples {
        /// How many were given.
        given: usize,
        /// How many were too long.
        too_long: usize,
        /// The limit.
        max_seq_length: usize,
    },
    /// The audit before the first step found a trained tensor without a gradient.
    #[error("audit before step 0: no gradient reaches `{tensor}`")]
    NoGradient {
        /// The tensor.
        tensor: String,
    },
    /// A number stopped being one.
    #[error("step {step}: {what} is {value}\nhint: lower the learning rate or check the data of this step")]
    NotFinite {
        /// The step.
        step: usize,
        /// The loss, or the tensor whose gradient it is.
        what: String,
        /// NaN or an infinity.
        value: f64,
    },
    /// A checkpoint does not belong to this run or is damaged.
    #[error("{path}: {problem}")]
    Checkpoint {
        /// The checkpoint.
        path: PathBuf,
        /// What was expected and what was found.
        problem: String,
    },
    /// The model, the adapter or the tokenizer.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A tensor operation failed.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
}

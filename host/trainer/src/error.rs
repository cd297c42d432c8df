//! What stops a training run: each error names the sample, the step or the tensor.

use std::fmt;
use std::path::PathBuf;

use hilora_contract::fault::{BadInput, Blame, Fault};
use hilora_model::{ModelError, blame_of_operation};

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
    #[error(
        "no sample to train on: {given} given, {without_targets} of them without a target among their first \
         {max_seq_length} tokens (training.max_seq_length)"
    )]
    NoSamples {
        /// How many were given.
        given: usize,
        /// How many lose all their targets when they are cut.
        without_targets: usize,
        /// The limit.
        max_seq_length: usize,
    },
    /// The audit before the first step found a trained tensor without a gradient.
    #[error("audit before step 0: no gradient reaches `{tensor}`")]
    NoGradient {
        /// The tensor.
        tensor: String,
    },
    /// Samples that share a row see each other.
    #[error(
        "audit before step 0: sample {sample}: its logits beside other samples are {distance:.1e} off those it has \
         alone, expected at most {bound:.0e}"
    )]
    NotIsolated {
        /// The sample.
        sample: usize,
        /// The relative distance.
        distance: f64,
        /// What rounding alone may make of it.
        bound: f64,
    },
    /// A number became NaN or infinite.
    #[error("step {step}: {what} is {value}{}", rows(samples))]
    NotFinite {
        /// The step.
        step: usize,
        /// The loss, or the tensor whose gradient it is.
        what: String,
        /// NaN or an infinity.
        value: f64,
        /// The samples of the step, as indices into those that were given: rows of the data's file.
        samples: Vec<usize>,
    },
    /// The measurement of the held-out problems failed.
    #[error("measuring after step {step}: {source}")]
    Measurement {
        /// The step.
        step: usize,
        /// What went wrong.
        source: MeasurementError,
    },
    /// A checkpoint does not belong to this run or is damaged.
    #[error("{path}: {problem}")]
    Checkpoint {
        /// The checkpoint.
        path: PathBuf,
        /// What was expected and what was found.
        problem: BadInput,
    },
    /// Something that this crate makes is not as it must be.
    #[error("{0}")]
    Defect(String),
    /// The model, the adapter or the tokenizer.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A tensor operation failed.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
}

/// What the measurement of held-out problems failed with: it keeps its blame and its hints.
#[derive(Debug)]
pub struct MeasurementError(pub Box<dyn Fault + Send + Sync>);

impl fmt::Display for MeasurementError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for MeasurementError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source()
    }
}

impl Fault for MeasurementError {
    fn blame(&self) -> Blame {
        self.0.blame()
    }

    fn hints(&self) -> Vec<String> {
        self.0.hints()
    }
}

impl Fault for TrainingError {
    fn blame(&self) -> Blame {
        match self {
            Self::Config(_) | Self::Sample { .. } | Self::NoSamples { .. } | Self::NotFinite { .. } => Blame::User,
            Self::Checkpoint { problem, .. } => problem.blame(),
            // The audit looks for what would be wrong with the trainer, not with what it is given.
            Self::NoGradient { .. } | Self::NotIsolated { .. } | Self::Defect(_) => Blame::Ours,
            Self::Measurement { source, .. } => source.blame(),
            Self::Model(error) => error.blame(),
            Self::Tensor(error) => blame_of_operation(error),
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::NotFinite { .. } => {
                vec!["lower the learning rate or check the data of this step; the last checkpoint is kept".to_owned()]
            }
            Self::Checkpoint { problem, .. } => problem.hints(),
            Self::Measurement { source, .. } => source.hints(),
            Self::Model(error) => error.hints(),
            Self::Config(_)
            | Self::Sample { .. }
            | Self::NoSamples { .. }
            | Self::NoGradient { .. }
            | Self::NotIsolated { .. }
            | Self::Defect(_)
            | Self::Tensor(_) => Vec::new(),
        }
    }
}

/// The rows of a step, in words.
fn rows(samples: &[usize]) -> String {
    if samples.is_empty() {
        return String::new();
    }
    let list: Vec<String> = samples.iter().map(usize::to_string).collect();
    format!("; its batch is rows {} (counted from 0)", list.join(", "))
}

//! The configuration of `hilora-host model pretrain`: a small base model from scratch, on documents of plain text.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{ConfigError, parse_file, report};
use hilora_trainer::{TrainingConfig, TrainingMode};

/// Everything that makes a base model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PretrainingConfig {
    /// A folder with `config.json` (the architecture) and `tokenizer.json`.
    pub architecture: PathBuf,
    /// The corpus: a JSON object per line, with exactly the field `text`.
    pub documents: PathBuf,
    /// The folder that the model is written to.
    pub output: PathBuf,
    /// The token that ends every document, for example `<|endoftext|>`.
    pub end_of_document: String,
    /// The seed of the initial weights and of the documents' order.
    #[serde(default)]
    pub seed: u64,
    /// How it is trained; `mode` must be `full`.
    pub training: TrainingConfig,
}

impl PretrainingConfig {
    /// Reads and checks a pretraining configuration.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let config: Self = parse_file(path)?;
        let mut problems = config.training.validate();
        if config.training.mode != TrainingMode::Full {
            problems.push("training.mode: expected `full`, because a new model has no frozen part".into());
        }
        report(path, problems)?;
        Ok(config)
    }
}

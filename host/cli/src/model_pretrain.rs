//! `hilora-host model pretrain CONFIG`: a small base model from scratch, on documents of plain text.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;
use serde::Deserialize;

use super::failure::BadInput;
use super::training_watch::{WatchFiles, observed_training};
use super::{Console, ExitStatus};
use hilora_model::Tokenizer;
use hilora_run::config::PretrainingConfig;
use hilora_trainer::{StartingPoint, TrainingRun, TrainingSample, hash_of_base};

/// Train a small base model from scratch on plain text.
#[derive(Debug, Args)]
pub(super) struct PretrainCommand {
    /// The configuration, for example examples/tiny-base/pretrain.yaml
    config: PathBuf,
}

/// One line of the corpus.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    text: String,
}

/// The corpus as samples in which every token is a target.
fn read_documents(path: &Path, tokenizer: &Tokenizer, end: u32) -> Result<Vec<TrainingSample>> {
    let file = std::fs::File::open(path)
        .map_err(|error| BadInput::new(format!("cannot read the documents {}: {error}", path.display())))?;
    let mut samples = Vec::new();
    for (row, line) in BufReader::new(file).lines().enumerate() {
        let line = line.with_context(|| format!("cannot read {} row {row}", path.display()))?;
        let document: Document = serde_json::from_str(&line).map_err(|error| {
            BadInput::new(format!("{} row {row}: expected {{\"text\": …}}: {error}", path.display()))
        })?;
        let mut tokens = tokenizer.encode_control(&document.text)?;
        tokens.push(end);
        let trained = vec![true; tokens.len()];
        samples.push(TrainingSample { tokens, trained });
    }
    Ok(samples)
}

impl PretrainCommand {
    pub(super) fn execute(&self, console: Console) -> Result<ExitStatus> {
        let config = PretrainingConfig::load(&self.config)?;
        let tokenizer = Tokenizer::load(&config.architecture)?;
        let end = tokenizer.token_id(&config.end_of_document).ok_or_else(|| {
            BadInput::new(format!(
                "end_of_document: `{}` is not a token of {}",
                config.end_of_document,
                config.architecture.join("tokenizer.json").display()
            ))
        })?;
        let samples = read_documents(&config.documents, &tokenizer, end)?;
        let checkpoints = config.output.join("checkpoints");
        let run = TrainingRun {
            base: StartingPoint::Random(config.architecture.clone()),
            base_hash: hash_of_base(&config.architecture)?,
            config: &config.training,
            lora: None,
            seed: config.seed,
            samples: &samples,
            validation: None,
            checkpoints: &checkpoints,
            output: &config.output,
        };
        let files =
            WatchFiles { metrics: config.output.join("metrics.jsonl"), tensorboard: config.output.join("tensorboard") };
        let outcome = observed_training(&run, "pretrain", &files, console)?;
        let text = format!(
            "trained {} parameters for {} steps of {}, last loss {:.4}: {}",
            outcome.trained_parameters,
            outcome.steps,
            outcome.steps_total,
            outcome.final_loss,
            config.output.display()
        );
        console.result(&outcome, &text)?;
        Ok(if outcome.finished { ExitStatus::Done } else { ExitStatus::Interrupted })
    }
}

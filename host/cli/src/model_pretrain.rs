//! `hilora-host model pretrain CONFIG`: a small base model from scratch, on documents of plain text.

use std::path::{Path, PathBuf};

use clap::Args;
use hilora_contract::artifact::JsonRow;
use hilora_model::{BaseFiles, Tokenizer};
use hilora_run::config::PretrainingConfig;
use hilora_run::{WatchFiles, program_hash, read_rows, watched_training};
use hilora_trainer::{StartingPoint, TrainingRun, TrainingSample};
use serde::Deserialize;

use super::console::Console;
use super::failure::{ExitStatus, Failure, Result};
use super::stages::interrupted;

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

impl JsonRow for Document {
    const EXPECTED: &'static str = "a document, {\"text\": …}";
}

/// The corpus as samples in which every token is a target.
fn read_documents(path: &Path, tokenizer: &Tokenizer, end: u32) -> Result<Vec<TrainingSample>> {
    let documents: Vec<Document> = read_rows(path)?;
    let mut samples = Vec::new();
    for document in documents {
        let mut tokens = tokenizer.encode_control(&document.text)?;
        tokens.push(end);
        let trained = vec![true; tokens.len()];
        samples.push(TrainingSample { tokens, trained });
    }
    Ok(samples)
}

impl PretrainCommand {
    pub(super) fn execute(&self, console: &Console) -> Result<ExitStatus> {
        let config = PretrainingConfig::load(&self.config)?;
        let tokenizer = Tokenizer::load(&config.architecture)?;
        let end = tokenizer.token_id(&config.end_of_document).ok_or_else(|| {
            let tokenizer = config.architecture.join("tokenizer.json");
            Failure::bad_input(
                format!("end_of_document: `{}` is not a token of {}", config.end_of_document, tokenizer.display()),
                "`end_of_document` names the token that ends every document, such as <|endoftext|>",
            )
        })?;
        let samples = read_documents(&config.documents, &tokenizer, end)?;
        let checkpoints = config.output.join("checkpoints");
        let run = TrainingRun {
            base: StartingPoint::Random(config.architecture.clone()),
            base_files: BaseFiles::hashed(&config.architecture, &mut |_, _| ())?,
            base_model: None,
            program: program_hash()?,
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
        let observer = console.observer()?;
        let outcome = watched_training(&run, "pretrain", &files, &observer)?;
        let text = format!(
            "trained {} parameters for {} steps of {}, last loss {:.4}: {}",
            outcome.trained_parameters,
            outcome.steps,
            outcome.steps_total,
            outcome.final_loss,
            config.output.display()
        );
        console.result(&outcome, &text)?;
        Ok(if outcome.finished { ExitStatus::Done } else { interrupted(observer.signal()) })
    }
}

//! `hilora-host gate`: holds a finished evaluation to the gate again, without measuring anything. It believes no figure that
//! does not follow from the samples in the same file.

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use super::console::Console;
use super::failure::{ExitStatus, Result};
use hilora_evaluator::{EvaluationRecord, GateConfig, GateDecision, GateMeasurements, Latency};
use hilora_run::config::RunConfig;
use hilora_run::require_judged;

/// Which evaluation, and which thresholds.
#[derive(Debug, Args)]
pub(super) struct GateCommand {
    /// The `evaluation.json` of a run
    #[arg(long, value_name = "FILE")]
    evaluation: PathBuf,
    /// Its timings [default: latency.json beside the evaluation]
    #[arg(long, value_name = "FILE")]
    latency: Option<PathBuf>,
    /// The config with the thresholds [default: config.yaml beside the evaluation, or else the built-in thresholds]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// What a machine reads.
#[derive(Serialize)]
struct Answer {
    adapter_name: String,
    thresholds: GateConfig,
    #[serde(flatten)]
    decision: GateDecision,
}

impl GateCommand {
    /// Decides and prints the decision; the exit code is 3 if the gate says no.
    pub(super) fn execute(&self, console: &Console) -> Result<ExitStatus> {
        let record = EvaluationRecord::read(&self.evaluation)?;
        require_judged(&record)?;
        let latency = Latency::read(&self.latency.clone().unwrap_or_else(|| beside(&self.evaluation, "latency.json")))?;
        let thresholds = self.thresholds()?;
        let decision = thresholds.decide(&GateMeasurements::of(&record.comparison, &latency));
        let status = if decision.passed { ExitStatus::Done } else { ExitStatus::GateRefused };
        let text = format!("{}\n{decision}", record.adapter_name);
        console.result(&Answer { adapter_name: record.adapter_name, thresholds, decision }, &text)?;
        Ok(status)
    }

    fn thresholds(&self) -> Result<GateConfig> {
        let of_run = beside(&self.evaluation, "config.yaml");
        match &self.config {
            Some(path) => Ok(RunConfig::load(path)?.gate),
            None if of_run.is_file() => Ok(RunConfig::load(&of_run)?.gate),
            None => Ok(GateConfig::default()),
        }
    }
}

fn beside(file: &Path, name: &str) -> PathBuf {
    file.with_file_name(name)
}

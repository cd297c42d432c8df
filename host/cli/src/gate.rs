//! `hilora-host gate`: holds a finished evaluation to the gate again, without measuring anything. It believes no figure that
//! does not follow from the samples in the same file, and nothing of a run's folder that is not as the run has written it.
//! The decision is written down beside the evaluation, with the hashes of what was read.

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use super::console::Console;
use super::failure::{ExitStatus, Failure, Result};
use hilora_contract::artifact::Output;
use hilora_evaluator::{EvaluationRecord, GateConfig, GateDecision, GateMeasurements, GateRecord, Latency};
use hilora_run::config::RunConfig;
use hilora_run::{require_as_measured, require_judged};

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
    /// Where the decision is written, with the hashes of what was read [default: gate.json beside the evaluation]
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
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
        let latency_file = self.latency.clone().unwrap_or_else(|| beside(&self.evaluation, "latency.json"));
        let latency = Latency::read(&latency_file)?;
        let adapter = require_as_measured(&self.evaluation, &record)?;
        let config = self.config_file();
        let thresholds = config.as_ref().map(|path| RunConfig::load(path)).transpose()?;
        let thresholds = thresholds.map(|config| config.gate).unwrap_or_default();
        let decision = thresholds.decide(&GateMeasurements::of(&record.comparison, &latency));
        let status = if decision.passed { ExitStatus::Done } else { ExitStatus::GateRefused };
        let read = [Some(&self.evaluation), Some(&latency_file), config.as_ref()];
        let read: Vec<&Path> = read.into_iter().flatten().map(PathBuf::as_path).collect();
        let output = self.output.clone().unwrap_or_else(|| beside(&self.evaluation, "gate.json"));
        let mut output = Output::create(&output, &read)?;
        if output.is_standard() {
            return Err(Failure::bad_input("--output: expected a file, got `-`", "`--json` prints the decision"));
        }
        output.append(&GateRecord::new(&record, thresholds, decision.clone(), &read, adapter)?.bytes())?;
        output.commit()?;
        let text = format!("{}\n{decision}", record.adapter_name);
        console.result(&Answer { adapter_name: record.adapter_name, thresholds, decision }, &text)?;
        Ok(status)
    }

    /// The config with the thresholds; none if the built-in ones hold.
    fn config_file(&self) -> Option<PathBuf> {
        let of_run = beside(&self.evaluation, "config.yaml");
        self.config.clone().or_else(|| of_run.is_file().then_some(of_run))
    }
}

fn beside(file: &Path, name: &str) -> PathBuf {
    file.with_file_name(name)
}

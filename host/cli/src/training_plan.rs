//! `hilora-host train --plan`: what a training would take in memory and time, told before a base is downloaded or loaded.
//!
//! Of the base its description is enough. Rows that are not there yet, or that no tokenizer is there for, are assumed: as
//! many as `data.min_examples`, each of `training.max_seq_length` tokens.

use std::path::Path;

use hilora_model::{ModelConfig, StoredType, Tokenizer, stored_block_bytes};
use hilora_run::metrics::resident_bytes;
use hilora_run::{DataFile, Run, memory_bytes, read_rows, tokenize, training_rows, try_out_formatter};
use hilora_trainer::{CALIBRATION_PARTS, PlanRequest, TrainingPlan, TrainingSample, Validation, plan};
use serde::Serialize;

use super::console::Console;
use super::failure::{ExitStatus, Result};

/// Rows that are assumed where the config asks for none.
const ASSUMED_ROWS: usize = 1000;

/// A plan and what it stands on.
#[derive(Serialize)]
struct PlanReport {
    #[serde(flatten)]
    plan: TrainingPlan,
    /// Whether rows were assumed, because there are none yet.
    rows_assumed: bool,
    /// The machine's memory in bytes.
    machine_memory_bytes: Option<u64>,
}

/// Makes the plan of a run's training and tells it.
pub(super) fn show_plan(run: &Run, console: &Console) -> Result<ExitStatus> {
    let config = &run.config;
    let observer = console.observer()?;
    let base = run.base.description(&observer)?;
    let tokenizer = base.join("tokenizer.json").is_file().then(|| Tokenizer::load(&base)).transpose()?;
    let formatter = run.plugins.formatter(config.chat_template, || Ok(base.clone()))?;
    // A plan for a training that would be refused is none.
    try_out_formatter(&*formatter, tokenizer.as_ref(), config.specialist_type())?;
    let rows_of = |file: &Path, label: &str| -> Result<Option<Vec<TrainingSample>>> {
        let Some(tokenizer) = tokenizer.as_ref().filter(|_| file.is_file()) else { return Ok(None) };
        let lessons = read_rows(file)?;
        let samples = tokenize(&*formatter, tokenizer, config.specialist_type(), &lessons, label, &observer)?;
        Ok(Some(samples).filter(|samples| !samples.is_empty()))
    };
    let has_rows = run.data.path(DataFile::Train).is_file();
    let known = if has_rows { rows_of(&training_rows(run)?, "plan: tokenize")? } else { None };
    let rows_assumed = known.is_none();
    let samples = known.unwrap_or_else(|| {
        let rows = if config.data.min_examples > 0 { config.data.min_examples } else { ASSUMED_ROWS };
        vec![TrainingSample::plain(vec![0; config.training.max_seq_length]); rows]
    });
    let held_out = match &config.validation {
        Some(validation) => {
            rows_of(&run.data.path(DataFile::Eval), "plan: tokenize held-out rows")?.map(|rows| (validation, rows))
        }
        None => None,
    };
    let bar = console.progress().bar("plan: calibrate", CALIBRATION_PARTS, "parts");
    let model = ModelConfig::load(&base)?;
    let request = PlanRequest {
        model: &model,
        stored: StoredType::load(&base)?,
        block_bytes: stored_block_bytes(&base, &model),
        training: &config.training,
        compute: config.training.precision()?.computed,
        lora: &config.lora,
        seed: config.seed,
        samples: &samples,
        validation: held_out.as_ref().map(|(config, samples)| Validation { config, samples, pass_at_1: None }),
        process_bytes: resident_bytes().unwrap_or_default(),
    };
    let plan = plan(&request, &mut || bar.advance(1))?;
    bar.finish();
    let report = PlanReport { plan, rows_assumed, machine_memory_bytes: memory_bytes() };
    console.result(&report, &report.text())?;
    Ok(ExitStatus::Done)
}

impl PlanReport {
    fn text(&self) -> String {
        let TrainingPlan { memory, time, .. } = &self.plan;
        let assumed = if self.rows_assumed { " (assumed: there are none yet)" } else { "" };
        let mut lines = vec![format!(
            "plan: {} rows{assumed}, {} steps, {} tokens; the largest micro-batch has {} tokens",
            self.plan.rows, self.plan.steps, self.plan.tokens, self.plan.largest_micro_batch
        )];
        lines.push("memory at its peak".to_owned());
        for (bytes, what) in [
            (memory.process, "program, tokenizer and rows"),
            (memory.blocks, "weights of the blocks"),
            (memory.tables, "embedding and output layer"),
            (memory.adapter, "adapter and its gradients"),
            (memory.optimizer, "optimizer's state"),
            (memory.activations, "activations"),
            (memory.total, "together"),
        ] {
            lines.push(format!("  {:>10}  {what}", gigabytes(bytes)));
        }
        if let Some(machine) = self.machine_memory_bytes.filter(|machine| *machine < memory.total) {
            lines.push(format!(
                "  this machine has {}: take a smaller training.batch_size or max_seq_length{}",
                gigabytes(machine),
                if self.plan.gradient_checkpointing { "" } else { ", or gradient_checkpointing: true" }
            ));
        }
        lines.push(format!("time, from {:.0} s of calibration", time.calibration));
        lines.push(format!("  {:>10}  a step, {:.0} tokens/s", duration(time.step), time.tokens_per_second));
        if let Some(seconds) = time.evaluation {
            lines.push(format!("  {:>10}  an evaluation's loss", duration(seconds)));
        }
        lines.push(format!("  {:>10}  all steps and evaluations", duration(time.total)));
        if time.without_pass_at_1 {
            lines.push("  what measuring pass@1 takes is not in it".to_owned());
        }
        lines.join("\n")
    }
}

fn gigabytes(bytes: u64) -> String {
    format!("{:.2} GB", bytes as f64 / 1e9)
}

fn duration(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    match whole {
        0..10 => format!("{seconds:.2} s"),
        10..600 => format!("{seconds:.0} s"),
        600..36_000 => format!("{} min", whole.div_ceil(60)),
        _ => format!("{} h", whole.div_ceil(3600)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_unit_that_fits() {
        let told: Vec<_> = [0.034, 9.4, 75.0, 3000.0, 90_000.0].map(duration).into();
        assert_eq!(told, ["0.03 s", "9.40 s", "75 s", "50 min", "25 h"]);
    }
}

//! `hilora-host evaluate`: the measuring stage alone, with its closing table.

use std::path::PathBuf;

use clap::Args;
use hilora_evaluator::Report;
use hilora_run::{EvaluateStage, Measured, StageState, drive};
use serde::Serialize;

use super::console::Console;
use super::evaluate_completions::CompletionsArguments;
use super::evaluation_plan::show_plan;
use super::failure::{ExitStatus, Failure, Result};
use super::job_arguments::JobArguments;
use super::stage_summary::summary;
use super::stages::{interrupted, is_interrupted};

/// Measure adapter and base on the held-out problems, or completions of any model.
#[derive(Debug, Args)]
pub(super) struct EvaluateCommand {
    #[command(flatten)]
    job: JobArguments,
    /// Measure the adapter in this folder, whatever made it; the evaluation says so [default: the run's own, as it was
    /// trained]
    #[arg(long, value_name = "FOLDER")]
    adapter: Option<PathBuf>,
    /// Measure the run's adapter also with another formatter or chat template than it was trained with; the evaluation says
    /// so
    #[arg(long)]
    other_formatter: bool,
    #[command(flatten)]
    given: CompletionsArguments,
    /// Tell what would be drawn, how long that may take and the smallest difference that it can show; load no model and
    /// write nothing
    #[arg(long)]
    plan: bool,
    /// The difference of pass@1 to plan for, in points [default: 5]
    #[arg(long, value_name = "POINTS", requires = "plan", value_parser = points)]
    wish: Option<f64>,
}

/// Reads a difference that problems can be planned for.
fn points(text: &str) -> std::result::Result<f64, String> {
    match text.parse() {
        Ok(points) if (0.1..=100.0).contains(&points) => Ok(points),
        _ => Err("expected points from 0.1 to 100".to_owned()),
    }
}

/// What a machine reads.
#[derive(Serialize)]
struct Answer<'a> {
    /// Whether nothing that the measurement reads has changed, so that it was read from its file.
    unchanged: bool,
    #[serde(flatten)]
    measured: &'a Measured,
}

impl EvaluateCommand {
    pub(super) fn execute(&self, console: &Console) -> Result<ExitStatus> {
        if let Some((option, beside)) = self.given.stray() {
            let hint = "`--completions FILE` names what a model answered; without it the run's adapter is measured";
            return Err(Failure::bad_input(format!("{option}: expected {beside} beside it"), hint));
        }
        if self.given.are_given() {
            return self.given.execute(&self.job, console);
        }
        let observer = console.observer()?;
        if self.plan {
            return show_plan(&self.job.open_to_plan(self.given.of_run())?, self.wish, &observer, console);
        }
        let (adapter, benchmark) = (self.adapter.clone(), self.given.of_run());
        let run = self.job.open_to_measure(adapter, benchmark, self.other_formatter)?;
        for result in drive(&run, &[Box::new(EvaluateStage)], &observer)? {
            match &result.state {
                StageState::Unchanged | StageState::Ran(_) => {
                    let measured = Measured::read(&run)?;
                    let Measured { record, latency, problems } = &measured;
                    let table = Report { record, latency, decision: None, problems, training: None }.to_string();
                    let unchanged = matches!(result.state, StageState::Unchanged);
                    console.result(&Answer { unchanged, measured: &measured }, &table)?;
                }
                StageState::NotNeeded | StageState::WouldRun(_) | StageState::Interrupted(_) => {
                    console.result(&result, &summary(&result).unwrap_or_default())?;
                }
            }
            if is_interrupted(&result) {
                return Ok(interrupted(observer.signal()));
            }
        }
        Ok(ExitStatus::Done)
    }
}

//! `hilora-host train`: the training stage alone, or the plan of it.

use clap::Args;
use hilora_run::{Answers, TrainStage};

use super::console::Console;
use super::failure::{ExitStatus, Result};
use super::job_arguments::JobArguments;
use super::stages::run_stage;
use super::training_plan::show_plan;

/// Train the adapter on the prepared data.
#[derive(Debug, Args)]
pub(super) struct TrainCommand {
    #[command(flatten)]
    job: JobArguments,
    /// Tell what the training would take in memory and time on this machine, after a short calibration; write nothing
    #[arg(long)]
    plan: bool,
}

impl TrainCommand {
    pub(super) fn execute(&self, console: &Console) -> Result<ExitStatus> {
        if self.plan {
            return show_plan(&self.job.open_to_read()?, console);
        }
        run_stage(&self.job.open()?, Box::new(TrainStage { answers: Answers::Own }), console)
    }
}

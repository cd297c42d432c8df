//! `hilora-host prepare`: the stage of that name alone.

use clap::Args;
use hilora_run::PrepareStage;

use super::console::Console;
use super::failure::{ExitStatus, Result};
use super::job_arguments::JobArguments;
use super::stages::run_stage;

/// Load, verify, classify, deduplicate, split, decontaminate and weigh a dataset.
#[derive(Debug, Args)]
pub(super) struct PrepareCommand {
    #[command(flatten)]
    job: JobArguments,
}

impl PrepareCommand {
    pub(super) fn execute(&self, console: &Console) -> Result<ExitStatus> {
        run_stage(&self.job.open()?, Box::new(PrepareStage), console)
    }
}

//! `hilora-host enrich`: the stage of that name alone.

use clap::Args;
use hilora_run::EnrichStage;

use super::console::Console;
use super::failure::{ExitStatus, Result};
use super::job_arguments::JobArguments;
use super::stages::run_stage;

/// Ask a model for the reasoning behind each training solution.
#[derive(Debug, Args)]
pub(super) struct EnrichCommand {
    #[command(flatten)]
    job: JobArguments,
}

impl EnrichCommand {
    pub(super) fn execute(&self, console: &Console) -> Result<ExitStatus> {
        run_stage(&self.job.open()?, Box::new(EnrichStage), console)
    }
}

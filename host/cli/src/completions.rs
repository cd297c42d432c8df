//! `hilora-host completions SHELL`: a completion script on standard output.

use anyhow::Result;
use clap::Args;

use super::ExitStatus;

/// Print shell completions.
#[derive(Debug, Args)]
pub(super) struct CompletionsCommand {
    /// The shell to complete for
    shell: clap_complete::Shell,
}

impl CompletionsCommand {
    pub(super) fn execute(&self, mut command: clap::Command) -> Result<ExitStatus> {
        clap_complete::generate(self.shell, &mut command, "hilora-host", &mut std::io::stdout());
        Ok(ExitStatus::Done)
    }
}

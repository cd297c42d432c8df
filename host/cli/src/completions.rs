//! `hilora-host completions SHELL`: a completion script on standard output.

use clap::Args;
use hilora_contract::artifact::write_standard_output;

use super::failure::{ExitStatus, Result};

/// Print shell completions.
#[derive(Debug, Args)]
pub(super) struct CompletionsCommand {
    /// The shell to complete for
    shell: clap_complete::Shell,
}

impl CompletionsCommand {
    pub(super) fn execute(&self, mut command: clap::Command) -> Result<ExitStatus> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut command, "hilora-host", &mut script);
        write_standard_output(&script)?;
        Ok(ExitStatus::Done)
    }
}

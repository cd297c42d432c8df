//! `hilora-host config schema`: the JSON Schema of a run's configuration, for editors.

use clap::Subcommand;

use super::console::Console;
use super::failure::{ExitStatus, Result};
use hilora_run::config::run_config_schema;

/// Look into configurations.
#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Print the JSON Schema of a run's configuration (it stands in configs/run.schema.json)
    Schema,
}

impl ConfigCommand {
    pub(super) fn execute(&self, console: &Console) -> Result<ExitStatus> {
        match self {
            Self::Schema => {
                let schema = run_config_schema();
                console.result(&schema, &format!("{schema:#}"))?;
                Ok(ExitStatus::Done)
            }
        }
    }
}

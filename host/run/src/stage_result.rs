//! What became of a stage.

use hilora_enrich::EnrichReport;
use hilora_prepare::PrepareManifest;
use hilora_trainer::TrainingOutcome;
use serde::Serialize;

use super::registration::Registration;
use super::stage_key::StageName;

/// What a stage found or did.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum StageReport {
    /// Nothing beyond its files.
    Nothing {},
    /// What became of every row.
    Prepare {
        /// What stands in `manifest.json`.
        manifest: Box<PrepareManifest>,
    },
    /// The calls and the traces.
    Enrich(EnrichReport),
    /// The steps.
    Train(Box<TrainingOutcome>),
    /// The gate's decision and the registry's entry.
    Register(Box<Registration>),
}

/// What became of a stage.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case", tag = "state")]
pub enum StageState {
    /// Nothing that it reads has changed.
    Unchanged,
    /// This run has nothing for it to do.
    NotNeeded,
    /// In a dry run: it would run; with what is known of that.
    WouldRun(StageReport),
    /// It ran to its end.
    Ran(StageReport),
    /// It was asked to stop, saved what it had, and the next call goes on.
    Interrupted(StageReport),
}

/// A stage and what became of it.
#[derive(Debug, Serialize)]
pub struct StageResult {
    /// Which stage.
    #[serde(rename = "stage")]
    pub name: StageName,
    /// What became of it.
    #[serde(flatten)]
    pub state: StageState,
}

//! The last stage of the main job: an adapter that passed the gate becomes a version in the registry.

use anyhow::Result;
use serde::Serialize;

use super::evaluate::Measured;
use super::job::Job;
use super::train::Answers;
use hilora_evaluator::GateDecision;
use hilora_registry::{Registry, VersionContent};

/// The registry's entry.
#[derive(Debug, Serialize)]
pub(super) struct Registered {
    /// The adapter's name.
    name: String,
    /// Its version under that name.
    version: u64,
    /// Whether the same adapter with the same evaluation was there before.
    already_there: bool,
}

impl Registered {
    /// What a person is told.
    pub(super) fn sentence(&self) -> String {
        let Self { name, version, already_there } = self;
        if *already_there {
            format!("already registered as {name} version {version}")
        } else {
            format!("registered as {name} version {version}")
        }
    }
}

/// Registers the run's adapter with what proves it.
pub(super) fn register_stage(job: &Job, measured: &Measured, decision: &GateDecision) -> Result<Registered> {
    let adapter = job.path(Answers::Own.adapter());
    let content = VersionContent {
        name: job.config.adapter_name.clone(),
        adapter: job.hash_of(&adapter)?,
        adapter_folder: adapter.display().to_string(),
        base_model: job.base_model_hash()?,
        dataset_manifest: job.hash_of(&job.path("manifest.json"))?,
        config: job.hash_of(&job.path("config.yaml"))?,
        evaluation: job.hash_of(&job.path("evaluation.json"))?,
        code_version: env!("CARGO_PKG_VERSION").to_owned(),
        summary: measured.record.summary(),
        gate: serde_json::to_value(decision)?,
        gate_passed: decision.passed,
    };
    let registration = Registry::open(&job.registry)?.register(&content)?;
    Ok(Registered {
        name: content.name,
        version: registration.version.version,
        already_there: registration.already_there,
    })
}

//! A registration: what the gate decided of a run's adapter, and the version that it became.

use std::path::PathBuf;

use hilora_evaluator::GateDecision;
use serde::Serialize;

/// The gate's decision and what followed from it.
#[derive(Debug, Serialize)]
pub struct Registration {
    /// The decision.
    pub decision: GateDecision,
    /// The registry's entry, if the gate said yes.
    pub registered: Option<RegisteredVersion>,
    /// The report's page.
    pub report: PathBuf,
    /// The closing table, for people.
    #[serde(skip)]
    pub table: String,
}

/// A version in the registry.
#[derive(Debug, Clone, Serialize)]
pub struct RegisteredVersion {
    /// The adapter's name.
    pub name: String,
    /// Its version under that name.
    pub version: u64,
    /// Whether the same adapter with the same evaluation was there before.
    pub already_there: bool,
}

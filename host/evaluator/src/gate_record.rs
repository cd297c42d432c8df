//! `gate.json`: what the gate decided, by which thresholds, and the hashes of everything that it read, so that anybody can
//! hold the decision against the files. It carries no samples and decides nothing.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::error::EvaluatorError;
use super::gate::{GateConfig, GateDecision};
use super::json_file::json_bytes;
use super::record::EvaluationRecord;
use hilora_contract::artifact::{ContentHash, FileError, write_atomic};

/// The record of one decision.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GateRecord {
    /// The adapter's name.
    pub adapter_name: String,
    /// The program's version.
    pub code_version: String,
    /// The decision.
    pub decision: GateDecision,
    /// The thresholds.
    pub thresholds: GateConfig,
    /// The SHA-256 of each file that was read, by its name.
    pub read: BTreeMap<String, ContentHash>,
    /// What made the measurement, as the evaluation tells it.
    pub made_from: BTreeMap<String, String>,
}

impl GateRecord {
    /// The record of a decision about this evaluation, which is in the first of the files that were read. `adapter` is the
    /// hash of the adapter's folder, if that lies beside it.
    pub fn new(
        record: &EvaluationRecord,
        thresholds: GateConfig,
        decision: GateDecision,
        files: &[&Path],
        adapter: Option<ContentHash>,
    ) -> Result<Self, EvaluatorError> {
        let mut read = BTreeMap::new();
        for path in files {
            let hash = ContentHash::of_file(path).map_err(|error| FileError::reading(path, error))?;
            let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
            // Two files of one name are told by their paths.
            let name = if read.contains_key(&name) { path.display().to_string() } else { name };
            read.insert(name, hash);
        }
        read.extend(adapter.map(|hash| ("adapter".to_owned(), hash)));
        Ok(Self {
            adapter_name: record.adapter_name.clone(),
            code_version: env!("CARGO_PKG_VERSION").to_owned(),
            decision,
            thresholds,
            read,
            made_from: record.made_from.clone(),
        })
    }

    /// Writes `gate.json` atomically.
    pub fn write(&self, path: &Path) -> Result<(), EvaluatorError> {
        Ok(write_atomic(path, &self.bytes())?)
    }

    /// The bytes of `gate.json`.
    pub fn bytes(&self) -> Vec<u8> {
        json_bytes(self)
    }
}

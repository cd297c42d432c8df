//! A measured folder: what lies around an `evaluation.json`, held against what was measured. Whoever decides by the record
//! decides about these files: a record, timings or an adapter that were changed since are refused by name. A record that lies
//! alone is held to nothing here.

use std::path::Path;

use hilora_contract::artifact::{ContentHash, FileError, StageLedger, hash_of_artifact};
use hilora_contract::fault::BadInput;
use hilora_evaluator::EvaluationRecord;

use super::error::RunError;
use super::stage_key::{InputName, StageName};
use super::train_stage::Answers;

const AGAIN: &str = "`hilora-host evaluate` measures what is there now";

/// Refuses what was changed since it was measured. Gives the hash of the adapter's folder, if that lies beside the record and
/// is the one that was measured.
pub fn require_as_measured(evaluation: &Path, record: &EvaluationRecord) -> Result<Option<ContentHash>, RunError> {
    let folder = evaluation.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if let Some((path, expected, got)) = StageLedger::open(folder).changed_output(StageName::Evaluate.as_str()) {
        let path = folder.join(path);
        let got = got.map_or_else(|| "no file".to_owned(), |got| format!("the hash {got}"));
        let message =
            format!("{} is not what the run has measured: expected the hash {expected}, got {got}", path.display());
        return Err(BadInput::with_hint(message, AGAIN).into());
    }
    let adapter = folder.join(Answers::Own.adapter());
    // An adapter that the user named lies elsewhere, and an endpoint's nowhere.
    let is_own =
        record.config.generator.is_none() && !record.made_from.contains_key(&InputName::NamedAdapter.to_string());
    if !is_own || !adapter.is_dir() {
        return Ok(None);
    }
    let got = hash_of_artifact(&adapter).map_err(|error| FileError::reading(&adapter, error))?;
    let expected = record.made_from.get(&InputName::Adapter.to_string()).map_or("none", String::as_str);
    if expected != got.to_string() {
        let folder = adapter.display();
        let message = format!("{folder} is not the adapter that was measured: expected the hash {expected}, got {got}");
        return Err(BadInput::with_hint(message, AGAIN).into());
    }
    Ok(Some(got))
}

//! Stages: which steps of a run are done, with what went in and what came out.
//!
//! A stage is current while every input has the hash it had and every output still has the hash that was written;
//! then it need not run again. The ledger (`stages.json` in the run folder) is bookkeeping, not an artefact: it
//! names the program that ran, so it differs between builds that write the same bytes.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{ContentHash, FileError, write_atomic};

/// What went into a stage: a name for each input, and its hash.
pub type StageInputs = BTreeMap<String, ContentHash>;

/// One finished stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct StageReceipt {
    inputs: StageInputs,
    /// Paths relative to the run folder.
    outputs: BTreeMap<String, ContentHash>,
}

/// What a ledger knew of a stage that runs again.
#[derive(Debug)]
pub struct ForgottenStage {
    stage: String,
    receipt: StageReceipt,
}

/// The finished stages of one run folder.
pub struct StageLedger {
    folder: PathBuf,
    stages: BTreeMap<String, StageReceipt>,
}

impl StageLedger {
    /// The ledger of a run folder. An absent or damaged ledger means that nothing is known to be done, which costs
    /// work and never correctness.
    pub fn open(folder: &Path) -> Self {
        let stages = std::fs::read(folder.join("stages.json"))
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .unwrap_or_default();
        Self { folder: folder.to_owned(), stages }
    }

    /// Whether the stage was run on exactly these inputs and its outputs stand unchanged.
    pub fn is_current(&self, stage: &str, inputs: &StageInputs) -> bool {
        self.stages.get(stage).is_some_and(|receipt| receipt.inputs == *inputs) && self.outputs_stand(stage)
    }

    /// The names of the inputs that differ from the last time, for a message; empty where the stage never ran.
    pub fn changed_inputs(&self, stage: &str, inputs: &StageInputs) -> Vec<String> {
        let Some(receipt) = self.stages.get(stage) else { return Vec::new() };
        let names = inputs.keys().chain(receipt.inputs.keys());
        let mut changed: Vec<String> =
            names.filter(|name| inputs.get(*name) != receipt.inputs.get(*name)).cloned().collect();
        changed.sort();
        changed.dedup();
        changed
    }

    /// Whether the stage is known to have run and its outputs stand as it wrote them, whatever it was made from.
    pub fn outputs_stand(&self, stage: &str) -> bool {
        let stands = |(path, hash): (&String, &ContentHash)| {
            hash_of_artifact(&self.folder.join(path)).is_ok_and(|found| found == *hash)
        };
        self.stages.get(stage).is_some_and(|receipt| receipt.outputs.iter().all(stands))
    }

    /// What the stage read under this name when it ran last.
    pub fn recorded_input(&self, stage: &str, name: &str) -> Option<ContentHash> {
        self.stages.get(stage)?.inputs.get(name).copied()
    }

    /// The hash that a file or folder had when the stage wrote it.
    pub fn recorded_output(&self, stage: &str, path: &str) -> Option<ContentHash> {
        self.stages.get(stage)?.outputs.get(path).copied()
    }

    /// The first output of a stage that does not stand as it was written: its path, the hash that it had, and the one that
    /// it has if it is there. `None` also where the stage never ran.
    pub fn changed_output(&self, stage: &str) -> Option<(&str, ContentHash, Option<ContentHash>)> {
        let outputs = self.stages.get(stage)?.outputs.iter();
        let mut found =
            outputs.map(|(path, hash)| (path.as_str(), *hash, hash_of_artifact(&self.folder.join(path)).ok()));
        found.find(|(_, expected, got)| *got != Some(*expected))
    }

    /// Records that the stage ran, with its outputs (files or folders, relative to the run folder).
    pub fn record(&mut self, stage: &str, inputs: StageInputs, outputs: &[&str]) -> Result<(), FileError> {
        let outputs = outputs
            .iter()
            .map(|path| {
                let place = self.folder.join(path);
                let hash = hash_of_artifact(&place).map_err(|error| FileError::reading(place, error))?;
                Ok(((*path).to_owned(), hash))
            })
            .collect::<Result<_, FileError>>()?;
        self.record_hashed(stage, inputs, outputs)
    }

    /// Records that the stage ran, with its outputs and the hashes that they have.
    pub fn record_hashed(
        &mut self,
        stage: &str,
        inputs: StageInputs,
        outputs: BTreeMap<String, ContentHash>,
    ) -> Result<(), FileError> {
        self.stages.insert(stage.to_owned(), StageReceipt { inputs, outputs });
        self.write()
    }

    /// Forgets that the stage ever ran: it is about to write its outputs anew, and what it wrote before is no measure of
    /// them. Returns what is forgotten, for `remember`.
    pub fn forget(&mut self, stage: &str) -> Result<Option<ForgottenStage>, FileError> {
        let Some(receipt) = self.stages.remove(stage) else { return Ok(None) };
        self.write()?;
        Ok(Some(ForgottenStage { stage: stage.to_owned(), receipt }))
    }

    /// Takes back what was forgotten, if the stage left its outputs as they were.
    pub fn remember(&mut self, forgotten: ForgottenStage) -> Result<(), FileError> {
        let ForgottenStage { stage, receipt } = forgotten;
        self.stages.insert(stage.clone(), receipt);
        if self.outputs_stand(&stage) {
            return self.write();
        }
        self.stages.remove(&stage);
        Ok(())
    }

    fn write(&self) -> Result<(), FileError> {
        let text = serde_json::to_vec_pretty(&self.stages).expect("plain structs with text keys always serialize");
        write_atomic(&self.folder.join("stages.json"), &text)
    }
}

/// The hash of a file, or of a folder's files with their relative names, in the order of their names.
pub fn hash_of_artifact(path: &Path) -> io::Result<ContentHash> {
    if !path.is_dir() {
        return ContentHash::of_file(path);
    }
    let mut files = Vec::new();
    collect_files(path, &mut files)?;
    files.sort();
    let mut listing = Vec::new();
    for file in files {
        let name = file.strip_prefix(path).expect("the file was found below this folder");
        let hash = ContentHash::of_file(&file)?;
        listing.push(format!("{}\0{hash}", name.display()));
    }
    Ok(ContentHash::of_parts(listing.iter().map(|line| line.as_bytes())))
}

fn collect_files(folder: &Path, into: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() { collect_files(&path, into)? } else { into.push(path) }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_is_current_until_an_input_or_an_output_changes() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        write_atomic(&folder.path().join("data/train.jsonl"), b"rows")?;
        let inputs = StageInputs::from([("config".to_owned(), ContentHash::of(b"1"))]);
        let mut ledger = StageLedger::open(folder.path());
        assert!(!ledger.is_current("prepare", &inputs));
        ledger.record("prepare", inputs.clone(), &["data"])?;

        let ledger = StageLedger::open(folder.path());
        assert!(ledger.is_current("prepare", &inputs));
        let other = StageInputs::from([("config".to_owned(), ContentHash::of(b"2"))]);
        assert!(!ledger.is_current("prepare", &other));
        assert_eq!(ledger.changed_inputs("prepare", &other), ["config"]);

        assert!(ledger.outputs_stand("prepare") && !ledger.outputs_stand("train"));

        write_atomic(&folder.path().join("data/train.jsonl"), b"touched")?;
        assert!(!ledger.is_current("prepare", &inputs) && !ledger.outputs_stand("prepare"));
        Ok(())
    }

    #[test]
    fn a_stage_is_forgotten_and_remembered_while_its_outputs_stand() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        let inputs = StageInputs::from([("config".to_owned(), ContentHash::of(b"1"))]);
        let output = folder.path().join("manifest.json");
        write_atomic(&output, b"old")?;
        let mut ledger = StageLedger::open(folder.path());
        assert!(ledger.forget("prepare")?.is_none());
        ledger.record("prepare", inputs.clone(), &["manifest.json"])?;
        for (written, stands) in [(&b"old"[..], true), (b"new", false)] {
            let forgotten = ledger.forget("prepare")?.expect("it was recorded");
            let on_disk = StageLedger::open(folder.path());
            assert_eq!(on_disk.recorded_output("prepare", "manifest.json"), None, "a kill now finds no old hash");
            write_atomic(&output, written)?;
            ledger.remember(forgotten)?;
            for ledger in [&ledger, &StageLedger::open(folder.path())] {
                assert_eq!(ledger.is_current("prepare", &inputs), stands);
                assert_eq!(ledger.recorded_output("prepare", "manifest.json").is_some(), stands);
            }
        }
        Ok(())
    }

    #[test]
    fn a_damaged_ledger_means_nothing_is_done() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        write_atomic(&folder.path().join("stages.json"), b"{\"prepare\":")?;
        assert!(!StageLedger::open(folder.path()).is_current("prepare", &StageInputs::new()));
        Ok(())
    }
}

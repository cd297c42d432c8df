//! The verdict record: what was found of each problem's programs, one line a problem, appended as it is found. A run
//! that was killed finds there what it need not run again; a line that is torn or damaged is dropped, and its programs run.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::error::PrepareError;
use super::outcome::Outcome;
use hilora_contract::artifact::{ContentHash, JsonRow, RecordFile};

/// One line of the record.
#[derive(Serialize, Deserialize)]
struct Entry {
    key: ContentHash,
    outcome: Outcome,
}

impl JsonRow for Entry {
    const EXPECTED: &'static str = "what was found of a problem's programs";
}

/// Outcomes by the hash of what decides them.
pub(super) struct VerdictRecord {
    file: RecordFile,
    known: HashMap<ContentHash, Outcome>,
    used: HashSet<ContentHash>,
}

impl VerdictRecord {
    /// The record in this folder, which is made if it is missing.
    pub(super) fn open(folder: &Path) -> Result<Self, PrepareError> {
        let (file, found) = RecordFile::open::<Entry>(&folder.join("verdicts.jsonl"))?;
        for damaged in &found.damaged {
            tracing::warn!("{damaged}; its programs are run again");
        }
        let known = found.rows.into_iter().map(|Entry { key, outcome }| (key, outcome)).collect();
        Ok(Self { file, known, used: HashSet::new() })
    }

    /// What is known of this question.
    pub(super) fn find(&mut self, key: ContentHash) -> Option<Outcome> {
        let outcome = self.known.get(&key).cloned()?;
        self.used.insert(key);
        Some(outcome)
    }

    /// Adds outcomes; they are durable when this returns.
    pub(super) fn append<'a>(
        &mut self,
        outcomes: impl Iterator<Item = (ContentHash, &'a Outcome)>,
    ) -> Result<(), PrepareError> {
        let entries: Vec<Entry> = outcomes.map(|(key, outcome)| Entry { key, outcome: outcome.clone() }).collect();
        if entries.is_empty() {
            return Ok(());
        }
        self.file.append(entries.iter())?;
        self.file.sync()?;
        for Entry { key, outcome } in entries {
            self.used.insert(key);
            self.known.insert(key, outcome);
        }
        Ok(())
    }

    /// Leaves only what this run has asked for, so that the file does not grow from run to run.
    pub(super) fn close(self) -> Result<(), PrepareError> {
        let Self { file, known, used } = self;
        if used.len() == known.len() {
            return Ok(());
        }
        let used = known.into_iter().filter(|(key, _)| used.contains(key));
        let mut entries: Vec<Entry> = used.map(|(key, outcome)| Entry { key, outcome }).collect();
        entries.sort_by_key(|entry| entry.key);
        RecordFile::write(file.path(), entries.iter())?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn outcome(judged: u64) -> Outcome {
        Outcome { judged, ..Outcome::default() }
    }

    #[test]
    fn a_line_that_was_cut_off_is_dropped_and_what_follows_is_whole() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("verdicts.jsonl");
        let keys = [1, 2, 3].map(|i| ContentHash::of(&[i]));
        let mut record = VerdictRecord::open(folder.path())?;
        record.append([(keys[0], &outcome(1)), (keys[1], &outcome(2))].into_iter())?;
        let whole = fs::read(&path)?;
        fs::write(&path, &whole[..whole.len() - 5])?;

        let mut record = VerdictRecord::open(folder.path())?;
        assert_eq!((record.find(keys[0]), record.find(keys[1])), (Some(outcome(1)), None));
        record.append([(keys[2], &outcome(3))].into_iter())?;
        let mut record = VerdictRecord::open(folder.path())?;
        assert_eq!((record.find(keys[0]), record.find(keys[2])), (Some(outcome(1)), Some(outcome(3))));
        Ok(())
    }

    #[test]
    fn a_damaged_line_is_forgotten_and_those_after_it_are_known() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("verdicts.jsonl");
        let keys = [1, 2, 3].map(|i| ContentHash::of(&[i]));
        let outcomes = [41, 52, 63].map(outcome);
        VerdictRecord::open(folder.path())?.append(keys.into_iter().zip(&outcomes))?;
        // Still JSON, still an outcome, and not what was found.
        let text = fs::read_to_string(&path)?;
        fs::write(&path, text.replace("52", "53"))?;
        let mut record = VerdictRecord::open(folder.path())?;
        assert_eq!(keys.map(|key| record.find(key)), [Some(outcome(41)), None, Some(outcome(63))]);
        Ok(())
    }

    #[test]
    fn what_nobody_asked_for_is_forgotten_at_the_end() -> Result<(), PrepareError> {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let keys = [1, 2].map(|i| ContentHash::of(&[i]));
        let mut record = VerdictRecord::open(folder.path())?;
        let nothing = Outcome::default();
        record.append(keys.iter().map(|key| (*key, &nothing)))?;
        let mut record = VerdictRecord::open(folder.path())?;
        record.find(keys[1]);
        record.close()?;
        let mut record = VerdictRecord::open(folder.path())?;
        assert_eq!((record.find(keys[0]), record.find(keys[1])), (None, Some(Outcome::default())));
        Ok(())
    }
}

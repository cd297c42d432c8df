//! The verdict record: what was found of each problem's programs, one line a problem, appended as it is found. A run
//! that was killed finds there what it need not run again; a last line that was cut off is dropped.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::error::PrepareError;
use super::outcome::Outcome;
use hilora_contract::artifact::{ContentHash, FileError, write_atomic};

/// One line of the record.
#[derive(Serialize, Deserialize)]
struct Entry<O> {
    key: ContentHash,
    outcome: O,
}

/// Outcomes by the hash of what decides them.
pub(super) struct VerdictRecord {
    path: PathBuf,
    file: File,
    known: HashMap<ContentHash, Outcome>,
    used: HashSet<ContentHash>,
}

impl VerdictRecord {
    /// The record in this folder, which is made if it is missing.
    pub(super) fn open(folder: &Path) -> Result<Self, PrepareError> {
        let path = folder.join("verdicts.jsonl");
        let open = || -> io::Result<Self> {
            fs::create_dir_all(folder)?;
            let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path)?;
            let (known, whole) = whole_lines(&fs::read(&path)?);
            file.set_len(whole)?;
            file.seek(SeekFrom::End(0))?;
            Ok(Self { path: path.clone(), file, known, used: HashSet::new() })
        };
        open().map_err(|error| FileError::writing(&path, error).into())
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
        let mut lines = Vec::new();
        for (key, outcome) in outcomes {
            self.used.insert(key);
            self.known.insert(key, outcome.clone());
            push_line(&mut lines, key, outcome);
        }
        if lines.is_empty() {
            return Ok(());
        }
        let write = self.file.write_all(&lines).and_then(|()| self.file.sync_data());
        write.map_err(|error| FileError::writing(&self.path, error).into())
    }

    /// Leaves only what this run has asked for, so that the file does not grow from run to run.
    pub(super) fn close(self) -> Result<(), PrepareError> {
        if self.used.len() == self.known.len() {
            return Ok(());
        }
        let mut keys: Vec<ContentHash> = self.used.into_iter().collect();
        keys.sort();
        let mut lines = Vec::new();
        for key in keys {
            if let Some(outcome) = self.known.get(&key) {
                push_line(&mut lines, key, outcome);
            }
        }
        Ok(write_atomic(&self.path, &lines)?)
    }
}

fn push_line(lines: &mut Vec<u8>, key: ContentHash, outcome: &Outcome) {
    let line = serde_json::to_vec(&Entry { key, outcome }).expect("plain structs with text keys always serialize");
    lines.extend(line);
    lines.push(b'\n');
}

/// The entries up to the first line that is not whole, and where that line begins.
fn whole_lines(bytes: &[u8]) -> (HashMap<ContentHash, Outcome>, u64) {
    let mut known = HashMap::new();
    let mut whole = 0;
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let entry = line.strip_suffix(b"\n").and_then(|line| serde_json::from_slice::<Entry<Outcome>>(line).ok());
        let Some(Entry { key, outcome }) = entry else { break };
        known.insert(key, outcome);
        whole += line.len() as u64;
    }
    (known, whole)
}

#[cfg(test)]
mod tests {
    use super::*;

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

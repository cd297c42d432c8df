//! The sample ledger: completions and verdicts by the content that decides them, one line each, appended as they are
//! found. A measurement that was killed at any moment finds there what it need not repeat.
//!
//! A key is a hash over everything that decides the entry, the program that made it included, so that an entry is never
//! wrong, only unknown. What a machine's failure left undecided is not an entry. A last line that was cut off is dropped.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::completion::Completion;
use super::error::EvaluatorError;
use super::judged_answer::JudgedAnswer;
use hilora_contract::artifact::{ContentHash, FileError, write_atomic};

/// The file's name in its folder.
const FILE_NAME: &str = "samples.jsonl";

/// What is known under a key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Entry {
    Completion(Completion),
    Judged(JudgedAnswer),
}

/// One line.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line<E> {
    key: ContentHash,
    entry: E,
}

/// What was drawn and judged.
pub struct SampleLedger {
    program: ContentHash,
    known: HashMap<ContentHash, Entry>,
    used: HashSet<ContentHash>,
    file: Option<(PathBuf, File)>,
}

impl SampleLedger {
    /// The ledger in this folder, which is made if it is missing. What another program wrote is not used.
    pub fn open(folder: &Path, program: ContentHash) -> Result<Self, EvaluatorError> {
        let path = folder.join(FILE_NAME);
        let open = || -> io::Result<(File, HashMap<ContentHash, Entry>)> {
            fs::create_dir_all(folder)?;
            let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path)?;
            let (known, whole_bytes) = whole_lines(&fs::read(&path)?);
            file.set_len(whole_bytes)?;
            file.seek(SeekFrom::End(0))?;
            Ok((file, known))
        };
        let (file, known) = open().map_err(|error| FileError::writing(&path, error))?;
        Ok(Self { program, known, used: HashSet::new(), file: Some((path, file)) })
    }

    /// A ledger that keeps nothing, for a model that will not be measured again.
    pub fn forgetful() -> Self {
        Self { program: ContentHash::of(b""), known: HashMap::new(), used: HashSet::new(), file: None }
    }

    /// The key of what these parts decide.
    pub(crate) fn key<'a>(&'a self, parts: impl IntoIterator<Item = &'a [u8]>) -> ContentHash {
        ContentHash::of_parts([self.program.as_bytes()].into_iter().chain(parts))
    }

    /// The completion under a key.
    pub(crate) fn completion(&mut self, key: ContentHash) -> Option<Completion> {
        match self.known.get(&key) {
            Some(Entry::Completion(completion)) => {
                self.used.insert(key);
                Some(completion.clone())
            }
            Some(Entry::Judged(_)) | None => None,
        }
    }

    /// What was found of the answer under a key.
    pub(crate) fn judged(&mut self, key: ContentHash) -> Option<JudgedAnswer> {
        match self.known.get(&key) {
            Some(Entry::Judged(judged)) => {
                self.used.insert(key);
                Some(judged.clone())
            }
            Some(Entry::Completion(_)) | None => None,
        }
    }

    /// Adds a completion. It outlives the process when this returns, and a power cut after the next `sync`.
    pub(crate) fn add_completion(&mut self, key: ContentHash, completion: &Completion) -> Result<(), EvaluatorError> {
        if self.file.is_some() { self.add(key, Entry::Completion(completion.clone())) } else { Ok(()) }
    }

    /// Adds what was found of an answer; it lasts as a completion does.
    pub(crate) fn add_judged(&mut self, key: ContentHash, judged: &JudgedAnswer) -> Result<(), EvaluatorError> {
        if self.file.is_some() { self.add(key, Entry::Judged(judged.clone())) } else { Ok(()) }
    }

    fn add(&mut self, key: ContentHash, entry: Entry) -> Result<(), EvaluatorError> {
        let line = line(key, &entry);
        self.known.insert(key, entry);
        self.used.insert(key);
        self.write(|file| file.write_all(&line))
    }

    /// Waits until everything that was added is on the disk.
    pub(crate) fn sync(&mut self) -> Result<(), EvaluatorError> {
        self.write(|file| file.sync_data())
    }

    fn write(&mut self, write: impl FnOnce(&mut File) -> io::Result<()>) -> Result<(), EvaluatorError> {
        let Some((path, file)) = &mut self.file else { return Ok(()) };
        Ok(write(file).map_err(|error| FileError::writing(&*path, error))?)
    }

    /// Leaves only what was asked for or added since the ledger was opened, so that the file does not grow from one
    /// measurement to the next.
    pub(crate) fn keep_used(&mut self) -> Result<(), EvaluatorError> {
        if self.used.len() == self.known.len() {
            return Ok(());
        }
        self.known.retain(|key, _| self.used.contains(key));
        let Some((path, file)) = &mut self.file else { return Ok(()) };
        let mut keys: Vec<&ContentHash> = self.known.keys().collect();
        keys.sort();
        let lines: Vec<u8> = keys.into_iter().flat_map(|key| line(*key, &self.known[key])).collect();
        write_atomic(path, &lines)?;
        *file = OpenOptions::new().append(true).open(&*path).map_err(|error| FileError::writing(&*path, error))?;
        Ok(())
    }
}

fn line(key: ContentHash, entry: &Entry) -> Vec<u8> {
    let mut line = serde_json::to_vec(&Line { key, entry }).expect("plain structs with text keys always serialize");
    line.push(b'\n');
    line
}

/// The entries up to the first line that is not whole, and where that line begins.
fn whole_lines(bytes: &[u8]) -> (HashMap<ContentHash, Entry>, u64) {
    let mut known = HashMap::new();
    let mut whole = 0;
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let parsed = line.strip_suffix(b"\n").and_then(|line| serde_json::from_slice::<Line<Entry>>(line).ok());
        let Some(Line { key, entry }) = parsed else { break };
        known.insert(key, entry);
        whole += line.len() as u64;
    }
    (known, whole)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::completion::CompletionEnd;
    use hilora_judge::Verdict;

    fn completion(text: &str) -> Completion {
        Completion { text: text.to_owned(), tokens: 1, end: CompletionEnd::Stopped }
    }

    fn program() -> ContentHash {
        ContentHash::of(b"program")
    }

    #[test]
    fn a_tail_that_was_cut_off_anywhere_is_dropped_and_what_follows_is_whole() -> Result<(), EvaluatorError> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join(FILE_NAME);
        let mut ledger = SampleLedger::open(folder.path(), program())?;
        let keys = [&b"1"[..], b"2", b"3"].map(|part| ledger.key([part]));
        let judged = JudgedAnswer { verdict: Verdict::RuntimeError, error: Some("KeyError".to_owned()) };
        ledger.add_completion(keys[0], &completion("one\nline"))?;
        ledger.add_judged(keys[1], &judged)?;
        let whole = fs::read(&path).expect("the ledger is there");
        let first = whole.iter().position(|byte| *byte == b'\n').expect("two lines") + 1;
        for cut in 0..=whole.len() {
            fs::write(&path, &whole[..cut]).expect("the ledger can be cut");
            let mut ledger = SampleLedger::open(folder.path(), program())?;
            assert_eq!(ledger.completion(keys[0]), (cut >= first).then(|| completion("one\nline")), "cut at {cut}");
            assert_eq!(ledger.judged(keys[1]), (cut == whole.len()).then(|| judged.clone()), "cut at {cut}");
            ledger.add_completion(keys[2], &completion("three"))?;
            let mut ledger = SampleLedger::open(folder.path(), program())?;
            assert_eq!(ledger.completion(keys[0]).is_some(), cut >= first, "cut at {cut}");
            assert_eq!(ledger.completion(keys[2]), Some(completion("three")), "cut at {cut}");
        }
        Ok(())
    }

    #[test]
    fn what_nobody_asked_for_is_forgotten_and_what_follows_is_kept() -> Result<(), EvaluatorError> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut ledger = SampleLedger::open(folder.path(), program())?;
        let keys = [&b"1"[..], b"2", b"3"].map(|part| ledger.key([part]));
        ledger.add_completion(keys[0], &completion("one"))?;
        ledger.add_completion(keys[1], &completion("two"))?;
        let mut ledger = SampleLedger::open(folder.path(), program())?;
        ledger.completion(keys[1]);
        ledger.keep_used()?;
        ledger.add_completion(keys[2], &completion("three"))?;
        let mut ledger = SampleLedger::open(folder.path(), program())?;
        assert_eq!(
            keys.map(|key| ledger.completion(key).map(|found| found.text)),
            [None, Some("two".to_owned()), Some("three".to_owned())]
        );
        Ok(())
    }

    #[test]
    fn another_program_finds_nothing() -> Result<(), EvaluatorError> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut ledger = SampleLedger::open(folder.path(), program())?;
        let key = ledger.key([&b"1"[..]]);
        ledger.add_completion(key, &completion("one"))?;
        let other = SampleLedger::open(folder.path(), ContentHash::of(b"another program"))?;
        assert_ne!(other.key([&b"1"[..]]), key);
        Ok(())
    }
}

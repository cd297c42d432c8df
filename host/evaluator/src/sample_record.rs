//! The sample record: completions and verdicts by the content that decides them, one line each, appended as they are
//! found. A measurement that was killed at any moment finds there what it need not repeat.
//!
//! A key is a hash over everything that decides the entry, the program that made it included, so that an entry is never
//! wrong, only unknown. What a machine's failure left undecided is not an entry. A line that is torn or damaged is dropped,
//! and its answer is drawn or judged again.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::completion::Completion;
use super::error::EvaluatorError;
use super::judged_answer::JudgedAnswer;
use hilora_contract::artifact::{ContentHash, JsonRow, RecordFile};

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
struct Line {
    key: ContentHash,
    entry: Entry,
}

impl JsonRow for Line {
    const EXPECTED: &'static str = "an answer or its verdict with its key";
}

/// What was drawn and judged.
pub struct SampleRecord {
    program: ContentHash,
    known: HashMap<ContentHash, Entry>,
    used: HashSet<ContentHash>,
    /// Whether the file has its lines in the order of their keys, each once.
    is_settled: bool,
    file: Option<RecordFile>,
}

impl SampleRecord {
    /// The record in this folder, which is made if it is missing. What another program wrote is not used.
    pub fn open(folder: &Path, program: ContentHash) -> Result<Self, EvaluatorError> {
        Self::open_file(&folder.join(FILE_NAME), program)
    }

    /// The same with a name of its own.
    pub fn open_file(path: &Path, program: ContentHash) -> Result<Self, EvaluatorError> {
        let (file, found) = RecordFile::open::<Line>(path)?;
        for damaged in &found.damaged {
            tracing::warn!("{damaged}; its answer is drawn or judged again");
        }
        let is_settled = found.rows.is_sorted_by(|one, next| one.key < next.key);
        let known = found.rows.into_iter().map(|Line { key, entry }| (key, entry)).collect();
        Ok(Self { program, known, used: HashSet::new(), is_settled, file: Some(file) })
    }

    /// A record that keeps nothing, for a model that will not be measured again.
    pub fn forgetful() -> Self {
        Self {
            program: ContentHash::of(b""),
            known: HashMap::new(),
            used: HashSet::new(),
            is_settled: true,
            file: None,
        }
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

    /// Adds completions that came together. They outlive the process when this returns, and a power cut after the next
    /// `sync`; a kill keeps all of them or none.
    pub(crate) fn add_completions<'a>(
        &mut self,
        completions: impl Iterator<Item = (ContentHash, &'a Completion)>,
    ) -> Result<(), EvaluatorError> {
        if self.file.is_none() {
            return Ok(());
        }
        self.add(
            completions.map(|(key, completion)| Line { key, entry: Entry::Completion(completion.clone()) }).collect(),
        )
    }

    /// Adds what was found of an answer; it lasts as a completion does.
    pub(crate) fn add_judged(&mut self, key: ContentHash, judged: &JudgedAnswer) -> Result<(), EvaluatorError> {
        if self.file.is_none() {
            return Ok(());
        }
        self.add(vec![Line { key, entry: Entry::Judged(judged.clone()) }])
    }

    fn add(&mut self, lines: Vec<Line>) -> Result<(), EvaluatorError> {
        if let Some(file) = &mut self.file {
            file.append(lines.iter())?;
        }
        self.is_settled = false;
        for Line { key, entry } in lines {
            self.known.insert(key, entry);
            self.used.insert(key);
        }
        Ok(())
    }

    /// Waits until everything that was added is on the disk.
    pub(crate) fn sync(&mut self) -> Result<(), EvaluatorError> {
        Ok(self.file.as_mut().map_or(Ok(()), RecordFile::sync)?)
    }

    /// Leaves only what was asked for or added since the record was opened, in the order of the keys: the file does not grow
    /// from one measurement to the next, and is the same bytes whenever answers came and however often it was killed.
    pub(crate) fn keep_used(&mut self) -> Result<(), EvaluatorError> {
        if self.is_settled && self.used.len() == self.known.len() {
            return Ok(());
        }
        self.known.retain(|key, _| self.used.contains(key));
        let Some(file) = &mut self.file else { return Ok(()) };
        let mut lines: Vec<Line> =
            self.known.iter().map(|(key, entry)| Line { key: *key, entry: entry.clone() }).collect();
        lines.sort_by_key(|line| line.key);
        *file = RecordFile::write(file.path(), lines.iter())?;
        self.is_settled = true;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::completion::CompletionEnd;
    use hilora_judge::Verdict;
    use std::fs;

    fn completion(text: &str) -> Completion {
        Completion { text: text.to_owned(), tokens: 1, end: CompletionEnd::Stopped, log_probabilities: None }
    }

    fn program() -> ContentHash {
        ContentHash::of(b"program")
    }

    #[test]
    fn a_tail_that_was_cut_off_anywhere_is_dropped_and_what_follows_is_whole() -> Result<(), EvaluatorError> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join(FILE_NAME);
        let mut record = SampleRecord::open(folder.path(), program())?;
        let keys = [&b"1"[..], b"2", b"3"].map(|part| record.key([part]));
        let judged =
            JudgedAnswer { verdict: Verdict::RuntimeError, error: Some("KeyError".to_owned()), failed_test: None };
        record.add_completions([(keys[0], &completion("one\nline"))].into_iter())?;
        record.add_judged(keys[1], &judged)?;
        let whole = fs::read(&path).expect("the record is there");
        let first = whole.iter().position(|byte| *byte == b'\n').expect("two lines") + 1;
        for cut in 0..=whole.len() {
            fs::write(&path, &whole[..cut]).expect("the record can be cut");
            let mut record = SampleRecord::open(folder.path(), program())?;
            assert_eq!(record.completion(keys[0]), (cut >= first).then(|| completion("one\nline")), "cut at {cut}");
            assert_eq!(record.judged(keys[1]), (cut == whole.len()).then(|| judged.clone()), "cut at {cut}");
            record.add_completions([(keys[2], &completion("three"))].into_iter())?;
            let mut record = SampleRecord::open(folder.path(), program())?;
            assert_eq!(record.completion(keys[0]).is_some(), cut >= first, "cut at {cut}");
            assert_eq!(record.completion(keys[2]), Some(completion("three")), "cut at {cut}");
        }
        Ok(())
    }

    #[test]
    fn a_damaged_line_is_forgotten_and_those_after_it_are_known() -> Result<(), EvaluatorError> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join(FILE_NAME);
        let mut record = SampleRecord::open(folder.path(), program())?;
        let keys = [&b"1"[..], b"2", b"3"].map(|part| record.key([part]));
        for (key, text) in keys.iter().zip(["one", "print(2)", "three"]) {
            record.add_completions([(*key, &completion(text))].into_iter())?;
        }
        // A program that nobody drew.
        let text = fs::read_to_string(&path).expect("the record is there");
        fs::write(&path, text.replace("print(2)", "print(3)")).expect("it can be written");
        let mut record = SampleRecord::open(folder.path(), program())?;
        let found = keys.map(|key| record.completion(key).map(|found| found.text));
        assert_eq!(found, [Some("one".to_owned()), None, Some("three".to_owned())]);
        Ok(())
    }

    #[test]
    fn what_nobody_asked_for_is_forgotten_and_what_follows_is_kept() -> Result<(), EvaluatorError> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut record = SampleRecord::open(folder.path(), program())?;
        let keys = [&b"1"[..], b"2", b"3"].map(|part| record.key([part]));
        record.add_completions([(keys[0], &completion("one"))].into_iter())?;
        record.add_completions([(keys[1], &completion("two"))].into_iter())?;
        let mut record = SampleRecord::open(folder.path(), program())?;
        record.completion(keys[1]);
        record.keep_used()?;
        record.add_completions([(keys[2], &completion("three"))].into_iter())?;
        let mut record = SampleRecord::open(folder.path(), program())?;
        assert_eq!(
            keys.map(|key| record.completion(key).map(|found| found.text)),
            [None, Some("two".to_owned()), Some("three".to_owned())]
        );
        Ok(())
    }

    #[test]
    fn another_program_finds_nothing() -> Result<(), EvaluatorError> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut record = SampleRecord::open(folder.path(), program())?;
        let key = record.key([&b"1"[..]]);
        record.add_completions([(key, &completion("one"))].into_iter())?;
        let other = SampleRecord::open(folder.path(), ContentHash::of(b"another program"))?;
        assert_ne!(other.key([&b"1"[..]]), key);
        Ok(())
    }
}

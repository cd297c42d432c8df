//! The ledger of answers: an append-only file of one JSON object a line, one line for each call that was answered.
//!
//! A line is durable before anything is made of the answer. A kill tears at most the last line, which is cut off when
//! the file is opened again: its call counts as not made. A line in the middle that cannot be read is an error, because
//! calls that were paid for would be repeated without a word.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::TracesError;
use hilora_contract::artifact::{ContentHash, FileError};

/// An endpoint's answer to one request, as it came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TracedAnswer {
    /// The hash of the request's body: model, prompt and sampling settings.
    pub key: ContentHash,
    /// The message's text; `null` where the answer had none.
    pub text: Option<String>,
    /// Why the endpoint ended it (`stop`, `length`, …).
    pub finish_reason: Option<String>,
    /// Tokens of the prompt, as the endpoint counts them.
    pub prompt_tokens: u64,
    /// Tokens of the answer.
    pub completion_tokens: u64,
}

/// The answers of one specialist's training rows.
pub struct TraceLedger {
    path: PathBuf,
    answers: BTreeMap<ContentHash, TracedAnswer>,
    /// Where lines are appended; `None` where the ledger is only read.
    file: Option<File>,
}

impl TraceLedger {
    /// The recorded answers, without touching the file; none where there is no file.
    pub fn read(path: &Path) -> Result<Self, TracesError> {
        let (answers, _) = read_lines(path)?;
        Ok(Self { path: path.to_owned(), answers, file: None })
    }

    /// Opens the ledger to append to it; makes it where it is missing and cuts a torn last line off.
    pub fn open(path: &Path) -> Result<Self, TracesError> {
        let failed = |error| FileError::writing(path, error);
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder).map_err(failed)?;
        let file = OpenOptions::new().append(true).create(true).open(path).map_err(failed)?;
        let (answers, whole_bytes) = read_lines(path)?;
        file.set_len(whole_bytes).map_err(failed)?;
        file.sync_all().map_err(failed)?;
        // A new file's name is durable only once its folder is.
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
        Ok(Self { path: path.to_owned(), answers, file: Some(file) })
    }

    /// The answer to a request.
    pub fn get(&self, key: &ContentHash) -> Option<&TracedAnswer> {
        self.answers.get(key)
    }

    /// How many requests were answered.
    pub fn len(&self) -> usize {
        self.answers.len()
    }

    /// Whether nothing was answered yet.
    pub fn is_empty(&self) -> bool {
        self.answers.is_empty()
    }

    /// Appends answers and returns once all of them are durable.
    pub fn record(&mut self, answers: Vec<TracedAnswer>) -> Result<(), TracesError> {
        let failed = |error| TracesError::from(FileError::writing(&self.path, error));
        let Some(file) = &mut self.file else {
            return Err(failed(io::Error::other("it was opened for reading")));
        };
        let mut lines = Vec::new();
        for answer in &answers {
            serde_json::to_writer(&mut lines, answer).map_err(|error| failed(error.into()))?;
            lines.push(b'\n');
        }
        file.write_all(&lines).and_then(|()| file.sync_data()).map_err(failed)?;
        for answer in answers {
            // The first answer to a request stands.
            self.answers.entry(answer.key).or_insert(answer);
        }
        Ok(())
    }
}

/// The answers in the file's whole lines, and how many bytes those lines have.
fn read_lines(path: &Path) -> Result<(BTreeMap<ContentHash, TracedAnswer>, u64), TracesError> {
    let mut bytes = Vec::new();
    match File::open(path).and_then(|mut file| file.read_to_end(&mut bytes)) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((BTreeMap::new(), 0)),
        Err(error) => return Err(FileError::reading(path, error).into()),
    }
    let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
    let mut answers = BTreeMap::new();
    for (index, line) in bytes[..whole].split_inclusive(|byte| *byte == b'\n').enumerate() {
        let answer: TracedAnswer = serde_json::from_slice(line).map_err(|error| TracesError::BadLine {
            path: path.to_owned(),
            line: index + 1,
            expected: "an answer with its key",
            got: error.to_string(),
        })?;
        answers.entry(answer.key).or_insert(answer);
    }
    Ok((answers, whole as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(name: &str) -> TracedAnswer {
        TracedAnswer {
            key: ContentHash::of(name.as_bytes()),
            text: Some(format!("the reasoning\nof {name}")),
            finish_reason: Some("stop".to_owned()),
            prompt_tokens: 3,
            completion_tokens: 5,
        }
    }

    #[test]
    fn a_torn_last_line_is_cut_and_what_was_whole_stays() -> Result<(), TracesError> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("data/python_traces.jsonl");
        let mut ledger = TraceLedger::open(&path)?;
        ledger.record(vec![answer("a"), answer("b")])?;
        let whole = std::fs::read(&path).expect("the file stands");
        // A kill may end the file anywhere in the line that was being written.
        let next = serde_json::to_vec(&answer("c")).expect("it serializes");
        for torn in 0..=next.len() {
            std::fs::write(&path, [&whole[..], &next[..torn]].concat()).expect("it can be written");
            let mut ledger = TraceLedger::open(&path)?;
            assert_eq!((ledger.len(), std::fs::read(&path).expect("it stands")), (2, whole.clone()));
            ledger.record(vec![answer("c")])?;
            assert_eq!(TraceLedger::read(&path)?.get(&answer("c").key), Some(&answer("c")));
        }
        Ok(())
    }

    #[test]
    fn a_damaged_line_in_the_middle_is_an_error() -> Result<(), TracesError> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("traces.jsonl");
        TraceLedger::open(&path)?.record(vec![answer("a")])?;
        let whole = std::fs::read_to_string(&path).expect("the file stands");
        std::fs::write(&path, format!("{whole}nonsense\n{whole}")).expect("it can be written");
        let message = TraceLedger::open(&path).err().expect("it is refused").to_string();
        assert!(message.contains("line 2: expected an answer with its key"), "{message}");
        Ok(())
    }

    #[test]
    fn the_first_answer_to_a_request_stands() -> Result<(), TracesError> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("traces.jsonl");
        let mut ledger = TraceLedger::open(&path)?;
        ledger.record(vec![answer("a")])?;
        ledger.record(vec![TracedAnswer { text: None, ..answer("a") }])?;
        assert_eq!(ledger.get(&answer("a").key), Some(&answer("a")));
        assert_eq!(TraceLedger::read(&path)?.get(&answer("a").key), Some(&answer("a")));
        Ok(())
    }
}

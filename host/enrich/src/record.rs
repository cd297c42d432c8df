//! The record of answers: an append-only file of one JSON object a line, one line for each call that was answered.
//!
//! A line is durable before anything is made of the answer. A kill tears at most the last line, which is cut off when
//! the file is opened again: its call counts as not made. A line that is damaged is told, and its call is made again.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::error::EnrichError;
use hilora_contract::artifact::{ContentHash, FileError, JsonRow, RecordFile, RecordRows};
use hilora_endpoint::Answer;

/// An endpoint's answer to one request, as it came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TracedAnswer {
    /// The hash of the request's body: model, prompt and sampling settings.
    pub key: ContentHash,
    /// The message's text; `null` if the answer had none.
    pub text: Option<String>,
    /// Why the endpoint ended it (`stop`, `length`, …).
    pub finish_reason: Option<String>,
    /// Tokens of the prompt, as the endpoint counts them.
    pub prompt_tokens: u64,
    /// Tokens of the answer.
    pub completion_tokens: u64,
}

impl JsonRow for TracedAnswer {
    const EXPECTED: &'static str = "an answer with its key";
}

impl TracedAnswer {
    /// What is recorded of a call.
    pub(super) fn new(key: ContentHash, answer: Answer) -> Self {
        let Answer { choices, prompt_tokens, completion_tokens } = answer;
        // One was asked for.
        let (text, finish_reason) =
            choices.into_iter().next().map_or((None, None), |choice| (choice.text, choice.finish_reason));
        Self { key, text, finish_reason, prompt_tokens, completion_tokens }
    }
}

/// The answers of one specialist's training rows.
pub struct TraceRecord {
    path: PathBuf,
    answers: BTreeMap<ContentHash, TracedAnswer>,
    /// Where lines are appended; `None` if the record is only read.
    file: Option<RecordFile>,
}

impl TraceRecord {
    /// The recorded answers, without touching the file; none if there is no file.
    pub fn read(path: &Path) -> Result<Self, EnrichError> {
        let found = RecordFile::read(path)?;
        Ok(Self { path: path.to_owned(), answers: answers(found), file: None })
    }

    /// Opens the record to append to it; makes it if it is missing and drops what is torn or damaged.
    pub fn open(path: &Path) -> Result<Self, EnrichError> {
        let (file, found) = RecordFile::open(path)?;
        Ok(Self { path: path.to_owned(), answers: answers(found), file: Some(file) })
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
    pub fn append(&mut self, answers: Vec<TracedAnswer>) -> Result<(), EnrichError> {
        let Some(file) = &mut self.file else {
            return Err(FileError::writing(&self.path, io::Error::other("it was opened for reading")).into());
        };
        file.append(answers.iter())?;
        file.sync()?;
        for answer in answers {
            // The first answer to a request stands.
            self.answers.entry(answer.key).or_insert(answer);
        }
        Ok(())
    }
}

/// The answers by their requests; what was passed over is told.
fn answers(found: RecordRows<TracedAnswer>) -> BTreeMap<ContentHash, TracedAnswer> {
    for damaged in &found.damaged {
        tracing::warn!("{damaged}; its call is made again");
    }
    let mut answers = BTreeMap::new();
    for answer in found.rows {
        answers.entry(answer.key).or_insert(answer);
    }
    answers
}

#[cfg(test)]
mod tests {
    use super::*;
    use hilora_contract::artifact::SealedLine;

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
    fn a_torn_last_line_is_cut_and_what_was_whole_stays() -> Result<(), EnrichError> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("data/python_traces.jsonl");
        let mut record = TraceRecord::open(&path)?;
        record.append(vec![answer("a"), answer("b")])?;
        let whole = std::fs::read(&path).expect("the file stands");
        // A kill may end the file anywhere in the line that was being written.
        let next = SealedLine::of(&answer("c")).into_bytes();
        for torn in 0..next.len() {
            std::fs::write(&path, [&whole[..], &next[..torn]].concat()).expect("it can be written");
            let mut record = TraceRecord::open(&path)?;
            assert_eq!((record.len(), std::fs::read(&path).expect("it stands")), (2, whole.clone()));
            record.append(vec![answer("c")])?;
            assert_eq!(TraceRecord::read(&path)?.get(&answer("c").key), Some(&answer("c")));
        }
        Ok(())
    }

    #[test]
    fn a_damaged_line_in_the_middle_is_asked_again_and_those_after_it_stand() -> Result<(), EnrichError> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("traces.jsonl");
        TraceRecord::open(&path)?.append(["a", "b", "c"].map(answer).to_vec())?;
        let mut text = std::fs::read(&path).expect("the file stands");
        // In the second answer's text: without a hash it would be trained on.
        let at = String::from_utf8_lossy(&text).find("of b").expect("the second answer");
        text[at] ^= 1;
        std::fs::write(&path, text).expect("it can be written");
        let mut record = TraceRecord::open(&path)?;
        let known = |record: &TraceRecord| ["a", "b", "c"].map(|name| record.get(&answer(name).key).is_some());
        assert_eq!(known(&record), [true, false, true]);
        record.append(vec![answer("b")])?;
        let record = TraceRecord::read(&path)?;
        assert_eq!((known(&record), record.get(&answer("b").key)), ([true; 3], Some(&answer("b"))));
        Ok(())
    }

    #[test]
    fn the_first_answer_to_a_request_stands() -> Result<(), EnrichError> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("traces.jsonl");
        let mut record = TraceRecord::open(&path)?;
        record.append(vec![answer("a")])?;
        record.append(vec![TracedAnswer { text: None, ..answer("a") }])?;
        assert_eq!(record.get(&answer("a").key), Some(&answer("a")));
        assert_eq!(TraceRecord::read(&path)?.get(&answer("a").key), Some(&answer("a")));
        Ok(())
    }
}

//! The record of answers: an append-only file of one JSON object a line, one line for each call that was answered.
//!
//! A line is durable before anything is made of the answer. A kill tears at most the last line, which is cut off when
//! the file is opened again: its call counts as not made. A line in the middle that cannot be read is an error, because
//! calls that were paid for would be repeated without a word.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::endpoint::Completion;
use super::error::EnrichError;
use hilora_contract::artifact::{ContentHash, FileError, JsonRow, Lines};

/// Bytes that are read at once while the end of the last whole line is looked for.
const PIECE_BYTES: usize = 64 << 10;

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
    pub(super) fn new(key: ContentHash, completion: Completion) -> Self {
        let Completion { text, finish_reason, prompt_tokens, completion_tokens } = completion;
        Self { key, text, finish_reason, prompt_tokens, completion_tokens }
    }
}

/// The answers of one specialist's training rows.
pub struct TraceRecord {
    path: PathBuf,
    answers: BTreeMap<ContentHash, TracedAnswer>,
    /// Where lines are appended; `None` if the record is only read.
    file: Option<File>,
}

impl TraceRecord {
    /// The recorded answers, without touching the file; none if there is no file.
    pub fn read(path: &Path) -> Result<Self, EnrichError> {
        let (answers, _) = read_lines(path)?;
        Ok(Self { path: path.to_owned(), answers, file: None })
    }

    /// Opens the record to append to it; makes it if it is missing and cuts a torn last line off.
    pub fn open(path: &Path) -> Result<Self, EnrichError> {
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
    pub fn append(&mut self, answers: Vec<TracedAnswer>) -> Result<(), EnrichError> {
        let failed = |error| EnrichError::from(FileError::writing(&self.path, error));
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
fn read_lines(path: &Path) -> Result<(BTreeMap<ContentHash, TracedAnswer>, u64), EnrichError> {
    let mut answers = BTreeMap::new();
    let whole_bytes = match File::open(path).and_then(|file| whole_bytes(&file)) {
        Ok(whole_bytes) => whole_bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((answers, 0)),
        Err(error) => return Err(FileError::reading(path, error).into()),
    };
    let mut lines = Lines::open(path)?;
    while lines.bytes_read() < whole_bytes {
        let Some(line) = lines.next_line()? else { break };
        // What follows the last whole line, past blank ones, is torn.
        if line.begin < whole_bytes {
            let answer: TracedAnswer = line.read(path)?;
            answers.entry(answer.key).or_insert(answer);
        }
    }
    Ok((answers, whole_bytes))
}

/// How many bytes a file has up to the end of its last whole line.
fn whole_bytes(file: &File) -> io::Result<u64> {
    let mut end = file.metadata()?.len();
    let mut buffer = vec![0; PIECE_BYTES];
    while end > 0 {
        let piece = &mut buffer[..PIECE_BYTES.min(end as usize)];
        let begin = end - piece.len() as u64;
        file.read_exact_at(piece, begin)?;
        if let Some(last) = piece.iter().rposition(|byte| *byte == b'\n') {
            return Ok(begin + last as u64 + 1);
        }
        end = begin;
    }
    Ok(0)
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
    fn a_torn_last_line_is_cut_and_what_was_whole_stays() -> Result<(), EnrichError> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("data/python_traces.jsonl");
        let mut record = TraceRecord::open(&path)?;
        record.append(vec![answer("a"), answer("b")])?;
        let whole = std::fs::read(&path).expect("the file stands");
        // A kill may end the file anywhere in the line that was being written.
        let next = serde_json::to_vec(&answer("c")).expect("it serializes");
        for torn in 0..=next.len() {
            std::fs::write(&path, [&whole[..], &next[..torn]].concat()).expect("it can be written");
            let mut record = TraceRecord::open(&path)?;
            assert_eq!((record.len(), std::fs::read(&path).expect("it stands")), (2, whole.clone()));
            record.append(vec![answer("c")])?;
            assert_eq!(TraceRecord::read(&path)?.get(&answer("c").key), Some(&answer("c")));
        }
        Ok(())
    }

    #[test]
    fn a_damaged_line_in_the_middle_is_an_error() -> Result<(), EnrichError> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("traces.jsonl");
        TraceRecord::open(&path)?.append(vec![answer("a")])?;
        let whole = std::fs::read_to_string(&path).expect("the file stands");
        std::fs::write(&path, format!("{whole}nonsense\n{whole}")).expect("it can be written");
        let message = TraceRecord::open(&path).err().expect("it is refused").to_string();
        assert!(message.contains("line 2: expected an answer with its key"), "{message}");
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

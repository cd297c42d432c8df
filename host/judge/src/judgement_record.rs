//! The record of a batch: what was judged so far, one line a judgement, each appended as soon as it is made. A batch that
//! was killed finds there what it need not run again.
//!
//! A judgement is found by the hash of everything that decides it, never by its place in a file. Only what is a fact about
//! a program is entered: where the host failed or a clock of the machine decided, the question is asked again. What
//! another build of this program wrote is forgotten, and so is a line that was cut off or damaged; with a damaged first
//! line, which names the build, all of them are.

use std::collections::HashMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, BufRead, BufReader};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use super::judged_program::Finding;
use super::receipt::Receipt;
use hilora_contract::artifact::{ContentHash, FileError, SealedLine, Unsealed, open_in_place};
use hilora_contract::fault::{Blame, Fault};

/// What is asked of a program: as different questions they have different answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Question {
    /// Its verdict on every test.
    Judge,
    /// The same once more, to be held against a judgement that was made before.
    Replay,
    /// Whether it passes all tests as a reference solution, and what it uses.
    Measure,
}

impl Question {
    /// The hash of the question about what this receipt tells.
    pub fn about(self, receipt: &Receipt) -> ContentHash {
        let word: &[u8] = match self {
            Self::Judge => b"judge",
            Self::Replay => b"replay",
            Self::Measure => b"measure",
        };
        let receipt = serde_json::to_vec(receipt).expect("plain structs with text keys always serialize");
        ContentHash::of_parts([word, &receipt])
    }
}

/// The first line.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Heading {
    /// Says what the file is. An earlier build had another key for it.
    #[serde(alias = "ledger")]
    record: String,
    /// The hash of the program that judged.
    made_by: ContentHash,
}

/// What the first line calls the file.
const HEADING: &str = "judgements";
/// How many bytes of a first line may be damaged beside its hashes. A file in which more are others may be anybody's.
const DAMAGED_BYTES_MAX: usize = 4;

/// Every further line.
#[derive(Serialize, Deserialize)]
struct Entry<F> {
    question: ContentHash,
    finding: F,
}

/// Why a record cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// It cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// Another process holds it.
    #[error("another process is judging: it holds {path}", path = path.display())]
    Held {
        /// The record's file.
        path: PathBuf,
    },
    /// The file is something else.
    #[error("{path} is in the place of the record: expected judgements that were interrupted, got another file", path = path.display())]
    Other {
        /// The file.
        path: PathBuf,
    },
}

impl Fault for RecordError {
    fn blame(&self) -> Blame {
        match self {
            Self::File(error) => error.blame(),
            Self::Held { .. } | Self::Other { .. } => Blame::User,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::File(error) => error.hints(),
            Self::Held { .. } => vec!["wait for it to end, or write to another file".to_owned()],
            Self::Other { .. } => vec!["move it away, or write to another file".to_owned()],
        }
    }
}

/// Where an entry stands in the file.
#[derive(Clone, Copy)]
struct Place {
    begin: u64,
    length: usize,
}

/// Findings by the question that they answer. One process holds it at a time.
pub struct JudgementRecord {
    path: PathBuf,
    file: File,
    /// Findings of earlier calls. A question that was asked several times has as many.
    known: HashMap<ContentHash, Vec<Place>>,
    /// How many those are.
    found: u64,
    /// Where the first entry stands.
    begin: u64,
    /// Where the next one goes.
    end: Mutex<u64>,
    removed: bool,
}

impl JudgementRecord {
    /// Opens the record at this path, or begins one, for a program of this hash.
    pub fn open(path: &Path, made_by: ContentHash) -> Result<Self, RecordError> {
        let failed = |error| FileError::writing(path, error);
        let file = loop {
            let mut options = OpenOptions::new();
            let file = open_in_place(path, options.read(true).write(true).create(true).truncate(false));
            let file = file.map_err(failed)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Err(RecordError::Held { path: path.to_owned() }),
                Err(TryLockError::Error(error)) => return Err(failed(error).into()),
            }
            // Its last holder may have removed it in between.
            if file.metadata().map_err(failed)?.nlink() > 0 {
                break file;
            }
        };
        let heading = SealedLine::of(&Heading { record: HEADING.to_owned(), made_by }).into_bytes();
        let (known, end) = match entries(&file, &heading).map_err(failed)? {
            Contents::Ours(known, end) => (known, end),
            Contents::Nothing => (HashMap::new(), 0),
            Contents::Other => return Err(RecordError::Other { path: path.to_owned() }),
        };
        let found = known.values().map(|places| places.len() as u64).sum();
        let begin = heading.len() as u64;
        // What is not whole is cut off.
        file.set_len(end).map_err(failed)?;
        if end == 0 {
            file.write_all_at(&heading, 0).map_err(failed)?;
        }
        let end = Mutex::new(end.max(begin));
        Ok(Self { path: path.to_owned(), file, known, found, begin, end, removed: false })
    }

    fn end(&self) -> MutexGuard<'_, u64> {
        self.end.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How many findings there were when it was opened.
    pub fn found(&self) -> u64 {
        self.found
    }

    /// Takes a finding of an earlier call: each answers one question only, as if the program had been run now.
    pub fn take(&mut self, question: ContentHash) -> Result<Option<Finding>, RecordError> {
        let Some(place) = self.known.get_mut(&question).and_then(Vec::pop) else { return Ok(None) };
        self.read(place).map(Some)
    }

    fn read(&self, place: Place) -> Result<Finding, RecordError> {
        let mut line = vec![0; place.length];
        let read = self.file.read_exact_at(&mut line, place.begin);
        let changed = || io::Error::other("a line is not the one that was read before");
        let entry = read.and_then(|()| entry_of(&line).ok_or_else(changed));
        Ok(entry.map_err(|error| FileError::reading(&self.path, error))?.finding)
    }

    /// Enters a finding. Once this returns it outlives the process; after `sync` the machine, too.
    pub fn enter(&self, question: ContentHash, finding: &Finding) -> Result<(), RecordError> {
        let line = SealedLine::of(&Entry { question, finding }).into_bytes();
        let mut end = self.end();
        // Where a write fails, the next one goes over what it left.
        self.file.write_all_at(&line, *end).map_err(|error| FileError::writing(&self.path, error))?;
        *end += line.len() as u64;
        Ok(())
    }

    /// Makes everything that was entered durable.
    pub fn sync(&self) -> Result<(), RecordError> {
        Ok(self.file.sync_data().map_err(|error| FileError::writing(&self.path, error))?)
    }

    /// Removes the file: what it holds stands in the output now.
    pub fn remove(mut self) -> Result<(), RecordError> {
        self.removed = true;
        Ok(std::fs::remove_file(&self.path).map_err(|error| FileError::writing(&self.path, error))?)
    }
}

impl Drop for JudgementRecord {
    fn drop(&mut self) {
        // A record without an entry is worth no file, nor an error.
        if !self.removed && *self.end() == self.begin {
            drop(std::fs::remove_file(&self.path));
        }
        // Said aloud, because a process that was started at this moment holds the file, too, until it runs its program.
        drop(self.file.unlock());
    }
}

/// What was found in a file.
enum Contents {
    /// The entries, and where the first line that is not whole begins.
    Ours(HashMap<ContentHash, Vec<Place>>, u64),
    /// Nothing that is worth keeping.
    Nothing,
    /// It is no record.
    Other,
}

fn entries(file: &File, heading: &[u8]) -> io::Result<Contents> {
    let mut reader = BufReader::new(file);
    let mut line = Vec::new();
    reader.read_until(b'\n', &mut line)?;
    if heading.starts_with(&line) && line != heading {
        return Ok(Contents::Nothing);
    }
    if line != heading {
        let is_record = is_heading_of_another(&line) || is_damaged_heading(file, heading)?;
        return Ok(if is_record { Contents::Nothing } else { Contents::Other });
    }
    let mut known: HashMap<ContentHash, Vec<Place>> = HashMap::new();
    let mut begin = line.len() as u64;
    loop {
        line.clear();
        reader.read_until(b'\n', &mut line)?;
        if !line.ends_with(b"\n") {
            return Ok(Contents::Ours(known, begin));
        }
        // A line that is damaged answers nothing: its question is asked again.
        if let Some(entry) = entry_of(&line) {
            known.entry(entry.question).or_default().push(Place { begin, length: line.len() });
        }
        begin += line.len() as u64;
    }
}

/// Whether a line is the whole heading of another build's record.
fn is_heading_of_another(line: &[u8]) -> bool {
    let text = String::from_utf8_lossy(line).trim_end().to_owned();
    let Ok(Unsealed::Whole(text) | Unsealed::WithoutHash(text)) = SealedLine::open(text) else { return false };
    serde_json::from_str::<Heading>(&text).is_ok_and(|heading| heading.record == HEADING)
}

/// Whether a file begins like a heading of which some bytes are others. Whose record it was cannot be known, because the
/// hashes may be damaged, too: only what stands around them is compared.
fn is_damaged_heading(file: &File, heading: &[u8]) -> io::Result<bool> {
    let mut begin = vec![0; heading.len()];
    match file.read_exact_at(&mut begin, 0) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
        read => read?,
    }
    let around_hashes = begin.iter().zip(heading).filter(|(_, expected)| !expected.is_ascii_hexdigit());
    Ok(around_hashes.filter(|(got, expected)| got != expected).count() <= DAMAGED_BYTES_MAX)
}

/// The entry of a line with its end, if the line is the one that was written.
fn entry_of(line: &[u8]) -> Option<Entry<Finding>> {
    let text = std::str::from_utf8(line.strip_suffix(b"\n")?).ok()?;
    match SealedLine::open(text.to_owned()) {
        Ok(Unsealed::Whole(text)) => serde_json::from_str(&text).ok(),
        Ok(Unsealed::WithoutHash(_)) | Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{JudgedTest, Verdict};
    use std::fs;

    fn finding(fuel: u64) -> Finding {
        let test = JudgedTest {
            verdict: Verdict::Accepted,
            exit_code: Some(0),
            exception: None,
            fuel,
            cpu_ms: 0.1,
            wall_ms: 0.3,
            memory_bytes: 1,
            stdout_bytes: 1,
            detail: String::new(),
            mismatch: None,
        };
        Finding { verdict: Verdict::Accepted, tests: vec![test] }
    }

    fn key(number: u8) -> ContentHash {
        ContentHash::of(&[number])
    }

    /// Writes a record of so many findings. Gives the bytes of its first line and all of its content.
    fn written(path: &Path, findings: u8) -> Result<(usize, Vec<u8>), RecordError> {
        let record = JudgementRecord::open(path, key(0))?;
        let heading = fs::metadata(path).expect("it is there").len() as usize;
        for number in 1..=findings {
            record.enter(key(number), &finding(number.into()))?;
        }
        drop(record);
        Ok((heading, fs::read(path).expect("it can be read")))
    }

    #[test]
    fn a_finding_outlives_its_process_and_answers_one_question() -> Result<(), RecordError> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("out.jsonl.judged");
        let record = JudgementRecord::open(&path, key(0))?;
        record.enter(key(1), &finding(1))?;
        record.enter(key(1), &finding(1))?;
        record.enter(key(2), &finding(2))?;
        drop(record);
        let mut record = JudgementRecord::open(&path, key(0))?;
        assert_eq!(record.found(), 3);
        for expected in [Some(finding(1)), Some(finding(1)), None] {
            assert_eq!(record.take(key(1))?, expected);
        }
        record.remove()?;
        assert!(!path.exists());
        Ok(())
    }

    #[test]
    fn a_record_that_was_cut_anywhere_keeps_what_is_whole() -> Result<(), RecordError> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("record");
        let (heading, whole) = written(&path, 2)?;
        // Both lines have one length.
        let one = heading + (whole.len() - heading) / 2;
        for length in 0..whole.len() {
            fs::write(&path, &whole[..length]).expect("it can be written");
            let record = JudgementRecord::open(&path, key(0))?;
            assert_eq!(record.found(), u64::from(length >= one), "{length} bytes");
            record.enter(key(3), &finding(3))?;
            drop(record);
            let mut record = JudgementRecord::open(&path, key(0))?;
            assert_eq!(record.take(key(3))?, Some(finding(3)), "{length} bytes of which {heading} are the heading");
        }
        Ok(())
    }

    #[test]
    fn a_changed_byte_costs_one_line_and_is_never_believed() -> Result<(), RecordError> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("record");
        let (heading, whole) = written(&path, 3)?;
        for place in heading..whole.len() {
            let mut damaged = whole.clone();
            damaged[place] ^= 1;
            fs::write(&path, damaged).expect("it can be written");
            let mut record = JudgementRecord::open(&path, key(0))?;
            // A changed end of a line joins two.
            assert!((1..=2).contains(&record.found()), "byte {place}: {}", record.found());
            for number in 1..4 {
                let found = record.take(key(number))?;
                assert!(found.is_none() || found == Some(finding(number.into())), "byte {place}: {found:?}");
            }
        }
        Ok(())
    }

    #[test]
    fn every_flipped_bit_of_the_heading_makes_the_record_forgotten() -> Result<(), RecordError> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("record");
        let (heading, whole) = written(&path, 1)?;
        for bit in 0..heading * 8 {
            let mut damaged = whole.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            fs::write(&path, damaged).expect("it can be written");
            let record = JudgementRecord::open(&path, key(0))?;
            assert_eq!(record.found(), 0, "bit {bit}");
            if bit % 13 == 0 {
                record.enter(key(3), &finding(3))?;
                drop(record);
                assert_eq!(JudgementRecord::open(&path, key(0))?.take(key(3))?, Some(finding(3)), "bit {bit}");
            }
        }
        Ok(())
    }

    #[test]
    fn headings_of_earlier_builds_and_without_their_hash_are_forgotten() -> Result<(), RecordError> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("record");
        let (ours, other) = (key(0), key(9));
        for heading in [
            format!("{{\"ledger\":\"judgements\",\"made_by\":\"{ours}\"}}"),
            format!("{{\"record\":\"judgements\",\"made_by\":\"{ours}\"}}"),
            format!("{{\"record\":\"judgements\",\"made_by\":\"{other}\",\"line_hash\":\"0123456789abcdef\"}}"),
        ] {
            fs::write(&path, format!("{heading}\n{{}}\n")).expect("it can be written");
            assert_eq!(JudgementRecord::open(&path, key(0))?.found(), 0, "{heading}");
            assert!(!path.exists(), "{heading}");
        }
        Ok(())
    }

    #[test]
    fn what_another_program_wrote_is_forgotten_and_what_is_no_record_is_refused() -> Result<(), RecordError> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("record");
        let record = JudgementRecord::open(&path, key(0))?;
        record.enter(key(1), &finding(1))?;
        assert!(matches!(JudgementRecord::open(&path, key(0)), Err(RecordError::Held { .. })));
        drop(record);
        assert_eq!(JudgementRecord::open(&path, key(9))?.found(), 0);
        assert_eq!(JudgementRecord::open(&path, key(0))?.found(), 0);
        let long = "notes that are longer than the first line of a record, which has the length of two hashes and of \
                    some words around them\n"
            .repeat(2);
        let like = "{\"record\":\"judgements\",\"count\":1}\n".repeat(9);
        for text in ["notes", "notes\n", "{\"id\":1}\n", &long, &like] {
            fs::write(&path, text).expect("it can be written");
            assert!(matches!(JudgementRecord::open(&path, key(0)), Err(RecordError::Other { .. })), "{text}");
            assert_eq!(fs::read_to_string(&path).expect("it is still there"), text);
        }
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&path, &link).expect("a link");
        assert!(matches!(JudgementRecord::open(&link, key(0)), Err(RecordError::File(_))));
        Ok(())
    }

    #[test]
    fn a_question_is_its_kind_and_everything_in_the_receipt() {
        let receipt = |fuel: u64| Receipt {
            code: key(1),
            tests: key(2),
            entry_point: None,
            checker: "lines".to_owned(),
            runner: key(3),
            limits: super::super::limits::run_limits(Some(fuel), None),
        };
        let asked =
            [Question::Judge, Question::Replay, Question::Measure].map(|question| question.about(&receipt(900)));
        assert!(asked[0] != asked[1] && asked[1] != asked[2] && asked[0] != asked[2]);
        assert_ne!(asked[0], Question::Judge.about(&receipt(901)));
        assert_eq!(asked[0], Question::Judge.about(&receipt(900)));
    }
}

//! JSON lines: files of one JSON object a line, plain or compressed with gzip, read as one sequence of rows.
//!
//! A blank line is no row. A line that is too long, not UTF-8, not JSON or not an object is a row that is skipped by
//! name. Only a damaged gzip, and a file that is plainly of another format, are errors.

mod byte_lines;

use std::collections::VecDeque;

use hilora_plugin_sdk::loader::{DatasetReader, LoadError, LoadedRow, MalformedFile, SourceFile};
use hilora_plugin_sdk::types::{Conversation, PolicyExample, Problem, ProblemText, SkippedRow};

use crate::json::{Fields, Json};
use crate::skip::Skip;

use byte_lines::{ByteLine, ByteLines};

/// The longest line that is read, in bytes; a longer one is passed over without being kept.
pub const LINE_BYTES_MAX: usize = 64 << 20;

/// A batch ends once its rows hold this many bytes of text.
const BATCH_BYTES: usize = 8 << 20;

/// Where a row stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place<'a> {
    /// The file's name.
    pub file: &'a str,
    /// The line in that file, from 1.
    pub line: u64,
}

/// Makes rows of one dataset out of JSON objects.
pub trait RowLoader: 'static {
    /// The row's identifier.
    fn id(&self, row: &Fields<'_>, place: Place<'_>) -> Result<String, Skip>;

    /// The row itself. The place is put before the skip's detail by the reader.
    fn load(&self, id: String, row: &Fields<'_>) -> Result<LoadedRow, Skip>;
}

/// Reads the files in their order, from the first line to the last.
pub struct JsonLinesReader<L> {
    waiting: VecDeque<SourceFile>,
    current: Option<Lines>,
    loader: L,
}

/// A file that is being read.
struct Lines {
    name: String,
    lines: ByteLines,
    rows_read: u64,
}

impl<L: RowLoader> JsonLinesReader<L> {
    /// A reader over the files. A file that is plainly of another format is an error at once.
    pub fn new(files: Vec<SourceFile>, loader: L) -> Result<Self, LoadError> {
        files.iter().try_for_each(refuse_other_formats)?;
        Ok(Self { waiting: files.into(), current: None, loader })
    }

    /// The next row; `None` at the end of the last file.
    fn next_row(&mut self) -> Result<Option<LoadedRow>, LoadError> {
        loop {
            if self.current.is_none() {
                let Some(file) = self.waiting.pop_front() else { return Ok(None) };
                self.current = Some(Lines::open(file)?);
            }
            let row = match &mut self.current {
                Some(lines) => lines.next_row(&self.loader)?,
                None => None,
            };
            match row {
                Some(row) => return Ok(Some(row)),
                None => self.current = None,
            }
        }
    }
}

impl<L: RowLoader> DatasetReader for JsonLinesReader<L> {
    fn next_batch(&mut self, rows_max: u32) -> Result<Vec<LoadedRow>, LoadError> {
        let mut rows = Vec::new();
        let mut bytes = 0;
        while rows.len() < rows_max as usize && bytes < BATCH_BYTES {
            let Some(row) = self.next_row()? else { break };
            bytes += text_bytes(&row);
            rows.push(row);
        }
        Ok(rows)
    }

    /// Lines are not counted before they are read.
    fn rows_total(&self) -> Option<u64> {
        None
    }
}

impl Lines {
    fn open(file: SourceFile) -> Result<Self, LoadError> {
        let name = file.name().to_owned();
        Ok(Self { name, lines: ByteLines::open(file)?, rows_read: 0 })
    }

    /// The next line that is not blank, as a row.
    fn next_row(&mut self, loader: &impl RowLoader) -> Result<Option<LoadedRow>, LoadError> {
        loop {
            let place = Place { file: &self.name, line: self.lines.lines_read() + 1 };
            let row = match self.lines.next(LINE_BYTES_MAX, self.rows_read)? {
                None => return Ok(None),
                Some(ByteLine::Whole(bytes)) if bytes.trim_ascii().is_empty() => continue,
                Some(ByteLine::Whole(bytes)) => load(loader, bytes, place),
                Some(ByteLine::TooLong { bytes }) => Skip::new(
                    "line-too-long",
                    format!("{place}: the line has {bytes} bytes, expected at most {LINE_BYTES_MAX}"),
                )
                .into_row(None),
            };
            self.rows_read += 1;
            return Ok(Some(row));
        }
    }
}

impl std::fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} line {}", self.file, self.line)
    }
}

/// One line as a row.
fn load(loader: &impl RowLoader, line: &[u8], place: Place<'_>) -> LoadedRow {
    let at_place = |skip: Skip| Skip { detail: format!("{place}: {}", skip.detail), ..skip };
    let row = match parse(line) {
        Ok(row) => row,
        Err(skip) => return at_place(skip).into_row(None),
    };
    match loader.id(&row, place) {
        Ok(id) => loader.load(id.clone(), &row).unwrap_or_else(|skip| at_place(skip).into_row(Some(id))),
        Err(skip) => at_place(skip).into_row(None),
    }
}

fn parse(line: &[u8]) -> Result<Fields<'_>, Skip> {
    let text = std::str::from_utf8(line).map_err(|error| {
        Skip::new("invalid-utf8", format!("column {}: expected UTF-8 text", error.valid_up_to() + 1))
    })?;
    let value = Json::parse(text).map_err(|why| Skip::new("malformed-json", format!("not JSON: {why}")))?;
    if !value.is_object() {
        return Err(Skip::new("malformed-json", format!("expected a JSON object, got {}", value.kind())));
    }
    value.fields("the row")
}

/// Names the mistake of passing a file of another format, which would else be thousands of skipped rows.
fn refuse_other_formats(file: &SourceFile) -> Result<(), LoadError> {
    let head = file.read_at(0, 6).map_err(|error| LoadError::Unreadable(format!("{}: {error}", file.name())))?;
    let format = match &head[..] {
        [b'P', b'A', b'R', b'1', ..] => "a Parquet file",
        b"ARROW1" => "an Arrow file",
        [0xff, 0xff, 0xff, 0xff, ..] => "an Arrow stream",
        [0x28, 0xb5, 0x2f, 0xfd, ..] => "compressed with zstd",
        [b'P', b'K', 3, 4, ..] => "a zip archive",
        _ => return Ok(()),
    };
    let detail = format!("expected JSON lines, plain or compressed with gzip; this is {format}");
    Err(LoadError::Malformed(MalformedFile { file: file.name().to_owned(), row: None, detail }))
}

/// What a text costs beside its own bytes: where it lies and how long it is, on both sides of the interface.
const BYTES_PER_TEXT: usize = 32;

/// About how much memory a row's texts take, in bytes; what decides where a batch ends.
pub fn text_bytes(row: &LoadedRow) -> usize {
    match row {
        LoadedRow::Problem(problem) => problem_bytes(problem),
        LoadedRow::Conversation(conversation) => {
            let Conversation { id, messages, tags, difficulty } = conversation;
            bytes(messages.iter().map(|message| &message.content)) + bytes(tags) + bytes([id]) + bytes(difficulty)
        }
        LoadedRow::Policy(example) => {
            let PolicyExample { id, instruction, policy, actions, outputs, tags, difficulty } = example;
            let actions = bytes(actions.iter().flat_map(|action| [&action.name, &action.arguments]));
            actions + bytes([id, instruction, policy]) + bytes(outputs) + bytes(tags) + bytes(difficulty)
        }
        LoadedRow::Skipped(SkippedRow { id, reason, detail }) => bytes([reason, detail]) + bytes(id),
    }
}

fn problem_bytes(problem: &Problem) -> usize {
    let ProblemText { id, title, statement, tags, difficulty } = &problem.text;
    let programs = problem.solutions.iter().chain(&problem.incorrect_solutions).map(|solution| &solution.code);
    let tests = problem.tests.iter().flat_map(|test| [&test.input, &test.expected]);
    let attributes = problem.attributes.iter().flat_map(|attribute| [&attribute.name, &attribute.value]);
    let text = bytes([id, title, statement]) + bytes(tags) + bytes(difficulty);
    text + bytes(programs) + bytes(tests) + bytes(attributes)
}

fn bytes<'a>(texts: impl IntoIterator<Item = &'a String>) -> usize {
    texts.into_iter().map(|text| text.len() + BYTES_PER_TEXT).sum()
}

#[cfg(test)]
mod tests;

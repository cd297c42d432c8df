//! JSON lines: files of one JSON object a line, plain or compressed with gzip, read as one sequence of rows.
//!
//! A blank line is no row. A line that is too long, not UTF-8, not JSON or not an object is a row that is skipped by
//! name. Only a damaged gzip, and a file that is plainly of another format, are errors.

mod byte_lines;

use std::collections::VecDeque;

use hilora_plugin_sdk::loader::{Column, DatasetReader, LoadError, LoadedRow, MalformedFile, SourceFile};

use crate::batch;
use crate::json::{Fields, Json};
use crate::skip::Skip;

use byte_lines::{ByteLine, ByteLines};

/// The longest line that is read, in bytes; a longer one is passed over without being kept.
pub const LINE_BYTES_MAX: usize = 64 << 20;

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

/// The fields that a loader reads, each as name, expected and required, as the loader's description states them.
pub fn describe(fields: &[(&str, &str, bool)]) -> Vec<Column> {
    let column = |&(name, expected, required): &(&str, &str, bool)| Column {
        name: name.to_owned(),
        expected: expected.to_owned(),
        required,
    };
    fields.iter().map(column).collect()
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
        batch::fill(rows_max, || self.next_row())
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

#[cfg(test)]
mod tests;

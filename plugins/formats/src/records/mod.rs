//! Records: the rows of files as JSON objects, whatever the files are written in, read as one sequence.
//!
//! A blank line is no row. A row that is too long, not UTF-8, not JSON or not an object is skipped by name. Only a damaged
//! archive, a list or a table that does not end, and a file that is plainly of another format, are errors.

mod byte_lines;
mod column_rows;
mod container;
mod decompressed;
mod json_list;
mod record;
mod table;

use std::collections::VecDeque;

use hilora_plugin_sdk::loader::{Column, DatasetReader, LoadError, LoadedRow, SourceFile};

use crate::batch;
use crate::json::{Fields, Json};
use crate::skip::Skip;

use record::{Record, Records};

pub use container::stem;
pub use record::{Position, ROW_BYTES_MAX};

/// Where a row stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place<'a> {
    /// The file's name.
    pub file: &'a str,
    /// The place in that file.
    pub position: Position,
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

/// The beginning of a file: what it is written in, and its first rows that are JSON objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beginning {
    /// What the file is written in, in words.
    pub format: String,
    /// The rows' texts.
    pub rows: Vec<String>,
    /// Why the first of those that were passed over are no rows, each with its place.
    pub unread: Vec<String>,
}

/// How many rows that cannot be read a beginning tells of.
const UNREAD_TOLD_MAX: usize = 3;

/// Reads the first rows of a file, at most so many, passing over what is none.
pub fn beginning(file: &SourceFile, rows_max: usize) -> Result<Beginning, LoadError> {
    let container::Opened { mut records, format } = container::open(file.clone())?;
    let (mut rows, mut unread) = (Vec::new(), Vec::new());
    for row in 0..rows_max {
        let Some((position, record)) = records.next(row as u64)? else { break };
        let place = Place { file: file.name(), position };
        let skip = match record {
            Record::Text(text) => match parse(text) {
                Ok(_) => {
                    rows.push(String::from_utf8_lossy(text).into_owned());
                    continue;
                }
                Err(skip) => skip,
            },
            Record::Skipped(skip) => skip,
        };
        if unread.len() < UNREAD_TOLD_MAX {
            unread.push(at(place, skip).detail);
        }
    }
    Ok(Beginning { format, rows, unread })
}

/// Reads the files in their order, from the first row to the last.
pub struct RecordReader<L> {
    waiting: VecDeque<SourceFile>,
    current: Option<Current>,
    loader: L,
    rows_total: Option<u64>,
}

/// A file that is being read.
struct Current {
    name: String,
    records: Box<dyn Records>,
    rows_read: u64,
}

impl<L: RowLoader> RecordReader<L> {
    /// A reader over the files. A file whose header is damaged or that is plainly of another format is an error at once.
    pub fn new(files: Vec<SourceFile>, loader: L) -> Result<Self, LoadError> {
        let totals = files.iter().map(|file| Ok(container::open(file.clone())?.records.rows_total()));
        let totals = totals.collect::<Result<Vec<_>, LoadError>>()?;
        let rows_total = totals.into_iter().try_fold(0_u64, |sum, rows| sum.checked_add(rows?));
        let rows_total = rows_total.filter(|_| !files.is_empty());
        Ok(Self { waiting: files.into(), current: None, loader, rows_total })
    }

    /// The next row; `None` at the end of the last file.
    fn next_row(&mut self) -> Result<Option<LoadedRow>, LoadError> {
        loop {
            if self.current.is_none() {
                let Some(file) = self.waiting.pop_front() else { return Ok(None) };
                let name = file.name().to_owned();
                let records = container::open(file)?.records;
                self.current = Some(Current { name, records, rows_read: 0 });
            }
            let row = match &mut self.current {
                Some(current) => current.next_row(&self.loader)?,
                None => None,
            };
            match row {
                Some(row) => return Ok(Some(row)),
                None => self.current = None,
            }
        }
    }
}

impl<L: RowLoader> DatasetReader for RecordReader<L> {
    fn next_batch(&mut self, rows_max: u32) -> Result<Vec<LoadedRow>, LoadError> {
        batch::fill(rows_max, || self.next_row())
    }

    /// Rows of text are not counted before they are read.
    fn rows_total(&self) -> Option<u64> {
        self.rows_total
    }
}

impl Current {
    fn next_row(&mut self, loader: &impl RowLoader) -> Result<Option<LoadedRow>, LoadError> {
        let Some((position, record)) = self.records.next(self.rows_read)? else { return Ok(None) };
        let place = Place { file: &self.name, position };
        self.rows_read += 1;
        Ok(Some(match record {
            Record::Text(text) => load(loader, text, place),
            Record::Skipped(skip) => at(place, skip).into_row(None),
        }))
    }
}

impl std::fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.file, self.position)
    }
}

/// The skip with its place.
fn at(place: Place<'_>, skip: Skip) -> Skip {
    Skip { detail: format!("{place}: {}", skip.detail), ..skip }
}

/// One record as a row.
fn load(loader: &impl RowLoader, text: &[u8], place: Place<'_>) -> LoadedRow {
    let row = match parse(text) {
        Ok(row) => row,
        Err(skip) => return at(place, skip).into_row(None),
    };
    match loader.id(&row, place) {
        Ok(id) => loader.load(id.clone(), &row).unwrap_or_else(|skip| at(place, skip).into_row(Some(id))),
        Err(skip) => at(place, skip).into_row(None),
    }
}

fn parse(text: &[u8]) -> Result<Fields<'_>, Skip> {
    let text = std::str::from_utf8(text).map_err(|error| {
        Skip::new("invalid-utf8", format!("column {}: expected UTF-8 text", error.valid_up_to() + 1))
    })?;
    let value = Json::parse(text).map_err(|why| Skip::new("malformed-json", format!("not JSON: {why}")))?;
    if !value.is_object() {
        return Err(Skip::new("malformed-json", format!("expected a JSON object, got {}", value.kind())));
    }
    value.fields("the row")
}

#[cfg(test)]
mod tests;

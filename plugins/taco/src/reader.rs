//! Several files as one sequence of rows, each in the format that its first bytes name.

use std::collections::VecDeque;

use hilora_dataset_formats::arrow::{ArrowFile, is_arrow};
use hilora_dataset_formats::batch;
use hilora_dataset_formats::json::Fields;
use hilora_dataset_formats::parquet::{ParquetFile, is_parquet};
use hilora_dataset_formats::records::{Place, RecordReader, RowLoader};
use hilora_dataset_formats::rows::Rows;
use hilora_dataset_formats::skip::Skip;
use hilora_plugin_sdk::loader::{DatasetReader, LoadError, LoadedRow, SourceFile};

use crate::columns::COLUMNS;
use crate::row::{self, Texts};

/// A file whose header was checked.
enum OpenedFile {
    Parquet(ParquetFile),
    Arrow(ArrowFile),
    JsonLines(Box<RecordReader<Lines>>),
}

/// A file that is being read.
enum CurrentFile {
    Columns(Rows),
    JsonLines(Box<RecordReader<Lines>>),
}

/// Reads the files in their order.
pub struct Reader {
    waiting: VecDeque<OpenedFile>,
    current: Option<CurrentFile>,
    rows_total: Option<u64>,
    rows_read: u64,
}

impl OpenedFile {
    fn open(file: SourceFile) -> Result<Self, LoadError> {
        let beginning =
            file.read_at(0, 8).map_err(|error| LoadError::Unreadable(format!("{}: {error}", file.name())))?;
        if is_parquet(&beginning) {
            ParquetFile::open(file, &COLUMNS).map(Self::Parquet)
        } else if is_arrow(&beginning) {
            ArrowFile::open(file, &COLUMNS).map(Self::Arrow)
        } else {
            RecordReader::new(vec![file], Lines).map(Box::new).map(Self::JsonLines)
        }
    }

    fn rows(&self) -> Option<u64> {
        match self {
            Self::Parquet(file) => Some(file.rows()),
            Self::Arrow(file) => file.rows(),
            Self::JsonLines(_) => None,
        }
    }

    fn begin(self) -> Result<CurrentFile, LoadError> {
        Ok(match self {
            Self::Parquet(file) => CurrentFile::Columns(file.into_rows()?),
            Self::Arrow(file) => CurrentFile::Columns(file.into_rows()),
            Self::JsonLines(lines) => CurrentFile::JsonLines(lines),
        })
    }
}

impl CurrentFile {
    fn next_batch(&mut self, rows_max: u32) -> Result<Vec<LoadedRow>, LoadError> {
        match self {
            Self::Columns(rows) => batch::fill(rows_max, || {
                let row = rows.next_row()?;
                Ok(row.map(|row| row::load(&row).unwrap_or_else(|skip| skip.into_row(None))))
            }),
            Self::JsonLines(lines) => lines.next_batch(rows_max),
        }
    }
}

impl Reader {
    pub(crate) fn open(files: Vec<SourceFile>) -> Result<Self, LoadError> {
        let waiting: VecDeque<OpenedFile> = files.into_iter().map(OpenedFile::open).collect::<Result<_, _>>()?;
        let rows_total = waiting.iter().map(OpenedFile::rows).try_fold(0_u64, |sum, rows| sum.checked_add(rows?));
        Ok(Self { waiting, current: None, rows_total, rows_read: 0 })
    }

    /// Gives each row its index over all files as identifier.
    fn number(&mut self, mut rows: Vec<LoadedRow>) -> Vec<LoadedRow> {
        for row in &mut rows {
            let id = format!("taco-{}", self.rows_read);
            match row {
                LoadedRow::Problem(problem) => problem.text.id = id,
                LoadedRow::Skipped(skipped) => skipped.id = Some(id),
                LoadedRow::Conversation(_) | LoadedRow::Policy(_) => {}
            }
            self.rows_read += 1;
        }
        rows
    }
}

impl DatasetReader for Reader {
    fn next_batch(&mut self, rows_max: u32) -> Result<Vec<LoadedRow>, LoadError> {
        if rows_max == 0 {
            return Ok(Vec::new());
        }
        loop {
            if let Some(current) = &mut self.current {
                let rows = current.next_batch(rows_max)?;
                if !rows.is_empty() {
                    return Ok(self.number(rows));
                }
            }
            let Some(file) = self.waiting.pop_front() else { return Ok(Vec::new()) };
            // What the last file held goes before the next is read.
            self.current = None;
            self.current = Some(file.begin()?);
        }
    }

    fn rows_total(&self) -> Option<u64> {
        self.rows_total
    }
}

/// Makes rows of JSON objects.
struct Lines;

impl RowLoader for Lines {
    /// The dataset has no identifiers: rows are numbered over all files by [`Reader::number`].
    fn id(&self, _: &Fields<'_>, _: Place<'_>) -> Result<String, Skip> {
        Ok(String::new())
    }

    fn load(&self, _: String, row: &Fields<'_>) -> Result<LoadedRow, Skip> {
        row::load(row)
    }
}

impl Texts for Fields<'_> {
    fn text(&self, name: &str) -> Result<Option<std::borrow::Cow<'_, str>>, Skip> {
        Fields::text(self, name)
    }

    fn document(&self, name: &str) -> Result<Option<std::borrow::Cow<'_, str>>, Skip> {
        Fields::document(self, name)
    }
}

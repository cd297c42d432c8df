//! The CodeContests loader: reads the Hugging Face Parquet files of `deepmind/code_contests`.
//!
//! It keeps Python 3 programs only and takes public, private and generated tests, in that order. It runs nothing and
//! repairs nothing: a row that cannot become a problem is handed back with its reason.

mod columns;
mod difficulty;
mod row;

use std::collections::VecDeque;

use hilora_dataset_formats::batch;
use hilora_dataset_formats::columns::ColumnSpec;
use hilora_dataset_formats::parquet::ParquetFile;
use hilora_dataset_formats::rows::Rows;
use hilora_plugin_sdk::loader::{
    DatasetInfo, DatasetLoader, DatasetReader, LoadError, LoadedRow, SourceFile, no_options,
};

use columns::COLUMNS;

/// The plugin.
pub struct CodeContests;

/// Reads several files as one sequence of rows.
pub struct Reader {
    waiting: VecDeque<ParquetFile>,
    current: Option<Rows>,
    rows_total: u64,
    rows_read: u64,
}

impl DatasetLoader for CodeContests {
    type Reader = Reader;

    fn describe() -> DatasetInfo {
        DatasetInfo {
            source: "codecontests".to_owned(),
            licence: "CC-BY-4.0; the problems and solutions belong to their authors".to_owned(),
            columns: COLUMNS.iter().map(ColumnSpec::describe).collect(),
        }
    }

    fn open(files: Vec<SourceFile>, options: &str) -> Result<Reader, LoadError> {
        no_options(options)?;
        let open = |file| ParquetFile::open(file, &COLUMNS);
        let waiting: VecDeque<ParquetFile> = files.into_iter().map(open).collect::<Result<_, _>>()?;
        let rows_total = waiting.iter().map(ParquetFile::rows).fold(0, u64::saturating_add);
        Ok(Reader { waiting, current: None, rows_total, rows_read: 0 })
    }
}

impl Reader {
    fn next_row(&mut self) -> Result<Option<LoadedRow>, LoadError> {
        loop {
            if let Some(current) = &mut self.current
                && let Some(row) = current.next_row()?
            {
                self.rows_read += 1;
                return Ok(Some(row::load(&row, self.rows_read - 1)));
            }
            let Some(file) = self.waiting.pop_front() else { return Ok(None) };
            self.current = Some(file.into_rows()?);
        }
    }
}

impl DatasetReader for Reader {
    fn next_batch(&mut self, rows_max: u32) -> Result<Vec<LoadedRow>, LoadError> {
        batch::fill(rows_max, || self.next_row())
    }

    fn rows_total(&self) -> Option<u64> {
        Some(self.rows_total)
    }
}

hilora_plugin_sdk::export_loader!(CodeContests);
hilora_plugin_sdk::manifest!("plugin.toml");

#[cfg(test)]
mod tests;

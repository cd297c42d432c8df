//! The CodeContests loader: reads the Hugging Face Parquet files of `deepmind/code_contests`.
//!
//! It keeps Python 3 solutions only and takes public, private and generated tests, in that order. It runs nothing and
//! repairs nothing: a row that cannot become a problem is handed back with its reason.

mod columns;
mod difficulty;
mod parquet_file;
mod row;

use std::collections::VecDeque;

use hilora_plugin_sdk::loader::{
    Column, DatasetInfo, DatasetLoader, DatasetReader, LoadError, LoadedRow, SourceFile, no_options,
};

use columns::COLUMNS;
use parquet_file::{ParquetFile, ParquetRows};

/// The plugin.
pub struct CodeContests;

/// Reads several files as one sequence of rows.
pub struct Reader {
    waiting: VecDeque<ParquetFile>,
    current: Option<ParquetRows>,
    rows_total: u64,
    rows_read: u64,
}

impl DatasetLoader for CodeContests {
    type Reader = Reader;

    fn describe() -> DatasetInfo {
        let column = |column: &columns::ColumnSpec| Column {
            name: column.name.to_owned(),
            expected: column.shape.expected().to_owned(),
            required: column.required,
        };
        DatasetInfo {
            source: "codecontests".to_owned(),
            licence: "CC-BY-4.0; the problems and solutions belong to their authors".to_owned(),
            columns: COLUMNS.iter().map(column).collect(),
        }
    }

    fn open(files: Vec<SourceFile>, options: &str) -> Result<Reader, LoadError> {
        no_options(options)?;
        let waiting: VecDeque<ParquetFile> = files.into_iter().map(ParquetFile::open).collect::<Result<_, _>>()?;
        let rows_total = waiting.iter().map(ParquetFile::rows).sum();
        Ok(Reader { waiting, current: None, rows_total, rows_read: 0 })
    }
}

impl DatasetReader for Reader {
    fn next_batch(&mut self, rows_max: u32) -> Result<Vec<LoadedRow>, LoadError> {
        let mut rows = Vec::new();
        while rows.len() < rows_max as usize {
            let Some(current) = &mut self.current else {
                let Some(file) = self.waiting.pop_front() else { break };
                self.current = Some(file.into_rows()?);
                continue;
            };
            let Some(row) = current.next_row()? else {
                self.current = None;
                continue;
            };
            rows.push(row::load(&row, self.rows_read));
            self.rows_read += 1;
        }
        Ok(rows)
    }

    fn rows_total(&self) -> Option<u64> {
        Some(self.rows_total)
    }
}

hilora_plugin_sdk::export_loader!(CodeContests);
hilora_plugin_sdk::manifest!("plugin.toml");

#[cfg(test)]
mod tests;

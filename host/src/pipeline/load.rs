//! Loading: a loader's batches with a row number for every problem. What the loader answers is checked, not believed.

use std::path::PathBuf;

use crate::dataset::{Problem, SkippedRow};
use crate::plugin::{Batch, DatasetLoader, DatasetReader, PluginError, PluginIdentity};

/// Rows asked for at once: enough to keep every worker busy, few enough that their tests, up to megabytes each, fit in
/// the loader's memory.
pub(super) const ROWS_PER_BATCH: u32 = 64;

/// Some rows with their numbers.
pub(super) struct LoadedBatch {
    pub(super) problems: Vec<(u64, Problem)>,
    pub(super) skipped: Vec<SkippedRow>,
}

/// Reads a dataset from its first row to its last.
pub(super) struct RowReader<'a> {
    loader: &'a dyn DatasetLoader,
    reader: Box<dyn DatasetReader>,
    rows_total: Option<u64>,
    rows_read: u64,
}

impl<'a> RowReader<'a> {
    pub(super) fn open(loader: &'a dyn DatasetLoader, files: &[PathBuf]) -> Result<Self, PluginError> {
        let mut reader = loader.open(files)?;
        let rows_total = reader.rows_total()?;
        Ok(Self { loader, reader, rows_total, rows_read: 0 })
    }

    pub(super) fn rows_total(&self) -> Option<u64> {
        self.rows_total
    }

    pub(super) fn rows_read(&self) -> u64 {
        self.rows_read
    }

    /// The next rows; `None` at the end, where the promised number of rows must have come.
    pub(super) fn next_batch(&mut self) -> Result<Option<LoadedBatch>, PluginError> {
        let Some(batch) = self.reader.next_batch(ROWS_PER_BATCH)? else {
            return match self.rows_total {
                Some(total) if total != self.rows_read => {
                    Err(self.broken(format!("expected {total} rows in all, got {}", self.rows_read)))
                }
                _ => Ok(None),
            };
        };
        let numbered = number(batch, self.rows_read).map_err(|message| self.broken(message))?;
        self.rows_read += (numbered.problems.len() + numbered.skipped.len()) as u64;
        Ok(Some(numbered))
    }

    fn broken(&self, message: String) -> PluginError {
        let plugin: PluginIdentity = self.loader.identity().clone();
        let row = Some(format!("row {}", self.rows_read));
        PluginError::Contract { plugin, call: "next-batch", row, message }
    }
}

/// Gives each problem its row: skipped rows carry their numbers, and the problems fill the rest in order.
fn number(batch: Batch, first: u64) -> Result<LoadedBatch, String> {
    let Batch { problems, skipped } = batch;
    let rows = problems.len() + skipped.len();
    if rows == 0 || rows > ROWS_PER_BATCH as usize {
        return Err(format!("expected 1 to {ROWS_PER_BATCH} rows, got {rows}"));
    }
    let mut taken = vec![false; rows];
    for row in &skipped {
        let place = row.row.checked_sub(first).and_then(|offset| taken.get_mut(usize::try_from(offset).ok()?));
        match place {
            Some(taken) if !*taken => *taken = true,
            _ => {
                let end = first + rows as u64;
                return Err(format!("expected skipped rows within {first}..{end}, each once, got {}", row.row));
            }
        }
    }
    let free = (first..).zip(taken).filter_map(|(row, taken)| (!taken).then_some(row));
    Ok(LoadedBatch { problems: free.zip(problems).collect(), skipped })
}

#[cfg(test)]
mod tests {
    use super::super::fakes::problem;
    use super::*;

    fn skipped(row: u64) -> SkippedRow {
        SkippedRow { row, id: None, reason: "no-tests".to_owned(), detail: String::new() }
    }

    #[test]
    fn problems_fill_the_rows_that_were_not_skipped() {
        let problems = vec![problem("a", "1"), problem("b", "2"), problem("c", "3")];
        let batch = Batch { problems, skipped: vec![skipped(13), skipped(10)] };
        let numbered = number(batch, 10).unwrap_or_else(|message| panic!("{message}"));
        let rows: Vec<u64> = numbered.problems.iter().map(|(row, _)| *row).collect();
        assert_eq!(rows, [11, 12, 14]);
    }

    #[test]
    fn wrong_row_numbers_and_counts_are_refused() {
        for rows in [&[9][..], &[10, 10], &[12, 11], &[u64::MAX]] {
            let batch = Batch { problems: vec![], skipped: rows.iter().map(|&row| skipped(row)).collect() };
            assert!(number(batch, 10).is_err(), "{rows:?}");
        }
        assert!(number(Batch::default(), 0).is_err(), "an empty batch would never end");
    }
}

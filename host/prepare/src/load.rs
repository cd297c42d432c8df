//! Loading: a loader's rows with their numbers. What the loader answers is checked, not believed.

use std::path::PathBuf;

use hilora_contract::plugin::{DatasetLoader, DatasetReader, LoadedRow, LoaderOptions, PluginError, PluginIdentity};

/// Rows asked for at once: enough to keep every thread busy. A loader gives fewer where they are large.
pub(super) const ROWS_PER_BATCH: u32 = 256;
/// Rows asked for at once where their programs are run: what was found of them is durable when all have run, so that a
/// kill costs no more than these.
pub(super) const ROWS_PER_VERIFIED_BATCH: u32 = 64;

/// Reads a dataset from its first row to its last.
pub(super) struct RowReader<'a> {
    loader: &'a dyn DatasetLoader,
    reader: Box<dyn DatasetReader>,
    rows_per_batch: u32,
    rows_total: Option<u64>,
    rows_read: u64,
}

impl<'a> RowReader<'a> {
    pub(super) fn open(
        loader: &'a dyn DatasetLoader,
        files: &[PathBuf],
        options: &LoaderOptions,
        rows_per_batch: u32,
    ) -> Result<Self, PluginError> {
        let mut reader = loader.open(files, options)?;
        let rows_total = reader.rows_total()?;
        Ok(Self { loader, reader, rows_per_batch, rows_total, rows_read: 0 })
    }

    pub(super) fn rows_total(&self) -> Option<u64> {
        self.rows_total
    }

    pub(super) fn rows_read(&self) -> u64 {
        self.rows_read
    }

    /// The next rows with their numbers; none at the end, where the promised number of rows must have come.
    pub(super) fn next_batch(&mut self) -> Result<Vec<(u64, LoadedRow)>, PluginError> {
        let rows_max = self.rows_per_batch;
        let rows = self.reader.next_batch(rows_max)?;
        if rows.len() > rows_max as usize {
            return Err(self.broken(format!("expected at most {rows_max} rows, got {}", rows.len())));
        }
        let first = self.rows_read;
        self.rows_read += rows.len() as u64;
        match self.rows_total {
            Some(total) if rows.is_empty() && total != self.rows_read => {
                Err(self.broken(format!("expected {total} rows in all, got {}", self.rows_read)))
            }
            _ => Ok((first..).zip(rows).collect()),
        }
    }

    fn broken(&self, message: String) -> PluginError {
        let plugin: PluginIdentity = self.loader.identity().clone();
        let row = Some(format!("row {}", self.rows_read));
        PluginError::Contract { plugin, call: "next-batch", row, message }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fakes::{FakeLoader, problem};
    use super::*;

    #[test]
    fn rows_are_numbered_over_all_batches_and_counted_against_the_promise() -> Result<(), PluginError> {
        let rows = (0..20).map(|i| LoadedRow::Problem(problem(&format!("p{i}"), "1"))).collect();
        let loader = FakeLoader::new(rows);
        let mut reader = RowReader::open(&loader, &[], &LoaderOptions::new(), ROWS_PER_BATCH)?;
        let mut numbers = Vec::new();
        loop {
            let batch = reader.next_batch()?;
            if batch.is_empty() {
                break;
            }
            numbers.extend(batch.into_iter().map(|(row, _)| row));
        }
        assert_eq!(numbers, (0..20).collect::<Vec<_>>());

        let mut reader = RowReader::open(&loader, &[], &LoaderOptions::new(), ROWS_PER_BATCH)?;
        reader.rows_total = Some(21);
        while !reader.rows_read.eq(&20) {
            reader.next_batch()?;
        }
        let error = reader.next_batch().expect_err("a row is missing").to_string();
        assert!(error.contains("expected 21 rows in all, got 20"), "{error}");
        Ok(())
    }
}

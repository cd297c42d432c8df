//! Loading: a loader's rows with their numbers. What the loader answers is checked, not believed.

use std::path::PathBuf;

use super::config::DataConfig;
use super::error::PrepareError;
use hilora_contract::plugin::{DatasetLoader, DatasetReader, LoadedRow, LoaderOptions, PluginError, PluginIdentity};

/// Rows asked for at once: enough to keep every thread busy. A loader gives fewer where they are large.
pub(super) const ROWS_PER_BATCH: u32 = 256;
/// Rows asked for at once where their programs are run: what was found of them is durable when all have run, so that a
/// kill costs no more than these.
pub(super) const ROWS_PER_VERIFIED_BATCH: u32 = 64;

/// Where the config names no limit, the rows may have so many times the bytes of their files. Parquet with a dictionary and
/// zstd packs real programs and tests thirty to one.
const BYTES_PER_FILE_BYTE: u64 = 100;
/// But so many in any case: a small file may well unpack to this.
const BYTES_MAX_LEAST: u64 = 1 << 30;

/// How much may come out of some files.
#[derive(Debug, Clone)]
pub(super) struct SourceLimits {
    files: String,
    rows_max: u64,
    bytes_max: u64,
}

impl SourceLimits {
    /// The config's limits over these files.
    pub(super) fn of(config: &DataConfig, files: &[PathBuf]) -> Self {
        let size = |file: &PathBuf| std::fs::metadata(file).map_or(0, |metadata| metadata.len());
        let by_files = files.iter().map(size).fold(0, u64::saturating_add).saturating_mul(BYTES_PER_FILE_BYTE);
        let named = files.first().map(|file| file.display().to_string()).unwrap_or_default();
        Self {
            files: if files.len() > 1 { format!("{named} and {} more files", files.len() - 1) } else { named },
            rows_max: config.rows_max,
            bytes_max: config.bytes_max.unwrap_or(by_files.max(BYTES_MAX_LEAST)),
        }
    }

    fn check(&self, rows: u64, bytes: u64) -> Result<(), PrepareError> {
        let (what, limit, got, key) = match (rows > self.rows_max, bytes > self.bytes_max) {
            (false, false) => return Ok(()),
            (true, _) => ("rows", self.rows_max, rows, "rows_max"),
            (false, true) => ("bytes of text", self.bytes_max, bytes, "bytes_max"),
        };
        Err(PrepareError::TooLarge { files: self.files.clone(), what, limit, got, key })
    }
}

/// Reads a dataset from its first row to its last.
pub(super) struct RowReader<'a> {
    loader: &'a dyn DatasetLoader,
    reader: Box<dyn DatasetReader>,
    rows_per_batch: u32,
    limits: SourceLimits,
    rows_total: Option<u64>,
    rows_read: u64,
    bytes_read: u64,
}

impl<'a> RowReader<'a> {
    pub(super) fn open(
        loader: &'a dyn DatasetLoader,
        files: &[PathBuf],
        options: &LoaderOptions,
        rows_per_batch: u32,
        limits: SourceLimits,
    ) -> Result<Self, PrepareError> {
        let mut reader = loader.open(files, options)?;
        let rows_total = reader.rows_total()?;
        limits.check(rows_total.unwrap_or(0), 0)?;
        Ok(Self { loader, reader, rows_per_batch, limits, rows_total, rows_read: 0, bytes_read: 0 })
    }

    pub(super) fn rows_total(&self) -> Option<u64> {
        self.rows_total
    }

    pub(super) fn rows_read(&self) -> u64 {
        self.rows_read
    }

    /// The next rows with their numbers; none at the end, where the promised number of rows must have come.
    pub(super) fn next_batch(&mut self) -> Result<Vec<(u64, LoadedRow)>, PrepareError> {
        let rows_max = self.rows_per_batch;
        let rows = self.reader.next_batch(rows_max)?;
        if rows.len() > rows_max as usize {
            return Err(self.broken(format!("expected at most {rows_max} rows, got {}", rows.len())).into());
        }
        let first = self.rows_read;
        self.rows_read += rows.len() as u64;
        self.bytes_read += rows.iter().map(LoadedRow::text_bytes).sum::<u64>();
        self.limits.check(self.rows_read, self.bytes_read)?;
        match self.rows_total {
            Some(total) if rows.is_empty() && total != self.rows_read => {
                Err(self.broken(format!("expected {total} rows in all, got {}", self.rows_read)).into())
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

    fn opened(loader: &FakeLoader, rows_max: u64, bytes_max: u64) -> Result<RowReader<'_>, PrepareError> {
        let limits = SourceLimits { files: "bomb.parquet".to_owned(), rows_max, bytes_max };
        RowReader::open(loader, &[], &LoaderOptions::new(), ROWS_PER_BATCH, limits)
    }

    #[test]
    fn more_rows_or_bytes_than_the_config_allows_are_one_error() -> Result<(), PrepareError> {
        let rows: Vec<_> = (0..20).map(|i| LoadedRow::Problem(problem(&format!("p{i}"), "1"))).collect();
        let bytes: u64 = rows.iter().map(LoadedRow::text_bytes).sum();
        let loader = FakeLoader::new(rows);
        let read = |rows_max, bytes_max| -> Result<(), PrepareError> {
            let mut reader = opened(&loader, rows_max, bytes_max)?;
            while !reader.next_batch()?.is_empty() {}
            Ok(())
        };
        read(20, bytes)?;
        for (rows_max, bytes_max, expected) in [
            (19, bytes, "bomb.parquet: expected at most 19 rows (data.rows_max), got 20".to_owned()),
            (20, 9, "bomb.parquet: expected at most 9 bytes of text (data.bytes_max), got ".to_owned()),
        ] {
            let error = read(rows_max, bytes_max).expect_err("it is too much").to_string();
            assert!(error.starts_with(&expected), "{error}");
        }
        Ok(())
    }

    #[test]
    fn a_config_without_a_limit_allows_a_hundred_times_the_files() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("rows.parquet");
        let config = serde_json::from_str(r#"{"domains": []}"#)?;
        let bytes_max = |files: &[PathBuf], config: &DataConfig| SourceLimits::of(config, files).bytes_max;
        for (size, expected) in [(166_000, 1 << 30), (1 << 30, 100 << 30)] {
            std::fs::File::create(&file)?.set_len(size)?;
            assert_eq!(bytes_max(std::slice::from_ref(&file), &config), expected);
        }
        let config = DataConfig { bytes_max: Some(7), ..config };
        assert_eq!(bytes_max(&[file.clone(), file], &config), 7);
        Ok(())
    }

    #[test]
    fn rows_are_numbered_over_all_batches_and_counted_against_the_promise() -> Result<(), PrepareError> {
        let rows = (0..20).map(|i| LoadedRow::Problem(problem(&format!("p{i}"), "1"))).collect();
        let loader = FakeLoader::new(rows);
        let mut reader = opened(&loader, u64::MAX, u64::MAX)?;
        let mut numbers = Vec::new();
        loop {
            let batch = reader.next_batch()?;
            if batch.is_empty() {
                break;
            }
            numbers.extend(batch.into_iter().map(|(row, _)| row));
        }
        assert_eq!(numbers, (0..20).collect::<Vec<_>>());

        let mut reader = opened(&loader, u64::MAX, u64::MAX)?;
        reader.rows_total = Some(21);
        while !reader.rows_read.eq(&20) {
            reader.next_batch()?;
        }
        let error = reader.next_batch().expect_err("a row is missing").to_string();
        assert!(error.contains("expected 21 rows in all, got 20"), "{error}");
        Ok(())
    }
}

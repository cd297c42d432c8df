//! A dataset loader: files of one format in, problems and skipped rows out.

use std::path::PathBuf;

use super::{PluginError, PluginIdentity};
use crate::dataset::{Problem, SkippedRow};

/// A column that a loader reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its name in the file.
    pub name: String,
    /// The type it must have.
    pub expected: String,
    /// Whether the loader can work without it.
    pub required: bool,
}

/// What a loader reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatasetInfo {
    /// The value of `data.source` that it serves.
    pub source: String,
    /// The dataset's licence.
    pub licence: String,
    /// The columns it reads.
    pub columns: Vec<Column>,
}

/// Some rows, in file order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    /// Problems that were read.
    pub problems: Vec<Problem>,
    /// Rows that yielded none.
    pub skipped: Vec<SkippedRow>,
}

/// Reads one dataset format.
pub trait DatasetLoader: Send + Sync {
    /// Which plugin this is.
    fn identity(&self) -> &PluginIdentity;

    /// What it reads.
    fn describe(&self) -> Result<DatasetInfo, PluginError>;

    /// Checks the files' headers and begins to read them, in this order.
    fn open(&self, files: &[PathBuf]) -> Result<Box<dyn DatasetReader>, PluginError>;
}

/// Reads opened files once. Memory stays flat however many rows they hold.
pub trait DatasetReader: Send {
    /// The next rows, at most `rows_max`; `None` at the end.
    fn next_batch(&mut self, rows_max: u32) -> Result<Option<Batch>, PluginError>;

    /// How many rows there are in all, where the format tells.
    fn rows_total(&mut self) -> Result<Option<u64>, PluginError>;
}

//! A dataset loader: files of one format in, problems, conversations, policy examples and skipped rows out.

use std::path::PathBuf;

use super::{PluginError, PluginIdentity};
use crate::dataset::{Conversation, PolicyExample, Problem, SkippedRow};

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

/// What became of one row.
#[derive(Debug, Clone, PartialEq)]
pub enum LoadedRow {
    /// A problem with tests and solutions.
    Problem(Problem),
    /// A conversation to learn from.
    Conversation(Conversation),
    /// A case under a policy.
    Policy(PolicyExample),
    /// Nothing, and why.
    Skipped(SkippedRow),
}

/// What a loader is told beside its files: the config's `data.options`.
pub type LoaderOptions = serde_json::Map<String, serde_json::Value>;

/// Reads one dataset format.
pub trait DatasetLoader: Send + Sync {
    /// Which plugin this is.
    fn identity(&self) -> &PluginIdentity;

    /// What it reads.
    fn describe(&self) -> Result<DatasetInfo, PluginError>;

    /// Checks options and the files' headers and begins to read them, in this order.
    fn open(&self, files: &[PathBuf], options: &LoaderOptions) -> Result<Box<dyn DatasetReader>, PluginError>;
}

/// Reads opened files once. Memory stays flat however many rows they hold.
pub trait DatasetReader: Send {
    /// The next rows in file order, one answer for each row consumed, at most `rows_max`; empty at the end.
    fn next_batch(&mut self, rows_max: u32) -> Result<Vec<LoadedRow>, PluginError>;

    /// How many rows there are in all, where the format tells.
    fn rows_total(&mut self) -> Result<Option<u64>, PluginError>;
}

//! A record: one row of a file as the text of a JSON object, and where it stands.

use std::fmt;

use hilora_plugin_sdk::loader::LoadError;

use crate::skip::Skip;

/// The longest row that is read, in bytes; a longer one is passed over without being kept.
pub const ROW_BYTES_MAX: usize = 64 << 20;

/// Where a row stands in its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Position {
    /// In, or from, this line on, counted from 1 as an editor counts them.
    Line(u64),
    /// The item of a list with this index, from 0; it begins in this line.
    Item {
        /// The item's index.
        index: u64,
        /// The line that it begins in, from 1.
        line: u64,
    },
    /// The row with this index, from 0, in a file that has no lines.
    Row(u64),
}

impl Position {
    /// What tells the row from all others of its file.
    pub fn number(self) -> u64 {
        match self {
            Self::Line(number) | Self::Item { index: number, .. } | Self::Row(number) => number,
        }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(line) => write!(f, "line {line}"),
            Self::Item { index, line } => write!(f, "item {index} (line {line})"),
            Self::Row(row) => write!(f, "row {row}"),
        }
    }
}

/// One row as it stands in its file.
pub(super) enum Record<'a> {
    /// What should be the text of a JSON object.
    Text(&'a [u8]),
    /// What cannot be one.
    Skipped(Skip),
}

/// The rows of one file, from the first to the last.
pub(super) trait Records {
    /// The next row; `None` at the end. `row` says how many were read, for messages.
    fn next(&mut self, row: u64) -> Result<Option<(Position, Record<'_>)>, LoadError>;

    /// How many there are, where the format tells.
    fn rows_total(&self) -> Option<u64> {
        None
    }
}
